// SPDX-License-Identifier: Apache-2.0
// telegen check, config, version.
#include "arguments.h"
#include "command.h"
#include "sink.h"
#include "wanted.h"
#include "../base/base.h"
#include "../heap/heap.h"
#include "../kernel/kernel.h"
#include "../path/path.h"
#include "../proc/proc.h"

#include <string.h>

const char command_agent_version[] = TELEGEN_VERSION;

// The same tables name the frames in profiles and the counters in /metrics.
static void say_ends(struct text *t)
{
	const char *label, *text;
	text_puts(t, "\nA stack that does not reach its start says why in its outermost frame:\n");
	for (int end = WALK_END_COMPLETE + 1; end < WALK_END_COUNT; end++)
		text_printf(t, "  [truncated: %s]  %s\n",
		    kernel_counter_label((enum kernel_counter)KERNEL_WALK(end)),
		    kernel_counter_text((enum kernel_counter)KERNEL_WALK(end)));
	for (uint32_t i = 0; path_end(i, &label, &text); i++)
		text_printf(t, "  [truncated: %s]  %s\n", label, text);
}

int command_check(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	struct text t = TEXT(ACCOUNT_COMMAND);
	bool possible = kernel_check(&t) == 0;
	struct proc *proc = proc_new("/proc");
	if (proc) {
		path_check_programs(proc, &t);
		heap_check(proc, &t);
	}
	proc_free(proc);
	text_printf(&t, "%s\n",
	    possible ? "CPU profiles of the whole node are possible here."
		     : "CPU profiles are not possible here; `telegen run --source FILE.rec` shows "
		       "a recording.");
	say_ends(&t);
	status = write_text(&t);
	text_free(&t);
	return status ? status : possible ? EXIT_DONE : EXIT_FORBIDDEN;
}

int command_config(int argc, char **argv)
{
	struct arguments a;
	struct text t = TEXT(ACCOUNT_COMMAND);
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	const char *form = a.form ? a.form : "";
	if (*form && (a.flag_count || a.config_file || argc > 2)) {
		log_error("config: %s: stands alone: leave the other options out", form);
		return EXIT_USAGE;
	}
	if (!strcmp(form, "--man")) {
		config_man(&t);
	} else if (!strcmp(form, "--example")) {
		config_example(&t);
	} else {
		struct config_source none = {0};
		struct config *c = *form ? config_load(&none, NULL, NULL) : arguments_config(&a);
		if (!c)
			return EXIT_USAGE;
		char why[512];
		status = *form ? 0 : wanted_check(c, why, sizeof(why));
		if (status) {
			log_error("%s", why);
			config_free(c);
			return status;
		}
		config_print(c, &t);
		config_free(c);
	}
	status = write_text(&t);
	text_free(&t);
	return status;
}

int command_version(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	struct text t = TEXT(ACCOUNT_COMMAND);
	text_printf(&t, "telegen %s\n", command_agent_version);
	status = write_text(&t);
	text_free(&t);
	return status;
}
