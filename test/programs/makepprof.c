// SPDX-License-Identifier: Apache-2.0
// makepprof write FILE SAMPLES SEED: a seeded profile of a node as pprof; makepprof read FILE: what
// our reader makes of a file. Both print "TYPE VALUE... SAMPLES" and what each
// leaf function comes to, for test/pprof-truth.
#include "profiles.h"

static int put(void *arg, const void *bytes, size_t n)
{
	return fwrite(bytes, 1, n, arg) == n ? 0 : -EIO;
}

static void print_leaves(const struct profile *p)
{
	for (uint32_t i = 0; i < profile_sample_count(p); i++) {
		const struct profile_sample *s = profile_sample(p, i);
		uint32_t depth;
		const uint32_t *frames = profile_stack(p, s->stack, &depth);
		if (depth && s->values[0])
			printf("leaf %" PRId64 " %s\n", s->values[0],
			    profile_name(p, profile_frame(p, frames[0])->name));
	}
}

static void print(const struct profile *p)
{
	const struct profile_header *h = profile_header_of(p);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	printf("%s", h->type ? h->type->name : "foreign");
	for (uint32_t v = 0; v < h->value_count; v++)
		printf(" %" PRId64, totals[v]);
	uint32_t samples = 0;
	for (uint32_t i = 0; i < profile_sample_count(p); i++)
		samples += profile_sample(p, i)->values[0] != 0;
	printf(" %u\n", samples);
	print_leaves(p);
}

static int write_file(const char *path, uint32_t samples, uint64_t seed)
{
	FILE *f = fopen(path, "w");
	struct profile *p = profiles_node(samples, seed);
	struct wire_sink sink = {put, f};
	int error = f && p ? export_all(p, NULL, EXPORT_PPROF, "", &sink) : -EIO;
	if (f && fclose(f))
		error = -EIO;
	if (!error)
		print(p);
	profile_free(p);
	return error != 0;
}

static int read_file(const char *path)
{
	static char bytes[8 << 20];
	char why[200] = "cannot be opened";
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(bytes, 1, sizeof(bytes), f) : 0;
	struct profile *p = f ? profiles_import(bytes, n, why) : NULL;
	if (f)
		fclose(f);
	if (!p)
		return fprintf(stderr, "%s: %s\n", path, why), 1;
	print(p);
	profile_free(p);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "write"))
		return write_file(
		    argv[2], (uint32_t)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "read"))
		return read_file(argv[2]);
	fprintf(stderr, "usage: makepprof write FILE SAMPLES SEED | read FILE\n");
	return 2;
}
