// SPDX-License-Identifier: Apache-2.0
// Whose process is it: the container id out of a cgroup path.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Finds the 64-hex-digit container id in a cgroup path as Docker, containerd, CRI-O, Podman and
// kubelet write it (".../docker/<id>", "cri-containerd-<id>.scope", "crio-<id>.scope",
// "libpod-<id>.scope", ".../pod<uid>/<id>"). The last one wins (nested). True where there is one.
bool label_container_id(const char *cgroup_path, char id[static 65]);
