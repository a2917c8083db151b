// Replaced one by one by the encoders.
#include "requests.h"
#include <errno.h>
static int none(struct requests *r) { (void)r; return -ENOSYS; }
static int none_step(struct requests *r, struct slice *s) { (void)r; (void)s; return -ENOSYS; }
static void nothing(struct requests *r) { (void)r; }
#define STUB(name) __attribute__((weak)) const struct request_encoder name = {sizeof(struct requests), "", NULL, none, none_step, nothing, NULL};
STUB(otlp_requests) STUB(logs_requests) STUB(metrics_requests)
