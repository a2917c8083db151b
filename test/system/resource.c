// SPDX-License-Identifier: Apache-2.0
// Prints what is known of each process: resource PID... (with -c in front: command lines too)
#include "../../modules/label/label.h"
#include "../../modules/proc/proc.h"
#include "../../modules/process/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_new(void *arg, struct process *p)
{
	char cgroup[1024];
	if (proc_cgroup(arg, p->pid, cgroup, sizeof(cgroup)) == 0) {
		label_container_id(cgroup, p->container);
		label_pod_uid(cgroup, p->pod);
	}
}

int main(int argc, char **argv)
{
	struct process_options o = {
	    .proc = proc_new("/proc"), .resources = PROCESS_RESOURCES, .on_new = on_new};
	int first = 1;
	if (argc > 1 && !strcmp(argv[1], "-c")) {
		o.resources |= PROCESS_COMMAND_LINES;
		first++;
	}
	o.arg = o.proc;
	struct processes *t = o.proc ? processes_new(&o) : NULL;
	if (!t)
		return 1;
	for (int i = first; i < argc; i++) {
		struct process *p = process_learn(t, (uint32_t)atoi(argv[i]));
		uint32_t count;
		if (p)
			process_mappings(t, p, &count);
		const struct process_resource *r = p ? process_resource(t, p) : NULL;
		for (uint32_t k = 0; r && k < r->count; k++)
			printf("%s %s=%s\n", argv[i], r->facts[k].key, r->facts[k].value);
	}
	processes_free(t);
	proc_free(o.proc);
	return 0;
}
