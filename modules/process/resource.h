// SPDX-License-Identifier: Apache-2.0
// Whose profile it is: what a process says and shows of itself, under OpenTelemetry's keys where
// there are such. Only what is known is told:
//
//   service.name             OTEL_SERVICE_NAME, service.name of OTEL_RESOURCE_ATTRIBUTES (both as
//                            its program began with them), k8s.container.name, or app.name
//   service.namespace, deployment.environment.name, service.instance.id, k8s.deployment.name
//                            of OTEL_RESOURCE_ATTRIBUTES
//   service.version          likewise, or the version that stands in the name of the program
//   app.name                 the .jar, main class, script, module; the executable; or comm
//   language                 java go python node ruby
//   process.executable.name, process.executable.path, process.command (argv[0])
//   process.command_line     where that is asked for; at most 512 bytes
//   process.runtime.name, process.runtime.vendor, process.runtime.version
//   k8s.pod.uid; k8s.pod.name, k8s.namespace.name, k8s.container.name: of OTEL_RESOURCE_ATTRIBUTES,
//                            as the node keeps them, as they are seen in the pod, or of POD_NAME
//                            and the like, which the downward API sets
#pragma once
#include <stdint.h>

struct processes;
struct process;

// All, perhaps with command lines; or only whose it is: service.name (by its own word, or of its
// container in a pod) and k8s.*, which takes few calls, and which most processes have none of. NOW:
// also of a process that is in no container and not 2 s old.
enum process_wish {
	PROCESS_RESOURCES = 1,
	PROCESS_COMMAND_LINES = 2,
	PROCESS_OWNERS = 4,
	PROCESS_OWNERS_NOW = 8
};
#define PROCESS_RESOURCE_FACTS 20 // at most

struct process_resource {
	uint32_t id;	// never reused: equal ids, equal facts
	uint32_t count; // of facts
	const struct process_fact *facts;
};
struct process_fact {
	const char *key, *value; // UTF-8
};

// Read at the first call of a program, and again after exec; kept while the process is known, in
// 256 KiB for all of them: the longest gone goes first. NULL where it is not known (never in a
// replay, of kernel threads, or without process_options.resources) or could not be kept. Valid
// until the next call of this room.
const struct process_resource *process_resource(struct processes *t, const struct process *p);
