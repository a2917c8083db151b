// SPDX-License-Identifier: Apache-2.0
// What a series is called: the labels that tell whose samples it holds.
#include "series.h"

#include <stdio.h>
#include <string.h>

static const char *label_name(const struct series_labels *l, uint32_t i)
{
	return l->text.at + l->at[i].name;
}

// Prometheus' [a-zA-Z_][a-zA-Z0-9_]*: other bytes become '_', as OpenTelemetry's attributes do
// there.
static void valid_name(char to[SERIES_NAME_MAX], const char *from)
{
	uint32_t n = 0;
	if (*from >= '0' && *from <= '9')
		to[n++] = '_';
	for (; *from && n < SERIES_NAME_MAX - 1; from++) {
		char c = *from;
		bool valid =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		to[n++] = valid ? c : '_';
	}
	to[n] = 0;
}

// Adds VALUE, as UTF-8 and cut where a character ends.
static void add_value(struct text *t, const char *value)
{
	size_t start = t->len;
	export_utf8(t, value);
	if (t->error || t->len - start <= SERIES_VALUE_MAX)
		return;
	t->len = start + SERIES_VALUE_MAX;
	while ((t->at[t->len] & 0xc0) == 0x80)
		t->len--;
}

// The first of a name holds; one without a value, or without room, is none.
static void add(struct series_labels *l, const char *key, const char *value)
{
	char name[SERIES_NAME_MAX];
	uint32_t i = 0;
	valid_name(name, key);
	if (!*name || !*value || l->count == SERIES_LABELS_MAX || l->text.error)
		return;
	while (i < l->count && strcmp(label_name(l, i), name) < 0)
		i++;
	if (i < l->count && !strcmp(label_name(l, i), name))
		return;
	uint32_t at = (uint32_t)l->text.len;
	text_add(&l->text, name, strlen(name) + 1);
	uint32_t value_at = (uint32_t)l->text.len;
	add_value(&l->text, value);
	text_add(&l->text, "", 1);
	if (l->text.error)
		return;
	memmove(&l->at[i + 1], &l->at[i], (l->count++ - i) * sizeof(*l->at));
	l->at[i].name = at;
	l->at[i].value = value_at;
}

// What the receivers' pages know by name: Go's profiles under Go's names. Pages that became
// resident are not what Go calls memory.
static const struct {
	const char *type, *pyroscope, *parca;
} names[] = {
    {"cpu", "process_cpu", "parca_agent"},
    {"offcpu", "off_cpu", "parca_agent"},
    {"wall", "wall", "wall"},
    {"mutex", "mutex", "mutex"},
    {"memory", "page_faults", "page_faults"},
    {"allocs", "memory", "memory"},
    {"heap", "memory", "memory"},
    {"goblock", "block", "block"},
    {"mapped", "mapped", "mapped"},
};

static void add_profile_name(const struct series_job *j, struct series_labels *l)
{
	const struct profile_header *h = profile_header_of(j->r.p);
	const char *type = h->type ? h->type->name : profile_name(j->r.p, h->value_types[0]);
	char name[SERIES_NAME_MAX];
	for (size_t i = 0; h->type && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i].type, type))
			type = series_is_parca(j) ? names[i].parca : names[i].pyroscope;
	valid_name(name, type);
	add(l, "__name__", *name ? name : "profile");
}

static bool begins_with(const char *s, const char *head)
{
	return !strncmp(s, head, strlen(head));
}

// An attribute of a resource that makes a label: of a process's only those that all its instances
// share.
static bool makes_label(const char *key)
{
	return !begins_with(key, "__") &&
	       (!begins_with(key, "process.") || begins_with(key, "process.executable.") ||
		   begins_with(key, "process.runtime.") || !strcmp(key, "process.owner"));
}

static void add_given(const struct series_job *j, struct series_labels *l)
{
	for (const char *const *r = j->r.options.resource; r && r[0]; r += 2)
		if (makes_label(r[0]))
			add(l, r[0], r[1]);
}

static void add_attributes(
    const struct series_job *j, const struct profile_subject *s, struct series_labels *l)
{
	uint32_t count;
	const struct profile_label *a = profile_labels(j->r.p, s->resource, &count);
	for (uint32_t i = 0; i < count; i++) {
		char number[24];
		const char *key = profile_name(j->r.p, a[i].key);
		if (!makes_label(key) || (!a[i].str && !a[i].num)) // 0 is also an empty text
			continue;
		snprintf(number, sizeof(number), "%lld", (long long)a[i].num);
		add(l, key, a[i].str ? profile_name(j->r.p, a[i].str) : number);
	}
}

// Of a process. Kubernetes' names also stand as its pages in Grafana ask for them.
static void add_process(
    const struct series_job *j, const struct profile_subject *s, struct series_labels *l)
{
	static const char *const short_names[][2] = {{"namespace", "k8s.namespace.name"},
	    {"pod", "k8s.pod.name"}, {"container", "k8s.container.name"}};
	const char *comm = profile_name(j->r.p, s->process ? s->process : s->comm);
	const char *service = resource_value(&j->r, s->resource, "service.name");
	char unknown[REQUEST_SERVICE_MAX], pid[16];
	request_unknown_service(unknown, comm);
	add(l, "service_name", *service ? service : unknown);
	snprintf(pid, sizeof(pid), "%u", s->pid);
	if (series_is_parca(j)) // its list of agents goes by the host
		add(l, "pid", pid);
	else
		add(l, "node", resource_value(&j->r, s->resource, "k8s.node.name"));
	add(l, "node", j->r.options.host);
	add(l, "node", resource_value(&j->r, s->resource, "k8s.node.name"));
	add(l, "comm", comm);
	add(l, "container_id", profile_name(j->r.p, s->container));
	for (size_t i = 0; i < sizeof(short_names) / sizeof(*short_names); i++)
		add(l, short_names[i][0], resource_value(&j->r, s->resource, short_names[i][1]));
}

int series_labels_of(const struct series_job *j, uint32_t subject, struct series_labels *l)
{
	const struct profile_subject *s = profile_subject(j->r.p, subject);
	const struct requests_options *o = &j->r.options;
	text_reset(&l->text);
	l->count = 0;
	add_profile_name(j, l);
	// Pyroscope would take the difference to the last profile otherwise; ours are of a window
	// already.
	if (!series_is_parca(j))
		add(l, "__delta__", "false");
	// What was lost is nobody's but our own.
	if (!s->pid) {
		add(l, "service_name", *o->service ? o->service : "telegen");
		add(l, "node", o->host);
	} else {
		add_process(j, s, l);
	}
	add_given(j, l);
	if (s->pid)
		add_attributes(j, s, l);
	return l->text.error;
}
