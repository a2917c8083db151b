// SPDX-License-Identifier: Apache-2.0
// What is known of a process: from where, in which order, within which bounds, and for how long.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/process/resource.c"
#include "process_files.h"

#define UID "2d3cf0a5-1b2c-4d5e-8f90-123456789abc"
#define TOKEN "var/run/secrets/kubernetes.io/serviceaccount"

static void write_bytes(unsigned pid, const char *name, const char *bytes, size_t n)
{
	fakeproc_write(pid, name, "");
	char path[300];
	snprintf(path, sizeof(path), "%s/%u/%s", fakeproc_root, pid, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}
#define WRITE(pid, name, text) write_bytes(pid, name, text, sizeof(text))

static const struct process_resource *resource(uint32_t pid)
{
	struct process *p = sampled(pid, 1, 700, "app", clock_now());
	assert_non_null(p);
	return process_resource(table, p);
}

// What is told of PID under KEY, "" for nothing.
static const char *fact_in(const struct process_resource *r, const char *key)
{
	for (uint32_t i = 0; r && i < r->count; i++)
		if (!strcmp(r->facts[i].key, key))
			return r->facts[i].value;
	return "";
}

static const char *fact(uint32_t pid, const char *key)
{
	return fact_in(resource(pid), key);
}

static void add(unsigned pid)
{
	fakeproc_add(pid, 1, "app", 700, "");
	fake_mount_ns(pid, 5);
}

// A root of its own for PID, with FILE in it.
static void add_root(unsigned pid)
{
	char path[300], command[1000];
	snprintf(path, sizeof(path), "%s/root%u", fakeproc_root, pid);
	snprintf(command, sizeof(command), "mkdir -p %s/" TOKEN " %s/etc", path, path);
	assert_int_equal(system(command), 0);
	fake_link(pid, "root", path);
}

static void put_file(unsigned pid, const char *name, const char *bytes, size_t n)
{
	char path[400];
	snprintf(path, sizeof(path), "%s/root%u/%s", fakeproc_root, pid, name);
	unlink(path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void add_pod(unsigned pid)
{
	add(pid);
	add_root(pid);
	fake_link(pid, "ns/net", "net:[100]");
	fake_link(1, "ns/net", "net:[1]");
	put_file(pid, TOKEN "/namespace", "shop", 4);
	put_file(pid, "etc/hostname", "cart-7d4f-abcde\n", 16);
	fakeproc_write(pid, "mountinfo",
	    "1 2 8:1 /var/lib/kubelet/pods/" UID "/etc-hosts /etc/hosts rw - ext4 x rw\n"
	    "1 2 8:1 /pods/2d3cf0a5-1b2c-4d5e-8f90-000000000000/containers/no/1 /x rw - ext4 x rw\n"
	    "1 2 8:1 /var/lib/kubelet/pods/" UID "/containers/cart/0a1b /dev/termination-log rw - "
	    "ext4 x rw\n");
}

static void on_new_in_pod(void *arg, struct process *p)
{
	(void)arg;
	strcpy(p->pod, UID);
}

static void all_sources_are_told(void **state)
{
	(void)state;
	table->options.on_new = on_new_in_pod;
	add_pod(10);
	fake_link(10, "exe", "/usr/bin/python3.11 (deleted)");
	WRITE(10, "cmdline", "python3\0-u\0/srv/app.py\0x y");
	WRITE(10, "environ",
	    "A=b\0OTEL_RESOURCE_ATTRIBUTES=service.name=b,service.version=2.0,"
	    "service.namespace=ns,deployment.environment.name=prod\0OTEL_SERVICE_NAME=a\0"
	    "OTEL_SERVICE_NAME=second");
	static const char *const wanted[][2] = {{"service.name", "a"}, {"service.namespace", "ns"},
	    {"service.version", "2.0"}, {"deployment.environment.name", "prod"},
	    {"app.name", "app.py"}, {"language", "python"}, {"k8s.pod.uid", UID},
	    {"k8s.pod.name", "cart-7d4f-abcde"}, {"k8s.namespace.name", "shop"},
	    {"k8s.container.name", "cart"}, {"process.executable.name", "python3.11"},
	    {"process.executable.path", "/usr/bin/python3.11"}, {"process.command", "python3"},
	    {"process.runtime.name", "CPython"}, {"process.runtime.version", "3.11"},
	    {"process.runtime.vendor", "Python Software Foundation"}, {"process.command_line", ""}};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_string_equal(fact(10, wanted[i][0]), wanted[i][1]);
	assert_int_equal(resource(10)->count, sizeof(wanted) / sizeof(*wanted) - 1);
}

// What it says of its pod wins over what is seen of it.
static void its_own_word_of_its_pod_wins(void **state)
{
	(void)state;
	table->options.on_new = on_new_in_pod;
	add_pod(10);
	WRITE(10, "environ",
	    "OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=own-pod,k8s.namespace.name=own,"
	    "k8s.container.name=box,k8s.deployment.name=carts,service.instance.id=i-1,"
	    "k8s.pod.uid=no");
	static const char *const wanted[][2] = {{"k8s.pod.name", "own-pod"},
	    {"k8s.namespace.name", "own"}, {"k8s.container.name", "box"},
	    {"k8s.deployment.name", "carts"}, {"service.instance.id", "i-1"}, {"k8s.pod.uid", UID},
	    {"service.name", "box"}};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_string_equal(fact(10, wanted[i][0]), wanted[i][1]);
}

static void a_service_is_called_by_the_nearest_name(void **state)
{
	(void)state;
	add(10);
	assert_string_equal(fact(10, "service.name"), "app"); // comm
	assert_int_equal(resource(10)->count, 2);
	add(11);
	fake_link(11, "exe", "/opt/tool-1.2.3");
	assert_string_equal(fact(11, "service.name"), "tool-1.2.3");
	assert_string_equal(fact(11, "service.version"), "1.2.3");
	table->options.on_new = on_new_in_pod;
	add_pod(12);
	fake_link(12, "exe", "/opt/tool");
	assert_string_equal(fact(12, "service.name"), "cart");
	assert_string_equal(fact(12, "app.name"), "tool");
	add_pod(13);
	WRITE(13, "environ", "OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=service.name=b");
	assert_string_equal(fact(13, "service.name"), "b");
	// The version of a runtime is not that of what it runs.
	add(14);
	fake_link(14, "exe", "/opt/python3.11.4");
	assert_string_equal(fact(14, "service.version"), "");
}

static void command_lines_are_told_where_that_is_asked(void **state)
{
	(void)state;
	char line[700];
	table->options.resources |= PROCESS_COMMAND_LINES;
	add(10);
	WRITE(10, "cmdline", "/bin/x\0-p\0secret");
	assert_string_equal(fact(10, "process.command_line"), "/bin/x -p secret");
	add(11);
	memset(line, 'x', sizeof(line));
	line[6] = 0;
	memcpy(line + 511, "\303\251", 2);
	line[sizeof(line) - 1] = 0;
	write_bytes(11, "cmdline", line, sizeof(line));
	const char *told = fact(11, "process.command_line");
	assert_int_equal(strlen(told), 511); // half a character is none
	assert_true(text_utf8_valid(told, 511));
	assert_int_equal(told[510], 'x');
}

static void a_pod_has_its_name_where_that_is_sure(void **state)
{
	(void)state;
	char long_name[64];
	memset(long_name, 'x', sizeof(long_name));
	table->options.on_new = on_new_in_pod;
	add_pod(10); // the node's network
	fake_link(10, "ns/net", "net:[1]");
	assert_string_equal(fact(10, "k8s.pod.name"), "");
	assert_string_equal(fact(10, "k8s.pod.uid"), UID);
	add_pod(11);
	put_file(11, "etc/hostname", "cart.shop.svc.cluster.local\n", 28);
	assert_string_equal(fact(11, "k8s.pod.name"), "");
	add_pod(12);
	put_file(12, "etc/hostname", long_name, 63);
	assert_string_equal(fact(12, "k8s.pod.name"), "");
	add_pod(13);
	put_file(13, "etc/hostname", "", 0);
	WRITE(13, "environ", "HOSTNAME=cart-1");
	assert_string_equal(fact(13, "k8s.pod.name"), "cart-1");
	add_pod(14); // who knows whose network it has?
	fake_link(14, "ns/net", "net:x");
	assert_string_equal(fact(14, "k8s.pod.name"), "");
	// The first process may be hidden: then the kernel's own says what the node's network is.
	fake_link(1, "ns/net", "hidden");
	fakeproc_write(
	    2, "stat", "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n");
	fake_link(2, "ns/net", "net:[1]");
	add(16);
	add_root(16);
	put_file(16, "etc/hostname", "cart-2", 6);
	fake_link(16, "ns/net", "net:[1]");
	assert_string_equal(fact(16, "k8s.pod.name"), "");
	add(17);
	add_root(17);
	put_file(17, "etc/hostname", "cart-3", 6);
	fake_link(17, "ns/net", "net:[100]");
	assert_string_equal(fact(17, "k8s.pod.name"), "cart-3");
	fakeproc_add(2, 1, "app", 700, ""); // no thread of the kernel
	add(18);
	add_root(18);
	put_file(18, "etc/hostname", "cart-4", 6);
	fake_link(18, "ns/net", "net:[100]");
	assert_string_equal(fact(18, "k8s.pod.name"), "");
	table->options.on_new = on_new;
	add_pod(15); // no pod
	assert_string_equal(fact(15, "k8s.pod.name"), "");
	assert_string_equal(fact(15, "k8s.namespace.name"), "");
	assert_string_equal(fact(15, "k8s.container.name"), "");
}

static void hostile_files_are_left_out(void **state)
{
	(void)state;
	static char big[1 << 20];
	char path[400];
	int before = descriptors();
	table->options.on_new = on_new_in_pod;
	memset(big, 'x', sizeof(big));
	for (unsigned pid = 20; pid < 27; pid++)
		add_pod(pid);
	put_file(20, TOKEN "/namespace", big, sizeof(big));
	write_bytes(20, "environ", big, sizeof(big));
	write_bytes(20, "cmdline", big, sizeof(big));
	write_bytes(20, "mountinfo", big, sizeof(big));
	snprintf(path, sizeof(path), "%s/root21/" TOKEN "/namespace", fakeproc_root);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/root21/pipe", fakeproc_root);
	assert_int_equal(mkfifo(path, 0600), 0);
	fake_link(21, "exe", path); // is never opened
	snprintf(path, sizeof(path), "%s/root22/" TOKEN "/namespace", fakeproc_root);
	unlink(path);
	assert_int_equal(symlink("/../../../../../etc/outside", path), 0);
	snprintf(path, sizeof(path), "%s/etc", fakeproc_root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/etc/outside", fakeproc_root);
	FILE *f = fopen(path, "w");
	fputs("outside", f);
	fclose(f);
	put_file(23, TOKEN "/namespace", "Bad Name", 8);
	put_file(24, TOKEN "/namespace", "two\nlines", 9);
	put_file(25, TOKEN "/namespace", "nul\0x", 5);
	put_file(25, "etc/hostname", "-x-", 3);
	fakeproc_write(25, "mountinfo",
	    "1 2 8:1 /pods/" UID "/containers/Bad/1 /x rw\n"
	    "1 2 8:1 /pods/" UID "/containers/a..b/1 /x rw\n"
	    "1 2 8:1 /pods/" UID "/containers/x /x rw\n");
	for (unsigned pid = 20; pid < 25; pid++)
		assert_string_equal(fact(pid, "k8s.namespace.name"), "");
	assert_string_equal(fact(25, "k8s.namespace.name"), "nul");
	assert_string_equal(fact(25, "k8s.pod.name"), "");
	assert_string_equal(fact(25, "k8s.container.name"), "");
	assert_string_equal(fact(20, "process.command"), "");
	assert_string_equal(fact(20, "k8s.container.name"), "");
	assert_string_equal(fact(21, "process.executable.name"), "pipe");
	WRITE(26, "environ", "OTEL_SERVICE_NAME=\377\1a\nb");
	WRITE(26, "cmdline", "caf\303\251\t");
	assert_string_equal(fact(26, "service.name"), "??a?b");
	assert_string_equal(fact(26, "process.command"), "caf\303\251?");
	assert_int_equal(descriptors(), before);
}

static void go_and_java_are_told_by_their_files(void **state)
{
	(void)state;
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p;
		uint32_t note[4];
	} go = {.e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		    .e_type = ET_EXEC,
		    .e_machine = EM_X86_64,
		    .e_phoff = sizeof(Elf64_Ehdr),
		    .e_phentsize = sizeof(Elf64_Phdr),
		    .e_phnum = 1},
	    .p = {.p_type = PT_NOTE, .p_offset = offsetof(__typeof__(go), note), .p_filesz = 16},
	    .note = {4, 0, 4, 0x6f47}}; // "Go"
	FILE *f = fopen(file("server"), "w");
	assert_int_equal(fwrite(&go, sizeof(go), 1, f), 1);
	fclose(f);
	add(10);
	fake_link(10, "exe", file("server"));
	assert_string_equal(fact(10, "language"), "go");
	assert_string_equal(fact(10, "app.name"), "server");
	assert_string_equal(fact(10, "process.runtime.name"), "Go");
	write_elf("plain", 0, 4096, VADDR);
	add(11);
	fake_link(11, "exe", file("plain"));
	assert_string_equal(fact(11, "language"), "");
	fakeproc_add(12, 1, "app", 700,
	    "1000-2000 r-xp 00000000 08:01 5 /jre/libjvm.so\n"
	    "2000-3000 r-xp 00000000 08:01 6 /jre/libj9vm29.so\n");
	fake_link(12, "exe", "/opt/launcher");
	struct process *p = sampled(12, 1, 700, "app", clock_now());
	process_place(table, p, 0x1010);
	assert_string_equal(fact(12, "process.runtime.name"), "OpenJ9");
	assert_string_equal(fact(12, "app.name"), "launcher");
}

static void exec_makes_it_another(void **state)
{
	(void)state;
	uint64_t now = clock_now();
	add(10);
	fake_link(10, "exe", "/bin/first");
	const struct process_resource *r = resource(10);
	uint32_t id = r->id;
	assert_string_equal(fact_in(r, "app.name"), "first");
	fake_link(10, "exe", "/bin/second");
	assert_int_equal(resource(10)->id, id); // read once
	now = clock_now();
	execed(10, "app", now);
	// One from before the exec, that comes up late.
	r = process_resource(table, sampled(10, 1, 700, "app", now - 1));
	assert_int_equal(r->id, id);
	r = process_resource(table, sampled(10, 1, 700, "app", now + 1));
	assert_int_not_equal(r->id, id);
	assert_string_equal(fact_in(r, "app.name"), "second");
	// Of a process first seen in a sample from before its exec nothing is known.
	add(11);
	execed(11, "app", now);
	assert_null(process_resource(table, sampled(11, 1, 700, "app", now - 1)));
	assert_non_null(process_resource(table, sampled(11, 1, 700, "app", now + 1)));
}

static void another_one_with_its_pid_or_another_program_says_nothing_of_it(void **state)
{
	(void)state;
	fakeproc_add(10, 1, "app", 900, ""); // began later
	fake_link(10, "exe", "/bin/other");
	WRITE(10, "environ", "OTEL_SERVICE_NAME=other");
	assert_string_equal(fact(10, "service.name"), "app");
	fakeproc_add(11, 1, "next", 700, ""); // has run another program since
	fake_link(11, "exe", "/bin/next");
	assert_null(resource(11));
	fakeproc_write(11, "stat", "11 (app) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 700 0 0\n");
	assert_null(resource(11)); // not each sample asks
	uint64_t later = clock_now() + NS_PER_S;
	clock_fake(&later, NULL);
	assert_string_equal(fact(11, "app.name"), "next");
}

static void what_ended_is_told_by_its_events_and_its_parent(void **state)
{
	(void)state;
	static uint64_t now;
	now = clock_now();
	clock_fake(&now, NULL);
	table->options.on_new = on_new_in_pod;
	add_pod(10);
	fake_link(10, "exe", "/bin/sh");
	WRITE(10, "environ", "OTEL_SERVICE_NAME=shell");
	sampled(10, 1, 700, "app", now);
	execed(20, "app", now + 5);
	mapped(20, 0x1000, 0x1000, 0, "/opt/tool-1.2.3", NULL, 5, now + 6);
	mapped(20, 0x5000, 0x1000, 0, "/lib/libc.so", NULL, 6, now + 7);
	exited(20, 700, now + 8);
	const struct process_resource *r =
	    process_resource(table, sampled(20, 10, 700, "app", now + 9));
	assert_string_equal(fact_in(r, "process.executable.path"), "/opt/tool-1.2.3");
	assert_string_equal(fact_in(r, "k8s.pod.uid"), UID);
	assert_string_equal(fact_in(r, "k8s.pod.name"), "cart-7d4f-abcde");
	assert_string_equal(fact_in(r, "k8s.namespace.name"), "shop");
	assert_string_equal(
	    fact_in(r, "service.name"), "cart"); // what the parent is called is not it
	// A fork that ran nothing else is what its parent is.
	exited(21, 700, now + 8);
	r = process_resource(table, sampled(21, 10, 700, "app", now + 9));
	assert_string_equal(fact_in(r, "service.name"), "shell");
	assert_int_equal(r->id, resource(10)->id);
	// Unless it has another name.
	exited(22, 700, now + 8);
	r = process_resource(table, sampled(22, 10, 700, "else", now + 9));
	assert_string_equal(fact_in(r, "service.name"), "cart");
	assert_string_equal(fact_in(r, "app.name"), "else");
}

static void replicas_share_and_all_are_bounded(void **state)
{
	(void)state;
	static uint64_t now;
	static char name[1000];
	char copy[64];
	now = clock_now();
	clock_fake(&now, NULL);
	table->options.processes_max = 2000;
	memset(name, 'x', sizeof(name));
	for (unsigned pid = 1; pid <= 50; pid++)
		add(pid);
	uint32_t id = resource(1)->id;
	size_t bytes = table->resource_bytes;
	for (unsigned pid = 2; pid <= 50; pid++)
		assert_int_equal(resource(pid)->id, id);
	assert_int_equal(table->resource_bytes, bytes);
	uint64_t full = count_get(COUNT_RESOURCES_FULL);
	unsigned told = 0;
	for (unsigned pid = 100; pid < 1000; pid++) {
		add(pid);
		snprintf(copy, sizeof(copy), "OTEL_SERVICE_NAME=%u", pid);
		memcpy(name, copy, strlen(copy));
		name[400] = 0;
		write_bytes(pid, "environ", name, 401);
		told += resource(pid) != NULL;
		assert_true(table->resource_bytes <= BYTES_IN_ALL);
	}
	assert_true(told > 300 && told < 800);
	assert_int_equal(count_get(COUNT_RESOURCES_FULL) - full, 900 - told);
	// What has ended makes room, and what was not sampled for long.
	for (unsigned pid = 100; pid < 110; pid++)
		exited(pid, 700, now);
	now += 20 * NS_PER_S;
	unsigned more = 0;
	for (unsigned pid = 990; pid < 1000; pid++) // who looks for room goes on where the last did
		more += resource(pid) != NULL;
	assert_true(more >= 5);
	assert_true(table->resource_bytes <= BYTES_IN_ALL);
	now += 100 * NS_PER_S;
	for (unsigned pid = 900; pid < 1000; pid++)
		assert_non_null(resource(pid));
	assert_non_null(resource(200)); // read again
	for (unsigned pid = 1; pid < 1000; pid++)
		if (process_by_pid(table, pid))
			entry_free(table, entry_by_pid(table, pid));
	assert_int_equal(table->resource_bytes, 0);
	assert_int_equal(table->resources.count, 0);
}

// What the downward API sets counts where the pod's name is not seen, or another was given to it.
static void a_pod_may_be_told_its_name(void **state)
{
	(void)state;
	static const struct {
		const char *variable;
		size_t size;
		bool nodes_network;
		const char *pod, *space;
	} rows[] = {
#define E(s) s, sizeof(s)
	    {E("POD_NAME=a.b-1"), true, "a.b-1", "shop"},
	    {E("A=1\0MY_POD_NAME=own\0POD_NAME=second"), false, "own", "shop"},
	    {E("K8S_POD_NAME=own\0OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=first"), false, "first",
		"shop"},
	    {E("POD_NAME=$(POD)"), false, "cart-7d4f-abcde", "shop"},
	    {E("POD_NAME=\0POD_NAMESPACE=seen-is-surer"), true, "", "shop"},
	    {E("POD_NAME=a..b"), true, "", "shop"},
	    {E("POD_NAME=-a"), true, "", "shop"},
#undef E
	};
	table->options.on_new = on_new_in_pod;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		add_pod(30 + i);
		if (rows[i].nodes_network)
			fake_link(30 + i, "ns/net", "net:[1]");
		write_bytes(30 + i, "environ", rows[i].variable, rows[i].size);
		assert_string_equal(fact(30 + i, "k8s.pod.name"), rows[i].pod);
		assert_string_equal(fact(30 + i, "k8s.namespace.name"), rows[i].space);
	}
	add_pod(50); // no token was mounted, or not even its root can be seen
	put_file(50, TOKEN "/namespace", "", 0);
	WRITE(50, "environ", "POD_NAMESPACE=a.b\0MY_POD_NAMESPACE=told");
	assert_string_equal(fact(50, "k8s.namespace.name"), "told");
	add(51);
	WRITE(51, "environ", "POD_NAMESPACE=told\0POD_NAME=p");
	assert_string_equal(fact(51, "k8s.namespace.name"), "told");
	assert_string_equal(fact(51, "k8s.pod.name"), "p");
	table->options.on_new = on_new;
	add(52); // no pod
	WRITE(52, "environ", "POD_NAMESPACE=told\0POD_NAME=p");
	assert_string_equal(fact(52, "k8s.pod.name"), "");
	assert_string_equal(fact(52, "k8s.namespace.name"), "");
}

// The node's kubelet knows: its word is surer than a host's name, which the pod may have chosen.
static void the_node_knows_its_pods(void **state)
{
	(void)state;
	static const char *const names[] = {"shop_cart-0_2d3cf0a5-1b2c-4d5e-8f90-000000000000",
	    "node_net.agent-x2_" UID, "else_second_" UID, "no_" UID, UID, "_", "x"};
	char path[400];
	table->options.on_new = on_new_in_pod;
	add_pod(10);
	add_root(1);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "mkdir -p %s/root1/var/log/pods/%s", fakeproc_root,
		    i == 2 ? "" : names[i]); // of two with one uid it would be chance
		assert_int_equal(system(path), 0);
	}
	int before = descriptors();
	WRITE(10, "environ", "POD_NAME=says");
	assert_string_equal(fact(10, "k8s.pod.name"), "net.agent-x2");
	assert_string_equal(fact(10, "k8s.namespace.name"), "node");
	add_pod(11);
	WRITE(11, "environ", "OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=own");
	assert_string_equal(fact(11, "k8s.pod.name"), "own");
	assert_string_equal(fact(11, "k8s.namespace.name"), "node");
	// What is no name is none.
	static const char *const bad[] = {"Shop_cart-0_", "shop_-_", "shop__", "_cart_", "a.b_cart_",
	    "shop_cart_x_", "shop_cart"};
	snprintf(path, sizeof(path), "rm -r %s/root1/var/log/pods/*", fakeproc_root);
	assert_int_equal(system(path), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(path, sizeof(path), "%s/root1/var/log/pods/%s" UID, fakeproc_root, bad[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	add_pod(12);
	assert_string_equal(fact(12, "k8s.pod.name"), "cart-7d4f-abcde");
	assert_string_equal(fact(12, "k8s.namespace.name"), "shop");
	assert_int_equal(descriptors(), before);
}

// Where only that is asked for, nothing else is told, and of most processes nothing at all.
static void owners_alone(void **state)
{
	(void)state;
	table->options.resources = PROCESS_OWNERS;
	add(10);
	fake_link(10, "exe", "/opt/tool-1.2.3");
	assert_null(resource(10));
	assert_int_equal(table->resource_bytes, 0);
	WRITE(10, "environ", "OTEL_SERVICE_NAME=late"); // settled: is not read again
	assert_null(resource(10));
	add(11);
	fake_link(11, "exe", "/opt/tool-1.2.3");
	WRITE(11, "environ",
	    "OTEL_RESOURCE_ATTRIBUTES=service.name=s,service.version=2,service.instance.id=i");
	assert_int_equal(resource(11)->count, 1);
	assert_string_equal(fact(11, "service.name"), "s");
	table->options.on_new = on_new_in_pod;
	static const char *const wanted[][2] = {{"k8s.pod.uid", UID},
	    {"k8s.pod.name", "cart-7d4f-abcde"}, {"k8s.namespace.name", "shop"},
	    {"k8s.container.name", "cart"}, {"service.name", "cart"}};
	add_pod(12);
	fake_link(12, "exe", "/opt/tool");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_string_equal(fact(12, wanted[i][0]), wanted[i][1]);
	assert_int_equal(resource(12)->count, sizeof(wanted) / sizeof(*wanted));
	// One that ended before it could be asked is in its parent's pod.
	exited(13, 700, clock_now());
	const struct process_resource *r =
	    process_resource(table, sampled(13, 12, 700, "other", clock_now()));
	assert_string_equal(fact_in(r, "k8s.pod.name"), "cart-7d4f-abcde");
	assert_string_equal(fact_in(r, "app.name"), "");
}

// Of one that is in no container, and young, nothing is read: most of these are gone soon.
static void who_is_young_is_not_asked(void **state)
{
	(void)state;
	static uint64_t now;
	uint64_t ticks = clock_boot() / TICK_NS;
	for (unsigned pid = 10; pid < 12; pid++) {
		fakeproc_add(pid, 1, "app", ticks, "");
		fake_mount_ns(pid, 5);
		WRITE(pid, "environ", "OTEL_SERVICE_NAME=s");
	}
	table->options.resources = PROCESS_OWNERS;
	now = clock_now();
	struct process *p = sampled(10, 1, ticks, "app", now);
	assert_null(process_resource(table, p));
	strcpy(p->container, "c");
	assert_non_null(process_resource(table, p));
	p = sampled(11, 1, ticks, "app", now);
	assert_null(process_resource(table, p));
	table->options.resources = PROCESS_OWNERS_NOW;
	assert_non_null(process_resource(table, p));
	resource_drop(table, entry_by_pid(table, 11));
	entry_by_pid(table, 11)->resource_due_ns = 0;
	table->options.resources = PROCESS_OWNERS;
	assert_null(process_resource(table, p));
	now += 2 * NS_PER_S;
	clock_fake(&now, NULL);
	p = sampled(11, 1, ticks, "app", now);
	assert_non_null(process_resource(table, p));
}

static void nothing_is_read_where_nobody_asks(void **state)
{
	(void)state;
	add(10);
	table->options.resources = 0;
	assert_null(resource(10));
	table->options.resources = PROCESS_RESOURCES;
	struct record_sample r = sample(11, 2, 700, "kworker/0:1", 5);
	r.kernel_thread = true;
	assert_null(process_resource(table, process_of(table, &r)));
	table->options.offline = true;
	assert_null(resource(10));
	table->options.offline = false;
	assert_non_null(resource(10));
}

static void any_allocation_may_fail(void **state)
{
	for (uint64_t nth = 1; nth < 60; nth++) {
		teardown(state);
		mem_fail_at(nth);
		if (setup(state) == 0 && proc) {
			fakeproc_add(80, 1, "app", 700, "");
			WRITE(80, "environ", "OTEL_SERVICE_NAME=x");
			struct process *p = sampled(80, 1, 700, "app", clock_now());
			if (p)
				process_resource(table, p);
			p = sampled(81, 80, 700, "app", clock_now());
			if (p)
				process_resource(table, p);
		}
		bool over = mem_fail_seen() < nth;
		mem_fail_at(0);
		if (over)
			return;
	}
	fail();
}

int main(void)
{
	options_now.resources = PROCESS_RESOURCES;
	log_set_level(LOG_LEVEL_ERROR);
#define T(f) cmocka_unit_test_setup_teardown(f, setup_files, teardown)
	const struct CMUnitTest tests[] = {
	    T(all_sources_are_told),
	    T(its_own_word_of_its_pod_wins),
	    T(a_service_is_called_by_the_nearest_name),
	    T(command_lines_are_told_where_that_is_asked),
	    T(a_pod_has_its_name_where_that_is_sure),
	    T(hostile_files_are_left_out),
	    T(go_and_java_are_told_by_their_files),
	    T(exec_makes_it_another),
	    T(another_one_with_its_pid_or_another_program_says_nothing_of_it),
	    T(what_ended_is_told_by_its_events_and_its_parent),
	    T(replicas_share_and_all_are_bounded),
	    T(a_pod_may_be_told_its_name),
	    T(the_node_knows_its_pods),
	    T(owners_alone),
	    T(who_is_young_is_not_asked),
	    T(nothing_is_read_where_nobody_asks),
	    T(any_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
