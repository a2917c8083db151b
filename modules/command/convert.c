// SPDX-License-Identifier: Apache-2.0
// telegen convert: between formats, and differences of two profiles.
#include "arguments.h"
#include "command.h"
#include "input.h"
#include "limit.h"
#include "sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// Whether P may be compared with BASE: both measure the same.
static bool same_values(const struct profile *p, const struct profile *base)
{
	const struct profile_header *a = profile_header_of(p), *b = profile_header_of(base);
	bool same = a->value_count == b->value_count;
	for (uint32_t v = 0; same && v < a->value_count; v++)
		same = !strcmp(profile_name(p, a->value_types[v]),
			   profile_name(base, b->value_types[v])) &&
		       !strcmp(profile_name(p, a->value_units[v]),
			   profile_name(base, b->value_units[v]));
	return same;
}

static int check_arguments(const struct arguments *a)
{
	enum export_format format = EXPORT_FOLDED;
	if (a->rest_count != 1 || !a->output) {
		log_error("convert: %s: telegen convert IN [--base OTHER] -o OUT",
		    a->rest_count == 1	? "-o is missing"
		    : a->rest_count > 1 ? "one input at a time"
					: "the input is missing");
		return EXIT_USAGE;
	}
	if (file_sink_is_directory(a->output)) {
		log_error("convert: -o: %s: a directory: name a file in it", a->output);
		return EXIT_USAGE;
	}
	if (strcmp(a->output, "-") && export_format_of(a->output, &format) < 0) {
		log_error("convert: -o: %s: the suffix says the format: .pb.gz .html .folded .json",
		    a->output);
		return EXIT_USAGE;
	}
	if (a->base && format != EXPORT_FOLDED && format != EXPORT_HTML) {
		log_error("convert: --base: %s: a difference is shown in .html or .folded only",
		    a->output);
		return EXIT_USAGE;
	}
	int error = file_sink_check(a->output);
	if (!error)
		return 0;
	log_error("convert: -o: %s: %s: choose another place", a->output, strerror(-error));
	return EXIT_FAILED;
}

#define NEED_MORE (4ull << 20)

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

// Says what takes more than the limit (IN: reading that, NULL: writing), and the limit that does
// for all that is to be done. Nothing of it may be held any more.
static void say_no_memory(const struct arguments *a, const struct config *config, const char *in)
{
	const char *const paths[] = {a->rest[0], a->base};
	enum export_format format = EXPORT_FOLDED;
	struct export_need need[2] = {0};
	char done[64] = "writing it";
	bool known = true;
	if (strcmp(a->output, "-"))
		export_format_of(a->output, &format);
	if (in)
		text_copy(done, sizeof(done), "reading it");
	for (int i = 0; i < 2 && paths[i]; i++) {
		int error = input_need(paths[i], format, a->base, &need[i]);
		known &= !error;
		if (error == -EFBIG) {
			input_say_large(paths[i]);
			return;
		}
		if (in == paths[i] && need[i].unpacked)
			snprintf(done, sizeof(done), "%lu MB unpacked: reading that",
			    (need[i].unpacked >> 20) + 1);
	}
	uint64_t held = need[0].held + need[1].held;
	uint64_t most = larger(need[0].reading, need[0].held + need[1].reading);
	most = larger(most, held + need[0].writing + need[1].writing);
	limit_say(config, in ? input_name(in) : sink_name(a->output), done,
	    known ? most + most / 16 + NEED_MORE : 0);
}

static int convert(const struct arguments *a, const struct config *config)
{
	int error = 0, base_error = 0, status = EXIT_FAILED;
	struct profile *p = input_profile(a->rest[0], config, a->types, &error);
	struct profile *base =
	    p && a->base ? input_profile(a->base, config, a->types, &base_error) : NULL;
	if (p && base && !same_values(p, base))
		log_error(
		    "convert: --base: %s: measures something else than %s", a->base, a->rest[0]);
	else if (p && (base || !a->base))
		status = write_profile(p, base, a->output, a->rest[0], false);
	profile_free(p);
	profile_free(base);
	if (error == -ENOMEM)
		say_no_memory(a, config, a->rest[0]);
	else if (base_error == -ENOMEM)
		say_no_memory(a, config, a->base);
	else if (status == -ENOMEM)
		say_no_memory(a, config, NULL);
	return status < 0 ? EXIT_FAILED : status;
}

int command_convert(int argc, char **argv)
{
	struct arguments a;
	int status = command_arguments(&a, argc, argv);
	if (status || a.help)
		return status;
	if ((status = check_arguments(&a)))
		return status;
	struct config *config = arguments_config(&a);
	if (!config)
		return EXIT_USAGE;
	status = convert(&a, config);
	config_free(config);
	return status;
}
