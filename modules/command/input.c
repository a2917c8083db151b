// SPDX-License-Identifier: Apache-2.0
#include "input.h"
#include "limit.h"
#include "replay.h"
#include "../base/base.h"
#include "../export/export.h"
#include "../tape/tape.h"
#include "../wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILE_BYTES_MAX (256ull << 20) // unpacked
#define WRITER_WAIT_MS 10000
#define HEAD_SIZE 512
#define READS "convert reads pprof profiles (.pb.gz, .pprof) and recordings (.rec)"

struct input {
	const char *name; // for messages
	const char *path;
	int fd;
	struct stat st;
	uint8_t head[HEAD_SIZE]; // what was read first
	size_t head_size;
};

// ---- What it is

// What begins so, and is known to be something else.
static const struct {
	const char *magic;
	size_t size;
	const char *what;
} others[] = {
#define M(magic, what)                                                                             \
	{                                                                                          \
		magic, sizeof(magic) - 1, what                                                     \
	}
    M("PERFILE2", "a recording of perf(1)"),
    M("FLR\0", "a recording of Java Flight Recorder"),
    M("\x7f"
      "ELF",
	"a program or library"),
    M("PK\3\4", "a zip archive"),
    M("\x28\xb5\x2f\xfd", "packed by zstd: unpack it first"),
    M("\xfd"
      "7zXZ",
	"packed by xz: unpack it first"),
    M("BZh", "packed by bzip2: unpack it first"),
    M("{", "JSON, perhaps a profile of speedscope"),
    M("[", "JSON"),
    M("<", "HTML, perhaps a flame page"),
#undef M
};

static const char *kind_of(const struct input *in)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (in->head_size >= others[i].size &&
		    !memcmp(in->head, others[i].magic, others[i].size))
			return others[i].what;
	for (size_t i = 0; i < in->head_size; i++)
		if (in->head[i] < ' ' && !memchr("\t\r\n", in->head[i], 3))
			return NULL;
	return in->head_size ? "text, perhaps folded stacks" : NULL;
}

static int say(const struct input *in, const char *what)
{
	log_error("%s: %s: " READS, in->name, what);
	return -EINVAL;
}

// ---- Opening

// Somebody may open the other end of a FIFO only after us: that is not waited for long. Who has
// opened it has all the time.
static int wait_for_writer(struct input *in)
{
	struct pollfd p = {.fd = in->fd, .events = POLLIN};
	ssize_t n = poll(&p, 1, WRITER_WAIT_MS) == 0 ? read(in->fd, in->head, 1) : -1;
	if (!n) {
		log_error("%s: nobody writes into this FIFO: start its writer first", in->name);
		return -EPIPE;
	}
	in->head_size = n > 0;
	return fcntl(in->fd, F_SETFL, 0) < 0 ? -errno : 0;
}

static int check_kind(struct input *in)
{
	if (S_ISDIR(in->st.st_mode))
		return say(in, "a directory: name a file in it");
	if (S_ISCHR(in->st.st_mode) || S_ISBLK(in->st.st_mode))
		return say(in, isatty(in->fd) ? "a terminal: name a file" : "a device, not a file");
	return S_ISFIFO(in->st.st_mode) && in->path ? wait_for_writer(in) : 0;
}

static int read_head(struct input *in)
{
	while (in->head_size < sizeof(in->head)) {
		ssize_t n =
		    read(in->fd, in->head + in->head_size, sizeof(in->head) - in->head_size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			log_error("%s: %s", in->name, strerror(errno));
			return -errno;
		}
		if (!n)
			break;
		in->head_size += (size_t)n;
	}
	return in->head_size ? 0 : say(in, "empty");
}

static int open_input(struct input *in, const char *path)
{
	bool standard = !strcmp(path, "-");
	*in = (struct input){.name = input_name(path), .path = standard ? NULL : path};
	// A FIFO is opened without waiting for its writer.
	in->fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
			  : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (in->fd < 0 || fstat(in->fd, &in->st) < 0) {
		log_error("%s: %s", in->name, strerror(errno));
		return -errno;
	}
	int error = check_kind(in);
	return error ? error : read_head(in);
}

// ---- Reading

static bool is_packed(const struct input *in)
{
	return in->head_size > 1 && in->head[0] == 0x1f && in->head[1] == 0x8b; // RFC 1952
}

static void say_why(const struct input *in, const struct import_job *job, int error)
{
	const char *why = job && *import_why(job) ? import_why(job) : strerror(-error);
	const char *kind = kind_of(in);
	if (error == -EBADMSG && (!is_packed(in) || !strncmp(why, "not ", 4)))
		say(in, kind ? kind : why);
	else if (error == -EFBIG)
		input_say_large(in->path ? in->path : "-");
	else
		log_error("%s: %s", in->name, why);
}

static int feed(const struct input *in, struct import_job *job)
{
	char buffer[65536];
	int error = import_feed(job, in->head, in->head_size);
	if (!error && S_ISREG(in->st.st_mode) && (uint64_t)in->st.st_size > PROFILE_BYTES_MAX)
		return -EFBIG;
	if (!error && S_ISREG(in->st.st_mode) && (uint64_t)in->st.st_size > mem_limit_get())
		return -ENOMEM;
	while (!error) {
		ssize_t n = read(in->fd, buffer, sizeof(buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		error = import_feed(job, buffer, (size_t)n);
	}
	return error;
}

static int keep_head(void *arg, const void *bytes, size_t n)
{
	struct input *in = arg;
	size_t room = sizeof(in->head) - in->head_size;
	memcpy(in->head + in->head_size, bytes, n < room ? n : room);
	in->head_size += n < room ? n : room;
	return n < room ? 0 : -ECANCELED;
}

// Samples that found no memory: a profile that has lost them is not what was asked for.
static bool has_lost(const struct profile *p)
{
	const struct profile_sample *lost = profile_sample(p, 0);
	bool any = false;
	for (uint32_t v = 0; v < profile_header_of(p)->value_count; v++)
		any |= lost->values[v] != 0;
	return any;
}

// What it begins with, unpacked: text has bytes that a profile may begin with as well.
static int check_content(const struct input *in)
{
	struct input content = *in;
	content.head_size = 0;
	struct wire_gunzip *z =
	    is_packed(in) ? wire_gunzip_new(&(struct wire_sink){keep_head, &content}, UINT64_MAX)
			  : NULL;
	if (z)
		wire_gunzip_feed(z, in->head, in->head_size); // damage is found later
	wire_gunzip_free(z);
	const char *kind = kind_of(z ? &content : in);
	return kind ? say(in, kind) : 0;
}

static struct profile *read_pprof(const struct input *in, int *error_of)
{
	if ((*error_of = check_content(in)))
		return NULL;
	struct import_job *job = import_new(ACCOUNT_COMMAND, PROFILE_BYTES_MAX);
	struct profile *p = NULL;
	int error = job ? feed(in, job) : -ENOMEM;
	for (int more = 1; !error && more; error = more < 0 ? more : 0)
		more = import_step(job, 100 * NS_PER_MS);
	if (!error)
		p = import_take(job);
	if (p && has_lost(p)) {
		profile_free(p);
		p = NULL;
	}
	if (!p && error && error != -ENOMEM)
		say_why(in, job, error);
	import_free(job);
	*error_of = p ? 0 : error ? error : -ENOMEM;
	return p;
}

// The file of PATH is read once more, if it is one.
int input_need(const char *path, enum export_format format, bool based, struct export_need *need)
{
	char buffer[65536];
	struct stat st;
	ssize_t n = 0;
	int fd = !strcmp(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
				    : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	struct export_need_job *job = file ? export_need_new(PROFILE_BYTES_MAX) : NULL;
	int error = !file ? -EINVAL : !job ? -ENOMEM : 0;
	for (off_t at = 0; !error && (n = pread(fd, buffer, sizeof(buffer), at)) > 0; at += n)
		error = !at && tape_is(buffer, (size_t)n)
			    ? -EINVAL
			    : export_need_feed(job, buffer, (size_t)n);
	if (!error)
		error = n < 0 ? -errno : export_need(job, format, based, need);
	export_need_free(job);
	if (fd >= 0)
		close(fd);
	return error;
}

void input_say_large(const char *path)
{
	log_error("%s: larger than %llu MiB, the most that a profile may have", input_name(path),
	    PROFILE_BYTES_MAX >> 20);
}

const char *input_name(const char *path)
{
	return strcmp(path, "-") ? path : "standard input";
}

// Whether P measures what one of TYPES does: a profile does not say more of its type than that.
static bool is_of(const struct profile *p, uint32_t types)
{
	const struct profile_type *has = profile_header_of(p)->type;
	for (int t = 0; has && t < PATH_TYPE_COUNT; t++) {
		const struct profile_type *asked = profile_type_find(path_type_name(t));
		if (types & 1u << t && profile_type_match(asked->values, asked->value_count) ==
					   profile_type_match(has->values, has->value_count))
			return true;
	}
	return false;
}

struct profile *input_profile(
    const char *path, const struct config *config, uint32_t types, int *error)
{
	struct input in;
	struct profile *p = NULL;
	*error = -EINVAL;
	limit_hold(config);
	if (open_input(&in, path) < 0) {
		// The line is written.
	} else if (!tape_is(in.head, in.head_size)) {
		p = read_pprof(&in, error);
		if (p && types && !is_of(p, types)) {
			log_error(
			    "%s: holds another type than -t says, and only that: leave -t out",
			    in.name);
			profile_free(p);
			p = NULL;
			*error = -EINVAL;
		}
	} else if (!S_ISREG(in.st.st_mode)) {
		say(&in, "a recording in a pipe: put it into a file");
	} else {
		p = replay_profile(in.path ? in.path : "/dev/stdin", config, types);
		if (p)
			profile_seal(p);
		*error = p ? 0 : -EINVAL;
	}
	if (in.fd >= 0)
		close(in.fd);
	return p;
}
