// SPDX-License-Identifier: Apache-2.0
// Upload: the windows of one upload_interval become one profile, for the directory and for
// receivers.
//
//   sealed --merged--> upload --each upload_interval--> sealed too, written, delivered, freed
//      '--no memory to merge--> written and delivered by itself
#include "private.h"

#include <errno.h>
#include <string.h>

static void deliver_begin(struct path *p)
{
	p->phase = SHIP_DELIVER;
	if (p->options.deliver)
		deliver_put(p->options.deliver, p->writing);
}

// WHAT is written, if there is a directory, and then delivered.
static void write_begin(struct path *p, const struct profile *what)
{
	p->writing = what;
	p->phase = SHIP_WRITE;
	if (!p->options.directory) {
		deliver_begin(p);
		return;
	}
	int error = directory_put(p->options.directory, what);
	if (!error)
		return;
	count_add(COUNT_FILES_FAILED, 1); // cannot be: one file at a time
	log_seldom(LOG_LEVEL_ERROR, "output.directory: %s", strerror(-error));
	deliver_begin(p);
}

// Half a window of tolerance: intervals are kept, though windows close a little early or late.
static bool is_due(const struct path *p)
{
	bool last = p->finishing && p->over;
	return p->upload_wanted || last ||
	       p->closed_ns + p->options.collection_ns / 2 >= p->upload_due;
}

static int write_upload(struct path *p)
{
	struct profile **upload = &p->upload[p->shipping];
	p->uploaded = true;
	profile_seal(*upload);
	write_begin(p, *upload);
	return 1;
}

void upload_over(struct path *p)
{
	if (!p->uploaded)
		return;
	p->uploaded = p->upload_wanted = false;
	p->upload_due = p->closed_ns + p->options.upload_ns;
}

static int merge_begin(struct path *p)
{
	struct profile **upload = &p->upload[p->shipping];
	const struct profile_type *type = profile_header_of(p->sealed)->type;
	if (type && type->state) { // the newest takes the place of all before
		profile_free(*upload);
		*upload = NULL;
	}
	bool first = !*upload;
	if (first)
		*upload = profile_new_like(ACCOUNT_PROFILE, p->sealed);
	p->merge = *upload ? profile_merge_new(*upload, p->sealed, 1, NULL, NULL) : NULL;
	if (p->merge)
		return 0;
	int error = -errno;
	if (first) {
		profile_free(*upload);
		*upload = NULL;
	} else {
		p->upload_wanted = true; // written early it gives its memory back
	}
	return error;
}

int upload_merge(struct path *p, uint64_t budget_ns)
{
	if (!p->options.directory && !p->options.deliver)
		return 0;
	int error = p->merge ? 0 : merge_begin(p);
	if (error) {
		log_seldom(LOG_LEVEL_WARN,
		    "profiling.upload_interval: %s: this window is shipped by itself",
		    strerror(-error));
		write_begin(p, p->sealed);
		return 1;
	}
	if (profile_merge_step(p->merge, budget_ns) > 0)
		return 1;
	profile_merge_free(p->merge);
	p->merge = NULL;
	return is_due(p) ? write_upload(p) : 0;
}

int upload_write(struct path *p, uint64_t budget_ns)
{
	if (directory_step(p->options.directory, budget_ns) <= 0)
		deliver_begin(p); // a failure was told and counted by the directory
	return 1;
}

int upload_deliver(struct path *p, uint64_t budget_ns)
{
	struct profile **upload = &p->upload[p->shipping];
	if (p->options.deliver && deliver_step(p->options.deliver, budget_ns) > 0)
		return 1; // what fails is told and counted there
	if (p->writing == *upload) {
		profile_free(*upload);
		*upload = NULL;
	} else if (*upload && is_due(p)) {
		return write_upload(p);
	}
	return 0;
}
