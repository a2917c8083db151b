// SPDX-License-Identifier: Apache-2.0
// telegen convert: between formats, and differences of two profiles.
#include "arguments.h"
#include "command.h"
#include "replay.h"
#include "sink.h"
#include "../base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (256ull << 20) // bytes of a profile, unpacked

static struct profile *read_pprof(const char *path, int fd)
{
	char buffer[65536];
	struct import_job *job = import_new(ACCOUNT_COMMAND, INPUT_MAX);
	struct profile *p = NULL;
	int error = job ? 0 : -ENOMEM;
	ssize_t n = 0;
	while (!error && (n = read(fd, buffer, sizeof(buffer))) > 0)
		error = import_feed(job, buffer, (size_t)n);
	if (!error && n < 0)
		error = -errno;
	while (!error && (error = import_step(job, 100 * NS_PER_MS)) > 0)
		error = 0;
	if (!error)
		p = import_take(job);
	if (!p)
		log_error("%s: %s", path,
		    job && *import_why(job) ? import_why(job) : strerror(error ? -error : ENOMEM));
	import_free(job);
	return p;
}

static bool is_recording(int fd)
{
	char magic[12];
	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	       !memcmp(magic, "TELEGENREC1\n", 12);
}

// The profile in PATH ("-": standard input), sealed; NULL after a line on stderr.
static struct profile *read_profile(const char *path, const struct config *config)
{
	struct stat st;
	struct profile *p = NULL;
	bool standard = !strcmp(path, "-");
	const char *name = standard ? "standard input" : path;
	int fd =
	    standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		log_error("%s: %s", name, strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		log_error("%s: a directory: name a profile (.pb.gz) or a recording (.rec)", name);
	} else if (is_recording(fd)) { // not in a pipe: that cannot be looked into
		p = replay_profile(standard ? "/dev/stdin" : path, config);
		if (p)
			profile_seal(p);
	} else {
		p = read_pprof(name, fd);
	}
	if (fd >= 0)
		close(fd);
	return p;
}

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
	int status = arguments_parse(&a, argc, argv, "bo2");
	if (status)
		return status;
	if (a.help)
		return command_help(1, argv);
	if ((status = check_arguments(&a)))
		return status;
	struct config *config = arguments_config(&a);
	if (!config)
		return EXIT_USAGE;
	struct profile *p = read_profile(a.rest[0], config);
	struct profile *base = p && a.base ? read_profile(a.base, config) : NULL;
	status = EXIT_FAILED;
	if (p && base && !same_values(p, base))
		log_error(
		    "convert: --base: %s: measures something else than %s", a.base, a.rest[0]);
	else if (p && (base || !a.base))
		status = write_profile(p, base, a.output, a.rest[0]);
	profile_free(p);
	profile_free(base);
	config_free(config);
	return status;
}
