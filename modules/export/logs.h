// SPDX-License-Identifier: Apache-2.0
// A sample in the terms of the Go agent, for the encoders of logs and metrics; private to this
// room.
//
//   profile_sample -> sample_facts -> attributes of a record or a point (struct attributes)
//                                  -> JSON of a record's body
#pragma once
#include "requests.h"

enum metric_kind { METRIC_COUNT, METRIC_VALUE, METRIC_DISTRIBUTION };
struct metric {
	const char *name, *description, *unit;
	enum metric_kind kind;
};
struct agent_type {
	const char *ours, *name, *event, *subcategory, *component;
	const struct metric *metrics; // the first is of kind METRIC_COUNT; NULL: it has none
	uint32_t metric_count;
	bool memory; // its value is bytes
};
// Of a type that the agent does not know: under its own name.
struct agent_type agent_type_of(const struct profile *p);

// The texts are borrowed from the profile, the options or the buffers that sample_facts was given.
struct sample_facts {
	const struct requests *r;
	const struct agent_type *type;
	const struct profile_sample *sample;
	const struct profile_subject *who;
	int64_t value, duration_ns, count; // duration_ns 0: it has none
	uint32_t process, thread;	   // where "process.pid" and "thread.tid" say them
	uint32_t thread_id;
	const char *service, *version, *pod, *namespace, *container, *node, *deployment, *host;
	const char *app, *comm, *executable, *container_id, *reason;
	const char *function; // of the first frame, "" where there is none
	bool resolved;
	const uint32_t *frames;
	uint32_t depth;
	uint32_t kernel; // frames[0..kernel) are the kernel's
	uint32_t kernel_count;
};
struct facts_buffers {
	struct text function, deployment;
};
// 0 or -ENOMEM.
int sample_facts(struct sample_facts *f, const struct requests *r, const struct agent_type *type,
    const struct profile_sample *s, struct facts_buffers *buffers);
// Frame I in the order that is to be shown.
const struct profile_frame *sample_frame(const struct sample_facts *f, uint32_t i);
// As it is to be called; replaces TO.
void sample_function(
    const struct sample_facts *f, const struct profile_frame *frame, struct text *to);
// The name without namespaces and packages: "run" of "std::x<a::b>::run", "http.Get" of
// "net/http.Get".
const char *sample_short(const char *function);
// Value of the sample's label KEY, or "".
const char *sample_label(const struct sample_facts *f, const char *key);

// Bytes of a field of LENGTH bytes, whose number is below 16, with its tag and length.
static inline uint64_t field_size(uint64_t length)
{
	return 1 + (63 - (uint64_t)__builtin_clzll(length | 1)) / 7 + 1 + length;
}

// Fields of a message that is made in memory; TEXT.error tells of all of them.
struct attributes {
	struct wire_out *out; // into `text`
	struct text text, valid;
};
int attributes_new(struct attributes *a); // 0 or -ENOMEM
void attributes_free(struct attributes *a);
void attributes_reset(struct attributes *a);
// A KeyValue as FIELD; nothing where the text is empty. What is not UTF-8 becomes U+FFFD.
void attribute_text(struct attributes *a, uint32_t field, const char *key, const char *value);
void attribute_number(struct attributes *a, uint32_t field, const char *key, int64_t value);
void attribute_true(struct attributes *a, uint32_t field, const char *key);
// Replaces what A holds with the Resource of a process, or with `go` of the agent.
void attributes_resource(struct attributes *a, const struct requests *r, uint32_t set);
// ... with the InstrumentationScope.
void attributes_scope(struct attributes *a, const char *name, const char *version);

// Replaces TO by the JSON of a record's body.
void logs_body(struct text *to, struct text *scratch, const struct sample_facts *f);
