// SPDX-License-Identifier: Apache-2.0
// Whose a sample is, as far as that is known: what subjects have as a resource (our windows) or as labels of samples
// (pprof files, which have no place for resources); private to this room.
#pragma once
#include "../profile/profile.h"

// Label of samples in pprof, as Pyroscope's and Parca's users ask for it; attribute of the resource.
#define WHOSE(X)                                                                                   \
	X(SERVICE, "service_name", "service.name")                                                 \
	X(NAMESPACE, "namespace", "k8s.namespace.name")                                            \
	X(POD, "pod", "k8s.pod.name")                                                              \
	X(CONTAINER, "container", "k8s.container.name")                                            \
	X(POD_UID, "k8s_pod_uid", "k8s.pod.uid")
enum whose {
#define X(id, label, attribute) WHOSE_##id,
	WHOSE(X)
#undef X
	    WHOSE_COUNT
};
extern const char *const whose_labels[WHOSE_COUNT];

struct whose_keys { // names in one profile, 0: it has none such
	uint32_t label[WHOSE_COUNT], attribute[WHOSE_COUNT];
	bool any;
};
void whose_keys_of(const struct profile *p, struct whose_keys *keys);
// What the resource of S says, and where it says nothing, with LABELS, what its labels say: names of P, 0: not known.
// False: nothing is known.
bool whose_of(const struct profile *p, const struct whose_keys *keys, const struct profile_subject *s, bool labels,
    uint32_t names[WHOSE_COUNT]);
