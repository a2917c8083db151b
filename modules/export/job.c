// SPDX-License-Identifier: Apache-2.0
#include "job.h"

#include <errno.h>
#include <string.h>

static const struct encoder *const encoders[] = {
    [EXPORT_PPROF] = &pprof_encoder,
    [EXPORT_FOLDED] = &folded_encoder,
    [EXPORT_SPEEDSCOPE] = &speedscope_encoder,
    [EXPORT_HTML] = &html_encoder,
    [EXPORT_FLAME] = &flame_encoder,
};

struct export_job *export_new(const struct profile *p, const struct profile *base,
    enum export_format format, const char *title, const struct wire_sink *sink)
{
	const struct encoder *encoder = encoders[format];
	size_t length = strlen(title) + 1;
	struct export_job *job = mem_alloc(ACCOUNT_EXPORT, encoder->size + length);
	if (!job)
		return NULL;
	char *copy = (char *)job + encoder->size;
	memcpy(copy, title, length);
	*job = (struct export_job){.encoder = encoder,
	    .p = p,
	    .base = base,
	    .title = copy,
	    .sink = *sink,
	    .out = TEXT(ACCOUNT_EXPORT),
	    .result = 1};
	int error = encoder->start(job);
	if (error) {
		export_job_free(job);
		return errno = -error, NULL;
	}
	return job;
}

int export_step(struct export_job *job, uint64_t budget_ns)
{
	struct slice slice = slice_begin(budget_ns);
	if (job->result == 1)
		job->result = job->encoder->step(job, &slice);
	return job->result;
}

void export_job_free(struct export_job *job)
{
	if (!job)
		return;
	job->encoder->stop(job);
	text_free(&job->out);
	mem_free(job);
}

int export_all(const struct profile *p, const struct profile *base, enum export_format format,
    const char *title, const struct wire_sink *sink)
{
	struct export_job *job = export_new(p, base, format, title, sink);
	if (!job)
		return -errno;
	int result;
	do {
		result = export_step(job, UINT64_MAX);
	} while (result == 1);
	export_job_free(job);
	return result;
}

int export_flush(struct export_job *job, bool all)
{
	enum { WORTH = 8192 };
	struct text *t = &job->out;
	if (t->error || !t->len || (!all && t->len < WORTH))
		return t->error;
	int error = job->sink.write(job->sink.arg, t->at, t->len);
	text_reset(t);
	return error;
}

bool export_is_zero(const struct profile *p, const struct profile_sample *s)
{
	int64_t any = 0;
	for (uint32_t v = 0; v < profile_header_of(p)->value_count; v++)
		any |= s->values[v];
	return !any;
}

void export_frame_name(struct text *to, const struct profile *p, const struct profile_frame *f)
{
	const struct profile_mapping *m = profile_mapping(p, f->mapping);
	if (f->name) {
		export_utf8(to, profile_name(p, f->name));
	} else if (m && m->file) {
		const char *file = profile_name(p, m->file), *slash = strrchr(file, '/');
		text_puts(to, "[");
		export_utf8(to, slash ? slash + 1 : file);
		text_printf(to, "+0x%llx]", (unsigned long long)f->address);
	} else {
		text_puts(to, "[unknown]");
	}
}

void export_utf8(struct text *to, const char *s)
{
	size_t n = strlen(s);
	if (text_utf8_valid(s, n)) {
		text_add(to, s, n);
		return;
	}
	for (size_t step; n; s += step, n -= step) {
		unsigned char c = (unsigned char)*s;
		step = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		if (step <= n && text_utf8_valid(s, step)) {
			text_add(to, s, step);
		} else {
			text_puts(to, "\xef\xbf\xbd");
			step = 1;
		}
	}
}

const char *export_valid(struct text *to, const char *s, size_t *length)
{
	*length = strlen(s);
	text_reset(to);
	if (text_utf8_valid(s, *length))
		return s;
	export_utf8(to, s);
	*length = to->error ? 0 : to->len;
	return *length ? to->at : "";
}

bool export_grow(void *items, uint32_t *cap, uint32_t count, size_t size)
{
	void *at;
	if (count < *cap)
		return true;
	uint32_t more = count < 32 ? 64 : count * 2;
	memcpy(&at, items, sizeof(at)); // whatever type of pointer it is
	at = count < UINT32_MAX / 2 ? mem_resize(ACCOUNT_EXPORT, at, more * size) : NULL;
	if (!at)
		return false;
	memcpy(items, &at, sizeof(at));
	*cap = more;
	return true;
}
