// SPDX-License-Identifier: Apache-2.0
// The facts of one process while they are gathered.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// In the order of their weight: where not all fit, the last are left out.
#define FACTS(X)                                                                                   \
	X(SERVICE_NAME, "service.name")                                                            \
	X(SERVICE_NAMESPACE, "service.namespace")                                                  \
	X(SERVICE_VERSION, "service.version")                                                      \
	X(INSTANCE_ID, "service.instance.id")                                                      \
	X(ENVIRONMENT_NAME, "deployment.environment.name")                                         \
	X(APP_NAME, "app.name")                                                                    \
	X(POD_UID, "k8s.pod.uid")                                                                  \
	X(POD_NAME, "k8s.pod.name")                                                                \
	X(NAMESPACE_NAME, "k8s.namespace.name")                                                    \
	X(CONTAINER_NAME, "k8s.container.name")                                                    \
	X(DEPLOYMENT_NAME, "k8s.deployment.name")                                                  \
	X(LANGUAGE, "language")                                                                    \
	X(EXECUTABLE_NAME, "process.executable.name")                                              \
	X(RUNTIME_NAME, "process.runtime.name")                                                    \
	X(RUNTIME_VENDOR, "process.runtime.vendor")                                                \
	X(RUNTIME_VERSION, "process.runtime.version")                                              \
	X(EXECUTABLE_PATH, "process.executable.path")                                              \
	X(COMMAND, "process.command")                                                              \
	X(COMMAND_LINE, "process.command_line")
enum fact {
#define X(id, key) FACT_##id,
	FACTS(X)
#undef X
	    FACT_COUNT
};
#define FACT_MAX 512 // bytes of a value

struct gathered {
	char at[FACT_COUNT][FACT_MAX + 1]; // "": not known
};

struct processes;
struct entry;

// Sets a fact to S[0..n), unless that is too long: half a name would be another's. What is not
// UTF-8, or not to be shown, becomes '?'.
void gather_set(struct gathered *g, enum fact fact, const char *s, size_t n);
const char *gather_base_name(const char *path);

// gather.c: all that /proc tells. What could not be read is left out.
void gather(struct processes *t, const struct entry *e, struct gathered *g);
// What can be told of E, which has ended, by where it ran and what its events said.
void gather_gone(struct processes *t, const struct entry *e, struct gathered *g);
void gather_names(const struct entry *e, struct gathered *g); // app.name and service.name, at last
// Instead of that: leaves only whose it is. False where that is not known.
bool gather_owner(struct gathered *g);

// attributes.c: takes of OTEL_RESOURCE_ATTRIBUTES what is wanted; nothing of one that is not sound.
void gather_attributes(struct gathered *g, const char *variable);

// runtime.c
enum runtime { RUNTIME_NONE, RUNTIME_JAVA, RUNTIME_PYTHON, RUNTIME_NODE, RUNTIME_RUBY };
enum runtime runtime_of_executable(const char *name);
// Whose library PATH is. Other runtimes' are no sign: gdb maps libpython.
enum jvm { JVM_NONE, JVM_HOTSPOT, JVM_GRAAL, JVM_OPENJ9 };
enum jvm runtime_jvm(const char *path);

// Finds the program in the arguments of a runtime, one after the other.
struct arguments {
	enum runtime runtime;
	unsigned seen;	  // arguments
	bool takes_value; // the one before is an option whose value comes next
	bool next_is_module, next_is_archive, found, over;
	char program[FACT_MAX + 1];
};
void runtime_argument(struct arguments *a, const char *argument); // NULL: too long to be had
// The version that stands in NAME, "1.2.3" or "1.2.3-rc.1": its length, 0: none; *AT: where.
size_t runtime_version(const char *name, size_t *at);
// Tells of RUNTIME what its executable's name and the libraries it maps say.
void runtime_tell(struct gathered *g, enum runtime runtime, enum jvm jvm, const char *name);
