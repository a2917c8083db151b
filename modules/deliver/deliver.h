// SPDX-License-Identifier: Apache-2.0
// Delivery: sealed profiles to the receivers of the configuration, each by itself:
//
//   profile --requests_step (slices)--> bodies --> spool --> client --> receiver
//                                                    '- again after a while, where the receiver
//                                                    says so
//
// What was taken is sent, waiting, or counted as dropped with its cause: sent + waiting + dropped =
// taken, in samples, for each destination.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deliver;
struct config;
struct loop;
struct budget;
struct profile;
struct text;

struct deliver_options {
	struct loop *loop;
	struct budget *budget;
	const struct config *config; // borrowed
	const char *version;	     // of the agent; borrowed
};
// NULL: no destination is configured (errno 0), or one is wrong (errno, WHY names the option, its
// value, the way out).
struct deliver *deliver_new(const struct deliver_options *options, char *why, size_t why_size);
void deliver_free(struct deliver *d);
// Whether deliver_new would refuse C for its values: 0, or -errno with its line in WHY.
int deliver_check(const struct config *c, char *why, size_t why_size);
// Bytes in output.directory that wait for receivers which C does not name: told by deliver_new, and
// part of what it may take there.
uint64_t deliver_left(const struct config *c);
// Encodes P for every destination that takes its type: P must stay until deliver_step returns 0.
void deliver_put(struct deliver *d, const struct profile *p);
int deliver_step(struct deliver *d, uint64_t budget_ns); // 1 more, 0 encoded (or told why not)
// Tries to send what waits for at most TIMEOUT_NS, then calls DONE once, from the loop. What is
// left stays in files, or is counted as dropped, and told.
void deliver_finish(struct deliver *d, uint64_t timeout_ns, void (*done)(void *arg), void *arg);
// A new configuration takes over: no request begins any more. DONE is called once, from the loop, when
// none is under way, or after TIMEOUT_NS. Then deliver_retire, or deliver_finish after all.
void deliver_rest(struct deliver *d, uint64_t timeout_ns, void (*done)(void *arg), void *arg);
// Lets go of the loop, the budget, the configuration and the files, and keeps what waits in memory and
// the figures: D itself (NULL for NULL), for deliver_go_on or deliver_free alone.
struct deliver *deliver_retire(struct deliver *d);
// D, new and not run yet, goes on with what BEFORE, retired, has for its receivers, by their names.
// The rest is dropped, and told. D and BEFORE may be NULL; BEFORE is freed.
void deliver_go_on(struct deliver *d, struct deliver *before);
void deliver_metrics(const struct deliver *d, struct text *out); // Prometheus text
