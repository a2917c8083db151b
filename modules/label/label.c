// SPDX-License-Identifier: Apache-2.0
// Containers and pods in cgroup paths. The shapes, with I for 64 hexadecimal digits:
//
//   /docker/I   /ecs/TASK/I   /kubepods/burstable/podUID/I             cgroupfs driver: the bare id
//   docker-I.scope  cri-containerd-I.scope  crio-I.scope  libpod-I.scope   systemd driver: runtime,
//   dash, id /kubepods-besteffort-podUID.slice:cri-containerd:I                 systemd's name
//   given to a cgroupfs driver libpod-conmon-I.scope  crio-conmon-I the monitor beside the
//   container, on the host
#include "label.h"

#include <string.h>

#define ID_LENGTH 64
#define UID_LENGTH (LABEL_POD_UID - 1)

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

// 8-4-4-4-12 lower case hexadecimal digits at S, with one kind of dash, into UID. False where they
// are not there, or more follows that could belong to them.
static bool read_uid(const char *s, char uid[static UID_LENGTH + 1])
{
	char dash = 0;
	for (size_t i = 0; i < UID_LENGTH; i++) {
		bool between = i == 8 || i == 13 || i == 18 || i == 23;
		if (between && !dash && (s[i] == '-' || s[i] == '_'))
			dash = s[i];
		if (between ? !s[i] || s[i] != dash : !s[i] || !strchr("0123456789abcdef", s[i]))
			return false;
		uid[i] = between ? '-' : s[i];
	}
	uid[UID_LENGTH] = 0;
	const char *behind = s + UID_LENGTH;
	return !*behind || *behind == '/' || !strncmp(behind, ".slice", strlen(".slice"));
}

bool label_pod_uid(const char *cgroup_path, char uid[static UID_LENGTH + 1])
{
	const char *pods = strstr(cgroup_path, "kubepods");
	bool found = false;
	for (const char *s = pods; s && (s = strstr(s, "pod")); s++) {
		char read[UID_LENGTH + 1];
		if (s == cgroup_path || (s[-1] != '/' && s[-1] != '-') || !read_uid(s + 3, read))
			continue;
		memcpy(uid, read, sizeof(read));
		found = true;
	}
	return found;
}
