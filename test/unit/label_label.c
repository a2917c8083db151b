// SPDX-License-Identifier: Apache-2.0
// Container ids in cgroup paths as they were seen on nodes, and in what only looks like them.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/label/label.c"

#define A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define B "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID "2d3cf0a5-1b2c-4d5e-8f90-123456789abc"
#define UID_ "2d3cf0a5_1b2c_4d5e_8f90_123456789abc"

static const struct {
	const char *what, *path, *id; // NULL: none
} cases[] = {
    {"docker, cgroupfs", "/docker/" A, A},
    {"docker, systemd", "/system.slice/docker-" A ".scope", A},
    {"docker, a parent of its own", "/build/ci/" A, A},
    {"docker, a child below it", "/docker/" A "/init.scope", A},
    {"docker in docker", "/docker/" A "/docker/" B, B},
    {"containerd, systemd",
	"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	".slice/cri-containerd-" A ".scope",
	A},
    {"containerd, guaranteed",
	"/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" A ".scope", A},
    {"containerd, cgroupfs", "/kubepods/burstable/pod" UID "/" A, A},
    {"containerd, best effort", "/kubepods/besteffort/pod" UID "/" A, A},
    {"containerd, systemd's name with cgroupfs",
	"/system.slice/containerd.service/kubepods-besteffort-pod" UID_ ".slice:cri-containerd:" A,
	A},
    {"crio",
	"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/crio-" A
	".scope",
	A},
    {"crio with crun", "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" A ".scope/container", A},
    {"crio's monitor", "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" A ".scope", NULL},
    {"podman", "/machine.slice/libpod-" A ".scope", A},
    {"podman, below", "/machine.slice/libpod-" A ".scope/container", A},
    {"podman, rootless",
	"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A ".scope", A},
    {"podman, cgroupfs", "/libpod_parent/libpod-" A, A},
    {"podman, in a pod", "/machine.slice/machine-libpod_pod_" B ".slice/libpod-" A ".scope", A},
    {"podman's pod alone", "/machine.slice/machine-libpod_pod_" B ".slice", NULL},
    {"podman's monitor", "/machine.slice/libpod-conmon-" A ".scope", NULL},
    {"podman's health check", "/system.slice/" A ".service", NULL},
    {"nerdctl", "/system.slice/nerdctl-" A ".scope", A},
    {"ecs", "/ecs/0123456789abcdef0123456789abcdef/" A, A},
    {"ecs with cluster and task", "/ecs/cluster/" UID "/" A, A},
    {"kind", "/docker/" A "/kubelet/kubepods/burstable/pod" UID "/" B, B},
    {"kind, systemd",
	"/system.slice/docker-" A ".scope/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" B
	".scope",
	B},
    {"minikube, the node itself", "/system.slice/docker-" A ".scope/system.slice/kubelet.service",
	A},
    {"seen from another cgroup namespace", "/../../docker/" A, A},
    {"garden", "/garden/" UID, NULL},
    {"lxc", "/lxc/web", NULL},
    {"lxc, newer", "/lxc.payload.web/system.slice", NULL},
    {"root", "/", NULL},
    {"nothing", "", NULL},
    {"slashes", "////", NULL},
    {"user", "/user.slice/user-1000.slice/session-3.scope", NULL},
    {"the pod alone", "/kubepods/burstable/pod" UID, NULL},
    {"63 digits", "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde", NULL},
    {"65 digits", "/docker/0" A, NULL},
    {"128 digits", "/docker/" A B, NULL},
    {"capital digits", "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
	NULL},
    {"not a digit", "/docker/0123456789abcdeg0123456789abcdef0123456789abcdef0123456789abcdef",
	NULL},
    {"more behind it", "/docker/" A "x", NULL},
    {"another unit", "/system.slice/docker-" A ".slice", NULL},
    {"glued to a word", "/docker" A, NULL},
    {"the scope alone", "/.scope", NULL},
};

static void the_id_is_found_where_there_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char id[65] = "untouched";
		bool found = label_container_id(cases[i].path, id);
		if (found != (cases[i].id != NULL) || strcmp(id, found ? cases[i].id : "untouched"))
			fail_msg("%s: %s", cases[i].what, id);
	}
}

static void the_pod_is_found_where_there_is_one(void **state)
{
	(void)state;
	static const struct {
		const char *path, *uid; // NULL: none
	} pods[] = {
	    {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	     ".slice/cri-containerd-" A ".scope",
		UID},
	    {"/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" A ".scope", UID},
	    {"/kubepods/burstable/pod" UID "/" A, UID},
	    {"/kubepods/pod" UID, UID},
	    {"/kubelet/kubepods/besteffort/pod" UID "/" A, UID},
	    {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" UID_ ".slice/x", UID},
	    {"/system.slice/containerd.service/kubepods-besteffort-pod" UID_
	     ".slice:cri-containerd:" A,
		UID},
	    {"/kubepods/pod00000000-0000-0000-0000-000000000000/docker/" A
	     "/kubepods/burstable/pod" UID "/" B,
		UID},
	    // A pod out of a file: the hash of that is no uid of Kubernetes.
	    {"/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" A, NULL},
	    {"/kubepods.slice/kubepods-pod" UID_ "0.slice", NULL},
	    {"/kubepods/pod2d3cf0a5-1b2c_4d5e-8f90-123456789abc", NULL},
	    {"/kubepods/pod2D3CF0A5-1b2c-4d5e-8f90-123456789abc", NULL},
	    {"/kubepods/pod2d3cf0a5-1b2c-4d5e-8f90-123456789ab", NULL},
	    {"/kubepods/pod2d3cf0a5-1b2c-4d5e-8f90", NULL},
	    {"/kubepods/xpod" UID, NULL},
	    {"/machine.slice/libpod_pod_" B ".slice", NULL},
	    {"/pod" UID, NULL}, // not kubelet's
	    {"/kubepods", NULL},
	    {"pod", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
		char uid[LABEL_POD_UID] = "untouched";
		print_message("%s\n", pods[i].path);
		assert_int_equal(label_pod_uid(pods[i].path, uid), pods[i].uid != NULL);
		assert_string_equal(uid, pods[i].uid ? pods[i].uid : "untouched");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_id_is_found_where_there_is_one),
	    cmocka_unit_test(the_pod_is_found_where_there_is_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
