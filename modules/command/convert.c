// SPDX-License-Identifier: Apache-2.0
// telegen convert: between formats, and differences of two profiles.
#include "arguments.h"
#include "command.h"
#include "input.h"
#include "sink.h"

#include <errno.h>
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
	struct profile *p = input_profile(a.rest[0], config);
	struct profile *base = p && a.base ? input_profile(a.base, config) : NULL;
	status = EXIT_FAILED;
	if (p && base && !same_values(p, base))
		log_error(
		    "convert: --base: %s: measures something else than %s", a.base, a.rest[0]);
	else if (p && (base || !a.base))
		status = write_profile(p, base, a.output, a.rest[0], config, false);
	profile_free(p);
	profile_free(base);
	config_free(config);
	return status;
}
