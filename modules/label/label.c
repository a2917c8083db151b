// SPDX-License-Identifier: Apache-2.0
// Container ids in cgroup paths. The shapes, with I for 64 hexadecimal digits:
//
//   /docker/I   /ecs/TASK/I   /kubepods/burstable/podUID/I             cgroupfs driver: the bare id
//   docker-I.scope  cri-containerd-I.scope  crio-I.scope  libpod-I.scope   systemd driver: runtime,
//   dash, id /kubepods-besteffort-podUID.slice:cri-containerd:I                 systemd's name
//   given to a cgroupfs driver libpod-conmon-I.scope  crio-conmon-I the monitor beside the
//   container, on the host
#include "label.h"

#include <string.h>

#define ID_LENGTH 64

static bool ends_in(const char *s, size_t n, const char *end)
{
	size_t m = strlen(end);
	return n >= m && !memcmp(s + n - m, end, m);
}

// The id that the component S[0..n) ends in, or NULL.
static const char *component_id(const char *s, size_t n)
{
	if (ends_in(s, n, ".scope"))
		n -= strlen(".scope");
	if (n < ID_LENGTH)
		return NULL;
	const char *id = s + n - ID_LENGTH;
	for (size_t i = 0; i < ID_LENGTH; i++)
		if (!memchr("0123456789abcdef", id[i], 16))
			return NULL;
	size_t before = n - ID_LENGTH;
	if (before && s[before - 1] != '-' && s[before - 1] != ':')
		return NULL;
	return ends_in(s, before, "conmon-") ? NULL : id;
}

bool label_container_id(const char *cgroup_path, char id[static ID_LENGTH + 1])
{
	const char *last = NULL;
	for (const char *s = cgroup_path; *s;) {
		size_t n = strcspn(s, "/");
		const char *found = component_id(s, n);
		if (found)
			last = found;
		s += n + (s[n] == '/');
	}
	if (!last)
		return false;
	memcpy(id, last, ID_LENGTH);
	id[ID_LENGTH] = 0;
	return true;
}
