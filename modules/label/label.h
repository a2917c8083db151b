// SPDX-License-Identifier: Apache-2.0
// Whose process is it: the container and the pod out of a cgroup path. And what is it waiting for
// (lockclass.h).
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "lockclass.h"

#define LABEL_POD_UID 37 // bytes that a uid takes, with its NUL

// Finds the 64-hex-digit container id in a cgroup path as Docker, containerd, CRI-O, Podman and
// kubelet write it (".../docker/<id>", "cri-containerd-<id>.scope", "crio-<id>.scope",
// "libpod-<id>.scope", ".../pod<uid>/<id>"). The last one wins (nested). True where there is one.
bool label_container_id(const char *cgroup_path, char id[static 65]);

// The uid of the Kubernetes pod that the process is in, with dashes, as kubelet writes it into the
// path ("kubepods/burstable/pod<uid>", "kubepods-burstable-pod<uid>.slice" with '_' for '-'). The
// last one wins. False where there is none, and for pods out of files on the node: what stands there
// is not the uid that Kubernetes knows them by.
bool label_pod_uid(const char *cgroup_path, char uid[static LABEL_POD_UID]);
