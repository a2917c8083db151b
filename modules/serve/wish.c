// SPDX-License-Identifier: Apache-2.0
// Which samples a query means: those of a process, a command, a container, a pod, a service, and of
// threads that were off the CPU for some reasons.
#include "private.h"

#include "../../bpf/reason.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

// What stands for a sample that tells no reason, behind the kernel's reasons.
enum { ON_CPU = OFF_COUNT, NOBODYS, OTHER, REASONS };
_Static_assert(REASONS <= 32, "reasons are bits of 32");
#define BIT(reason) (1u << (reason))
#define RUNNABLE (BIT(OFF_PREEMPTED) | BIT(OFF_SCHEDULER) | BIT(OFF_CGROUP))

static const char *const reasons[] = {
#define X(id, name) [OFF_##id] = name,
    OFF_REASONS(X)
#undef X
	[ON_CPU] = "running",
};
#define NAMED (sizeof(reasons) / sizeof(*reasons))

// Those that a profile of TYPE can be asked for, 0: it tells none.
static uint32_t reasons_of(const char *type)
{
	if (!strcmp(type, "wall"))
		return BIT(NAMED) - 1;
	if (!strcmp(type, "offcpu"))
		return BIT(OFF_COUNT) - 1;
	return strcmp(type, "block") ? 0 : (BIT(OFF_COUNT) - 1) & ~RUNNABLE;
}

void wish_list_reasons(struct text *t, const char *type)
{
	uint32_t known = reasons_of(type);
	for (uint32_t i = 0; i < NAMED; i++)
		if (known & BIT(i))
			text_printf(t, "%s%s", known & (BIT(i) - 1) ? ", " : "", reasons[i]);
}

static bool is(const struct profile *p, uint32_t name, const char *wanted)
{
	return strcmp(profile_name(p, name), wanted) == 0;
}

// The label KEY of a subject as a name, 0 where it has none.
static uint32_t label(const struct profile *p, const struct profile_subject *s, const char *key)
{
	uint32_t count = 0;
	const struct profile_label *l = s->labels ? profile_labels(p, s->labels, &count) : NULL;
	for (uint32_t i = 0; i < count; i++)
		if (is(p, l[i].key, key))
			return l[i].str;
	return 0;
}

static bool has_label(
    const struct profile *p, const struct profile_subject *s, const char *key, const char *wanted)
{
	return is(p, label(p, s, key), wanted);
}

#define ID_DIGITS 12
// A container is named by its id or the first twelve digits and more of it, as its tools print it,
// or as its pod calls it.
static bool is_container(
    const struct profile *p, const struct profile_subject *s, const char *wanted)
{
	size_t n = strlen(wanted);
	return (n >= ID_DIGITS && strncmp(profile_name(p, s->container), wanted, n) == 0) ||
	       has_label(p, s, "container", wanted);
}

// Digits of an id that are too few. A name of nothing but letters may be one like "db".
static bool is_short_id(const char *s)
{
	size_t n = strlen(s);
	return n && n < ID_DIGITS && strspn(s, "0123456789abcdef") == n && strpbrk(s, "0123456789");
}

static uint32_t reason_of(const struct profile *p, const struct profile_subject *s)
{
	uint32_t told = label(p, s, "reason");
	if (!told)
		return s->pid ? ON_CPU : NOBODYS;
	for (uint32_t i = 0; i < OFF_COUNT; i++)
		if (is(p, told, reasons[i]))
			return i;
	return OTHER;
}

bool wish_takes(void *wish, const struct profile *from, const struct profile_subject *s)
{
	const struct wish *w = wish;
	return (!w->by_pid || s->pid == w->pid) &&
	       (!*w->comm || is(from, s->comm, w->comm) || is(from, s->process, w->comm)) &&
	       (!*w->container || is_container(from, s, w->container)) &&
	       (!*w->namespace || has_label(from, s, "namespace", w->namespace)) &&
	       (!*w->pod || has_label(from, s, "pod", w->pod) ||
		   has_label(from, s, "k8s_pod_uid", w->pod)) &&
	       (!*w->service || has_label(from, s, "service_name", w->service)) &&
	       (!w->reasons || w->reasons & BIT(reason_of(from, s)));
}

bool wish_takes_all(const struct wish *w)
{
	return !w->by_pid && !*w->comm && !*w->container && !*w->namespace && !*w->pod &&
	       !*w->service && !w->reasons;
}

int serve_number(struct http_request *r, const char *key, uint64_t max, uint64_t *value)
{
	const char *s = http_query(r, key);
	uint64_t v = 0;
	if (!s)
		return 0;
	int error = text_number(s, strlen(s), 10, &v);
	if (error || v > max) {
		serve_say(r, 400, NULL, "%s: %.40s: not a number from 0 to %" PRIu64, key, s, max);
		return -EINVAL;
	}
	*value = v;
	return 0;
}

static int string(struct http_request *r, const char *key, char *to, size_t size)
{
	const char *s = http_query(r, key);
	if (!s)
		return 0;
	if (strlen(s) >= size) {
		serve_say(r, 400, NULL, "%s: %.40s...: longer than %zu bytes", key, s, size - 1);
		return -EINVAL;
	}
	text_copy(to, size, s);
	return 0;
}

static int refuse_reason(struct http_request *r, const char *type, const char *s, size_t n)
{
	struct text t = TEXT(ACCOUNT_SERVE);
	wish_list_reasons(&t, type);
	serve_say(r, 400, NULL, "reason: %.*s: not one of %s", (int)(n < 40 ? n : 40), s,
	    t.error ? "those that there are" : t.at);
	text_free(&t);
	return -EINVAL;
}

// "sleep,io"
static int read_reasons(struct http_request *r, const char *type, uint32_t *wanted)
{
	const char *s = http_query(r, "reason");
	uint32_t known = reasons_of(type);
	// Go's block profile is of threads that cannot go on, not of those that wait for a CPU;
	// what is lost, or told by another version, stays in it.
	*wanted = strcmp(type, "block") ? 0 : (BIT(REASONS) - 1) & ~RUNNABLE;
	if (!s)
		return 0;
	if (!known) {
		serve_say(r, 400, NULL,
		    "reason: a profile of type %.31s tells none: offcpu and wall do", type);
		return -EINVAL;
	}
	*wanted = 0;
	for (size_t n;; s += n + 1) {
		uint32_t i = 0;
		n = strcspn(s, ",");
		while (i < NAMED &&
		       !(known & BIT(i) && strlen(reasons[i]) == n && !memcmp(reasons[i], s, n)))
			i++;
		if (i == NAMED)
			return refuse_reason(r, type, s, n);
		*wanted |= BIT(i);
		if (!s[n])
			return 0;
	}
}

int wish_read(struct http_request *r, const char *type, struct wish *w)
{
	uint64_t pid = 0;
	if (serve_number(r, "pid", INT32_MAX, &pid) ||
	    string(r, "comm", w->comm, sizeof(w->comm)) ||
	    string(r, "container", w->container, sizeof(w->container)) ||
	    string(r, "namespace", w->namespace, sizeof(w->namespace)) ||
	    string(r, "pod", w->pod, sizeof(w->pod)) ||
	    string(r, "service", w->service, sizeof(w->service)) ||
	    read_reasons(r, type, &w->reasons))
		return -EINVAL;
	w->by_pid = http_query(r, "pid");
	w->pid = (uint32_t)pid;
	if (is_short_id(w->container)) {
		serve_say(r, 400, NULL, "container: %s: write at least %d digits of its id",
		    w->container, ID_DIGITS);
		return -EINVAL;
	}
	return 0;
}
