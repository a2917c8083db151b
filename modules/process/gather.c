// SPDX-License-Identifier: Apache-2.0
// What /proc and the process's own files tell of it. All of it is the process's word, or its
// user's.
#include "private.h"
#include "gather.h"
#include "../proc/proc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOGS "/var/log/pods"
#define NAMESPACE_FILE "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
#define LABEL_MAX 63	 // of a DNS label; a host's name is cut there
#define POD_NAME_MAX 253 // of a pod's name

void gather_set(struct gathered *g, enum fact fact, const char *s, size_t n)
{
	char *to = g->at[fact];
	if (!n || n > FACT_MAX)
		return;
	bool utf8 = text_utf8_valid(s, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		to[i] = c < ' ' || c == 127 || (c > 127 && !utf8) ? '?' : s[i];
	}
	to[n] = 0;
}

const char *gather_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void set(struct gathered *g, enum fact fact, const char *s)
{
	gather_set(g, fact, s, strlen(s));
}

// What the process says of its pod itself comes before what we see of it.
static void set_found(struct gathered *g, enum fact fact, const char *s)
{
	if (!*g->at[fact])
		set(g, fact, s);
}

static void set_executable(struct gathered *g, const char *path)
{
	set(g, FACT_EXECUTABLE_PATH, path);
	set(g, FACT_EXECUTABLE_NAME, gather_base_name(path));
}

// What VARIABLE is set to if it is NAME, else NULL.
static const char *value_of(const char *variable, const char *name)
{
	size_t n = strlen(name);
	return !strncmp(variable, name, n) && variable[n] == '=' ? variable + n + 1 : NULL;
}

// Of two variables with one name a program sees the first.
struct environment {
	struct gathered *g;
	bool service, attributes, hostname;
	char host[LABEL_MAX + 1];
	char pod[POD_NAME_MAX + 1], space[LABEL_MAX + 1]; // of the downward API, "": not set
};

// A DNS label, or several with dots between them.
static bool is_name(const char *s)
{
	size_t n = strlen(s);
	return n && !strchr("-.", s[0]) && !strchr("-.", s[n - 1]) && !strstr(s, "..") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

static bool is_label(const char *s)
{
	return is_name(s) && !strchr(s, '.');
}

// The downward API sets what a pod's author calls it: these names are those of Kubernetes' and
// OpenTelemetry's own examples, and what most follow.
static void take_downward(struct environment *e, const char *variable)
{
	static const char *const pods[] = {"POD_NAME", "MY_POD_NAME", "K8S_POD_NAME"};
	static const char *const spaces[] = {
	    "POD_NAMESPACE", "MY_POD_NAMESPACE", "K8S_POD_NAMESPACE"};
	const char *value;
	for (size_t i = 0; i < sizeof(pods) / sizeof(*pods); i++)
		if ((value = value_of(variable, pods[i])) && !*e->pod && is_name(value) &&
		    strlen(value) < sizeof(e->pod))
			text_copy(e->pod, sizeof(e->pod), value);
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++)
		if ((value = value_of(variable, spaces[i])) && !*e->space && is_label(value) &&
		    strlen(value) < sizeof(e->space))
			text_copy(e->space, sizeof(e->space), value);
}

static int on_variable(void *arg, const char *variable)
{
	struct environment *e = arg;
	const char *value;
	if ((value = value_of(variable, "OTEL_SERVICE_NAME")) && !e->service) {
		e->service = true;
		set(e->g, FACT_SERVICE_NAME, value);
	} else if ((value = value_of(variable, "OTEL_RESOURCE_ATTRIBUTES")) && !e->attributes) {
		e->attributes = true;
		gather_attributes(e->g, value);
	} else if ((value = value_of(variable, "HOSTNAME")) && !e->hostname) {
		e->hostname = true;
		if (strlen(value) < sizeof(e->host))
			text_copy(e->host, sizeof(e->host), value);
	} else {
		take_downward(e, variable);
	}
	return 0;
}

// The one line of the file PATH beneath ROOT, if it is a DNS label; else "".
static void read_label(int root, const char *path, char label[static LABEL_MAX + 1])
{
	char line[LABEL_MAX + 2];
	int fd = proc_open_beneath(root, path);
	ssize_t n = fd < 0 ? -1 : pread(fd, line, sizeof(line), 0);
	if (fd >= 0)
		close(fd);
	if (n > 0 && line[n - 1] == '\n')
		n--;
	bool whole = n > 0 && n <= LABEL_MAX;
	memcpy(label, line, whole ? (size_t)n : 0);
	label[whole ? n : 0] = 0;
}

// Of the node: the first process may be more privileged than we are, and so hidden; the kernel's
// own are in its network, too.
static int node_net_ns(struct proc *proc, uint32_t *inode)
{
	struct proc_stat st;
	int error = proc_net_ns(proc, 1, inode);
	if (error && proc_stat(proc, 2, &st) == 0 && st.kernel_thread)
		error = proc_net_ns(proc, 2, inode);
	return error;
}

// A host's name is its pod's, unless the pod has the node's network, or is called by its whole name
// (setHostnameAsFQDN: there are dots in it), or was cut. A pod may also have been given another.
static void tell_pod_name(
    struct processes *t, const struct entry *e, int root, const char *host, struct gathered *g)
{
	uint32_t own, nodes;
	char name[LABEL_MAX + 1];
	struct proc *proc = t->options.proc;
	if (proc_net_ns(proc, entry_reader(e), &own) || node_net_ns(proc, &nodes) || own == nodes)
		return;
	read_label(root, "/etc/hostname", name);
	if (!*name)
		text_copy(name, sizeof(name), host);
	if (is_label(name) && strlen(name) < LABEL_MAX)
		set_found(g, FACT_POD_NAME, name);
}

struct mounts {
	struct gathered *g;
	const char *pod;
};

// "NAMESPACE_POD_UID", where kubelet keeps what the containers of a pod print.
static int on_logs(void *arg, const char *name)
{
	struct mounts *m = arg;
	char space[LABEL_MAX + 1], pod[POD_NAME_MAX + 1];
	size_t n = strcspn(name, "_"), rest = n + !!name[n], k = strcspn(name + rest, "_");
	const char *uid = name + rest + k;
	if (*uid != '_' || strcmp(uid + 1, m->pod) || n >= sizeof(space) || k >= sizeof(pod))
		return 0;
	text_copy(space, n + 1, name);
	text_copy(pod, k + 1, name + rest);
	if (!is_label(space) || !is_name(pod))
		return 0;
	set_found(m->g, FACT_NAMESPACE_NAME, space);
	set_found(m->g, FACT_POD_NAME, pod);
	return 1;
}

// By what the node keeps, where we may see its files.
static void tell_by_logs(struct processes *t, struct mounts *m)
{
	if (*m->g->at[FACT_POD_NAME] && *m->g->at[FACT_NAMESPACE_NAME])
		return;
	int root = proc_root_open(t->options.proc, 1);
	if (root < 0)
		return;
	proc_list_beneath(root, LOGS, on_logs, m);
	close(root);
}

// ".../pods/UID/containers/NAME/FILE", where kubelet keeps what a container says at its end.
static int on_mount(void *arg, const char *root)
{
	static const char before[] = "/pods/", between[] = "/containers/";
	struct mounts *m = arg;
	const char *s = strstr(root, before);
	size_t uid = strlen(m->pod);
	if (!s || strncmp(s += strlen(before), m->pod, uid) ||
	    strncmp(s += uid, between, strlen(between)))
		return 0;
	s += strlen(between);
	char name[LABEL_MAX + 1];
	size_t n = strcspn(s, "/");
	if (n > LABEL_MAX || s[n] != '/')
		return 0;
	memcpy(name, s, n);
	name[n] = 0;
	if (!is_label(name))
		return 0;
	set_found(m->g, FACT_CONTAINER_NAME, name);
	return 1;
}

static void gather_pod(struct processes *t, const struct entry *e,
    const struct environment *environment, struct gathered *g)
{
	struct mounts mounts = {.g = g, .pod = e->p.pod};
	char space[LABEL_MAX + 1];
	if (!*e->p.pod)
		return;
	set(g, FACT_POD_UID, e->p.pod);
	tell_by_logs(t, &mounts);
	set_found(g, FACT_POD_NAME, environment->pod);
	proc_mounts(t->options.proc, entry_reader(e), on_mount, &mounts);
	int root = proc_root_open(t->options.proc, entry_reader(e));
	if (root >= 0) {
		read_label(root, NAMESPACE_FILE, space);
		if (is_label(space))
			set_found(g, FACT_NAMESPACE_NAME, space);
		tell_pod_name(t, e, root, environment->host, g);
		close(root);
	}
	set_found(g, FACT_NAMESPACE_NAME, environment->space);
}

struct command {
	struct arguments of_runtime;
	struct gathered *g;
	char line[FACT_MAX + 1];
	size_t len;
	bool wants_line;
};

static int on_argument(void *arg, const char *argument)
{
	struct command *c = arg;
	bool first = !c->of_runtime.seen;
	runtime_argument(&c->of_runtime, argument);
	if (first && argument)
		set(c->g, FACT_COMMAND, argument);
	const char *s = argument ? argument : "...";
	if (!first && c->wants_line && c->len < FACT_MAX)
		c->line[c->len++] = ' ';
	if (c->wants_line)
		c->len += text_copy(c->line + c->len, sizeof(c->line) - c->len, s);
	return c->of_runtime.over && !(c->wants_line && c->len < FACT_MAX);
}

// No half character stays at the end of a line that was cut.
static void set_line(struct command *c)
{
	size_t n = c->len;
	if (n == FACT_MAX)
		for (int i = 0; i < 3 && n && !text_utf8_valid(c->line, n); i++)
			n--;
	gather_set(c->g, FACT_COMMAND_LINE, c->line, text_utf8_valid(c->line, n) ? n : c->len);
}

static enum jvm jvm_of(const struct processes *t, const struct entry *e)
{
	enum jvm best = JVM_NONE, jvm;
	for (uint32_t i = 0; i < e->now.count; i++)
		if (e->now.at[i].path &&
		    (jvm = runtime_jvm(names_get(t->paths, e->now.at[i].path))) > best)
			best = jvm;
	return best;
}

static bool is_go(struct processes *t, const struct entry *e)
{
	struct elf_frames frames;
	int fd = proc_exe_open(t->options.proc, entry_reader(e));
	bool go = fd >= 0 && elf_frames(fd, NULL, 0, &frames) == 0 && frames.go;
	if (fd >= 0)
		close(fd);
	return go;
}

// What it runs: the program that a runtime was told to, or itself.
static void gather_program(struct processes *t, const struct entry *e, struct gathered *g)
{
	const char *executable = g->at[FACT_EXECUTABLE_NAME];
	enum runtime runtime = runtime_of_executable(executable);
	enum jvm jvm = jvm_of(t, e);
	struct command c = {.of_runtime = {.runtime = runtime, .over = runtime == RUNTIME_NONE},
	    .g = g,
	    .wants_line = t->options.resources & PROCESS_COMMAND_LINES};
	proc_arguments(t->options.proc, entry_reader(e), on_argument, &c);
	if (c.len)
		set_line(&c);
	if (runtime == RUNTIME_NONE && jvm)
		runtime = RUNTIME_JAVA;
	runtime_tell(g, runtime, jvm, executable);
	if (runtime == RUNTIME_NONE && is_go(t, e)) {
		set(g, FACT_LANGUAGE, "go");
		set(g, FACT_RUNTIME_NAME, "Go");
		set(g, FACT_RUNTIME_VENDOR, "Google");
	}
	if (c.of_runtime.found)
		set(g, FACT_APP_NAME, c.of_runtime.program);
	else
		set(g, FACT_APP_NAME, executable);
	// What stands in the name of a runtime is no version of what it runs.
	size_t at,
	    n = runtime && !c.of_runtime.found ? 0 : runtime_version(g->at[FACT_APP_NAME], &at);
	if (n && !*g->at[FACT_SERVICE_VERSION])
		gather_set(g, FACT_SERVICE_VERSION, g->at[FACT_APP_NAME] + at, n);
}

void gather(struct processes *t, const struct entry *e, struct gathered *g)
{
	char path[4096 + 64];
	struct environment environment = {.g = g};
	bool all = t->options.resources & PROCESS_RESOURCES;
	if (all && proc_exe(t->options.proc, entry_reader(e), path, sizeof(path)) == 0)
		set_executable(g, path);
	proc_environment(t->options.proc, entry_reader(e), on_variable, &environment);
	if (all)
		gather_program(t, e, g);
	gather_pod(t, e, &environment, g);
}

void gather_gone(struct processes *t, const struct entry *e, struct gathered *g)
{
	set(g, FACT_POD_UID, e->p.pod);
	for (uint32_t i = 0; e->exec_ns && i < e->now.count; i++)
		if (e->now.at[i].kind == PLACE_FILE) { // a program lies below its libraries
			set_executable(g, names_get(t->paths, e->now.at[i].path));
			break;
		}
	set(g, FACT_APP_NAME, g->at[FACT_EXECUTABLE_NAME]);
}

void gather_names(const struct entry *e, struct gathered *g)
{
	if (!*g->at[FACT_APP_NAME])
		gather_set(g, FACT_APP_NAME, e->p.comm, strnlen(e->p.comm, sizeof(e->p.comm)));
	if (!*g->at[FACT_SERVICE_NAME])
		set(g, FACT_SERVICE_NAME,
		    *g->at[FACT_CONTAINER_NAME] ? g->at[FACT_CONTAINER_NAME]
						: g->at[FACT_APP_NAME]);
}

bool gather_owner(struct gathered *g)
{
	static const bool is_owners[FACT_COUNT] = {
	    [FACT_SERVICE_NAME] = true,
	    [FACT_POD_UID] = true,
	    [FACT_POD_NAME] = true,
	    [FACT_NAMESPACE_NAME] = true,
	    [FACT_CONTAINER_NAME] = true,
	};
	bool any = false;
	set_found(g, FACT_SERVICE_NAME, g->at[FACT_CONTAINER_NAME]);
	for (int fact = 0; fact < FACT_COUNT; fact++) {
		if (!is_owners[fact])
			g->at[fact][0] = 0;
		any |= g->at[fact][0];
	}
	return any;
}
