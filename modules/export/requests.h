// SPDX-License-Identifier: Apache-2.0
// What all kinds of requests have in common; private to this room.
//
//   requests_put -> encoder->start -> encoder->step ... -> encoder->stop
//                        step: request_open, fields into r->out, request_close, and so on for each body
//
// An encoder keeps its state, for one profile or for the life of the destination, in a structure that begins with
// a struct requests.
#pragma once
#include "job.h"

#define REQUEST_BYTES_MAX (15u << 18) // 3.75 MiB: receivers refuse more than 4

struct requests {
	const struct request_encoder *encoder;
	struct requests_options options;
	struct requests_out sink;
	const struct profile *p;
	struct wire_gzip *gzip; // of the body that is open, where it is compressed
	struct wire_out *out;	// into it
	uint64_t bytes;		// written into it, before compression
	struct requests_facts facts; // of the body that is open
	uint64_t sent;	// samples in bodies that ended
	uint64_t left_out, untold; // untold: of these
	bool open, closing; // a body is; its end was asked for
	int result;	    // of the last step
};
struct request_encoder {
	size_t size;		// of its state
	const char *content_type;
	int (*born)(struct requests *r);  // once; NULL: nothing to do
	int (*start)(struct requests *r); // a profile: 0 or -errno
	int (*step)(struct requests *r, struct slice *slice); // 1 more, 0 done, -errno
	void (*stop)(struct requests *r); // of a profile, whole or not
	void (*gone)(struct requests *r); // once; NULL
};
extern const struct request_encoder otlp_requests, logs_requests, metrics_requests, pyroscope_requests,
    parca_requests;

// How many samples were taken that S stands for: its first value that is a count; 1 where the type has none. All of a
// profile are facts.samples of its bodies and what was left out.
int64_t request_weight(const struct requests *r, const struct profile_sample *s);
// What label set SET of a process says of KEY as a text, and what is said of all: "" where nothing is.
const char *resource_own(const struct requests *r, uint32_t set, const char *key);
const char *resource_value(const struct requests *r, uint32_t set, const char *key); // the first of both that there is
// Service of who has none, by COMM up to its first '/': "unknown_service:kworker", not one for each worker.
#define REQUEST_SERVICE_MAX 256
void request_unknown_service(char name[static REQUEST_SERVICE_MAX], const char *comm);
int request_open(struct requests *r); // 0 or -errno
// Ends the body that is open, which holds facts.samples: 1 more (return from the step, call it again), 0, -errno.
int request_close(struct requests *r);
