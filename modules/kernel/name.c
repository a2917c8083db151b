// SPDX-License-Identifier: Apache-2.0
// Names of kernel addresses from the kernel itself (bpf/name.bpf.h).
#include "private.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "telegen.skel.h"

// "name+0x1f/0x80", "name+0x1f/0x80 [module]" or "name+0x1f/0x80 [module build-id]": cuts TEXT up.
// False where it is none of these: the kernel had no name (it prints plain hex), or it was too
// long.
static bool cut(char *text, uint64_t address, uint64_t *start, uint64_t *end, const char **module)
{
	char *plus = NULL;
	for (char *at = strstr(text, "+0x"); at; at = strstr(at + 1, "+0x"))
		plus = at;
	char *slash = plus ? strchr(plus, '/') : NULL;
	uint64_t offset, size;
	if (!plus || plus == text || !slash || strncmp(slash, "/0x", 3))
		return false;
	size_t digits = strspn(slash + 3, "0123456789abcdef");
	char *tail = slash + 3 + digits;
	if (text_number(plus + 3, (size_t)(slash - plus - 3), 16, &offset) < 0 ||
	    text_number(slash + 3, digits, 16, &size) < 0 || offset > address || offset >= size ||
	    size > UINT64_MAX - (address - offset))
		return false;
	*module = "";
	if (*tail) {
		size_t n = strcspn(tail, "]");
		if (strncmp(tail, " [", 2) || strcmp(tail + n, "]") || n == 2)
			return false;
		tail[2 + strcspn(tail + 2, " ]")] = 0;
		*module = tail + 2;
	}
	*start = address - offset;
	*end = *start + size;
	*plus = 0;
	return true;
}

int kernel_name(struct kernel *k, const uint64_t *addresses, uint32_t count,
    void (*named)(void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name,
	const char *module),
    void *arg)
{
	uint32_t zero = 0;
	if (!k->names)
		return -EOPNOTSUPP;
	if (count > KERNEL_NAMES_MAX)
		return -EINVAL;
	if (!count)
		return 0;
	if (!k->asked)
		k->asked = mem_alloc(ACCOUNT_KERNEL, sizeof(*k->asked));
	if (!k->asked)
		return -ENOMEM;
	memset(k->asked, 0, sizeof(*k->asked));
	memcpy(k->asked->address, addresses, count * sizeof(*addresses));
	int map = bpf_map__fd(k->bpf->maps.names);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	if (bpf_map_update_elem(map, &zero, k->asked, BPF_ANY) ||
	    bpf_prog_test_run_opts(bpf_program__fd(k->bpf->progs.name_kernel), &run) ||
	    bpf_map_lookup_elem(map, &zero, k->asked)) {
		int error = -errno;
		log_warn("kernel names: %s: /proc/kallsyms is read instead", strerror(-error));
		k->names = false;
		return error;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t start, end;
		const char *module;
		char *text = k->asked->text[i];
		text[KERNEL_NAME_LEN - 1] = 0;
		bool whole = strlen(text) < KERNEL_NAME_LEN - 1; // else the size may be half of it
		if (whole && cut(text, addresses[i], &start, &end, &module))
			named(arg, i, start, end, text, module);
		else
			named(arg, i, addresses[i], addresses[i] + 1, NULL, "");
	}
	return 0;
}

struct asked {
	struct map *m;
	const uint64_t *addresses;
	uint64_t (*class_of)(const char *name);
};

static void on_name(
    void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name, const char *module)
{
	const struct asked *a = arg;
	(void)start;
	(void)end;
	(void)module;
	map_put(a->m, a->addresses[index], name ? a->class_of(name) : 0); // or asked for again
}

int kernel_classify(struct kernel *k, struct map *m, const uint64_t *addresses, uint32_t count,
    uint64_t (*class_of)(const char *name))
{
	struct asked a = {m, addresses, class_of};
	return kernel_name(k, addresses, count, on_name, &a);
}
