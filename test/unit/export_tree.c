// SPDX-License-Identifier: Apache-2.0
// The formats made of a call tree: folded, speedscope, the flame page; one with a base; more nodes
// than allowed.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "profiles.h"

#include "../../modules/export/tree.c"

struct row {
	const char *process;
	uint32_t pid;
	const char *stack; // leaf first, by |; a frame of "k:" is the kernel's, "j:" JIT code, "m:"
			   // a mark, "?" has no name
	int64_t samples;
	const char *key, *why; // a label
};

static struct profile *make(const char *type, const struct row *rows)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find(type));
	struct profile_mapping m = {.file = profile_add_name(p, "/lib/x.so")};
	uint32_t mapping = profile_add_mapping(p, &m);
	for (; rows->stack; rows++) {
		char text[200], *rest = text;
		uint32_t frames[20], n = 0;
		text_copy(text, sizeof(text), rows->stack);
		for (char *s; (s = strsep(&rest, "|"));) {
			struct profile_frame f = {.address = 0x40 + rows->pid, .mapping = mapping};
			f.kind = !strncmp(s, "k:", 2)	? FRAME_KERNEL
				 : !strncmp(s, "j:", 2) ? FRAME_JIT
							: 0;
			if (!strncmp(s, "m:", 2)) {
				frames[n++] = profile_add_mark(p, s + 2);
				continue;
			}
			f.name = strcmp(s, "?") ? profile_add_name(p, f.kind ? s + 2 : s) : 0;
			frames[n++] = profile_add_frame(p, &f);
		}
		struct profile_subject who = {
		    .pid = rows->pid, .tid = rows->pid + (uint32_t)rows->samples};
		who.process = profile_add_name(p, rows->process);
		who.comm = profile_add_name(p, "thread");
		if (rows->key) {
			struct profile_label label = {.key = profile_add_name(p, rows->key),
			    .str = profile_add_name(p, rows->why)};
			who.labels = profile_add_labels(p, &label, 1);
		}
		profile_add(p, profile_add_stack(p, frames, n), profile_add_subject(p, &who),
		    (int64_t[]){rows->samples, rows->samples * 10});
	}
	profile_seal(p);
	return p;
}

static void same(const struct profile *p, const struct profile *base, enum export_format format,
    const char *want)
{
	struct text t = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(p, base, format, &t), 0);
	assert_string_equal(t.at ? t.at : "", want);
	text_free(&t);
}

static const struct row simple[] = {
    {"app", 1, "work|main", 5},
    {"app", 2, "work|main", 2},
    {"app", 1, "k:read|work|main", 1},
    {"node", 3, "j:run", 4},
    {"node", 3, "?|j:run", 1},
    {0},
};

static void folded_lines(void **state)
{
	(void)state;
	struct profile *p = make("cpu", simple);
	same(p, NULL, EXPORT_FOLDED,
	    "app;main;work 7\napp;main;work;read_[k] 1\nnode;run_[j] 4\nnode;run_[j];[x.so+0x43] "
	    "1\n");
	static const struct row hostile[] = {
	    {"a;b\nc", 1, "x;y|item 5|new\nline|v 1.5", 1},
	    {"", 1, "item 7", 1},
	    {"a;b\nc", 1, "x:y|item 5|new line|v 1.5", 1},
	    {"p", 1, "\xff", 1},
	    {0},
	};
	struct profile *h = make("cpu", hostile);
	same(h, NULL, EXPORT_FOLDED,
	    "a:b c;v 1.5_;new line;item 5_;x:y 2\nthread;item 7_ 1\np;\xef\xbf\xbd 1\n");
	profile_free(h);
	struct profile *off = make("offcpu", simple); // no samples to count there: nanoseconds
	same(off, NULL, EXPORT_FOLDED,
	    "app;main;work 70\napp;main;work;read_[k] 10\nnode;run_[j] "
	    "40\nnode;run_[j];[x.so+0x43] 10\n");
	profile_free(off);
	static const struct row before[] = {
	    {"app", 77, "work|main", 3}, {"old", 1, "gone", 2}, {0}};
	struct profile *b = make("cpu", before);
	same(p, b, EXPORT_FOLDED,
	    "app;main;work 3 7\napp;main;work;read_[k] 0 1\nnode;run_[j] 0 "
	    "4\nnode;run_[j];[x.so+0x43] 0 1\n"
	    "old;gone 2 0\n");
	profile_free(b);
	profile_free(p);
}

static void speedscope_json(void **state)
{
	(void)state;
	struct profile *p = make("cpu", simple);
	same(p, NULL, EXPORT_SPEEDSCOPE,
	    "{\"$schema\":\"https://www.speedscope.app/"
	    "file-format-schema.json\",\"exporter\":\"telegen\","
	    "\"name\":\"a "
	    "\\\"title\\\"\",\"activeProfileIndex\":1,\"shared\":{\"frames\":[{\"name\":\"app\"},"
	    "{\"name\":\"node\"},{\"name\":\"main\",\"file\":\"/lib/"
	    "x.so\"},{\"name\":\"work\",\"file\":\"/lib/x.so\"},"
	    "{\"name\":\"read\",\"file\":\"/lib/x.so\"},{\"name\":\"run\",\"file\":\"/lib/x.so\"},"
	    "{\"name\":\"[x.so+0x43]\",\"file\":\"/lib/x.so\"}]},\"profiles\":["
	    "{\"type\":\"sampled\",\"name\":\"samples\",\"unit\":\"none\",\"startValue\":0,"
	    "\"samples\":[[0,2,3],[0,2,3,4],[1,5],[1,5,6]],\"weights\":[7,1,4,1],\"endValue\":13},"
	    "{\"type\":\"sampled\",\"name\":\"cpu\",\"unit\":\"nanoseconds\",\"startValue\":0,"
	    "\"samples\":[[0,2,3],[0,2,3,4],[1,5],[1,5,6]],\"weights\":[70,10,40,10],\"endValue\":"
	    "130}]}\n");
	profile_free(p);
}

static void flame_json(void **state)
{
	(void)state;
	struct profile *p = make("cpu", simple);
	struct profile_header *h = profile_header(p);
	h->time_ns = 1700000000000000001ull;
	h->duration_ns = 60000000000ull;
	h->period = 10;
	same(p, NULL, EXPORT_FLAME,
	    "{\"v\":1,\"title\":\"a "
	    "\\\"title\\\"\",\"banner\":null,\"type\":\"cpu\",\"unit\":\"nanoseconds\","
	    "\"values\":[[\"samples\",\"count\"],[\"cpu\",\"nanoseconds\"]],\"shown\":1,\"period\":"
	    "10,"
	    "\"time_ns\":\"1700000000000000001\",\"duration_ns\":\"60000000000\","
	    "\"names\":[\"\",\"app\",\"main\",\"/lib/"
	    "x.so\",\"work\",\"read\",\"node\",\"run\",\"[x.so+0x43]\"],"
	    "\"frames\":[[2,0,3],[4,0,3],[5,1,3],[7,2,3],[8,0,3]],\"whose\":[[0,0,0,0,0]],"
	    "\"processes\":[[1,1,0,0],[2,1,0,0],[3,6,0,0]],"
	    "\"nodes\":[[-1,-1,0,0,0],[0,0,-1,0,0],[1,1,-1,5,50],[-1,-1,1,0,0],[3,0,-1,0,0],[4,1,-"
	    "1,2,20],"
	    "[2,2,-1,1,10],[-1,-1,2,0,0],[7,3,-1,4,40],[8,4,-1,1,10]]}");
	static const struct row before[] = {{"app", 77, "work|main", 3}, {0}};
	struct profile *b = make("cpu", before);
	struct text t = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(p, b, EXPORT_FLAME, &t), 0);
	assert_non_null(strstr(t.at, "\"base\":true,\"base_duration_ns\":\"0\","));
	assert_non_null(strstr(t.at, "[1,1,-1,7,70,3,30]"));
	// Together by name, with how many there were now and before.
	assert_non_null(strstr(t.at, "\"processes\":[[0,1,0,0,2,1],[0,6,0,0,1,0]]"));
	text_free(&t);
	struct profile *mutex = make("cpu", (struct row[]){{0}});
	assert_int_equal(profiles_export(mutex, NULL, EXPORT_FLAME, &t), 0);
	assert_non_null(
	    strstr(t.at, "\"names\":[\"\"],\"frames\":[],\"whose\":[[0,0,0,0,0]],\"processes\":[],"
			 "\"nodes\":[]}"));
	text_free(&t);
	profile_free(mutex);
	profile_free(b);
	profile_free(p);
}

// The sum of a tree's values, and its nodes' links.
static int64_t sum_of(const struct tree *t)
{
	int64_t sum = 0;
	for (uint32_t i = 0; i < t->node_count; i++) {
		assert_true(t->nodes[i].parent == TREE_NONE || t->nodes[i].parent < i);
		sum += tree_values(t, i)[0];
	}
	return sum;
}

// What the label says is the leaf, once, and no other mark is taken for it.
static void stacks_end_in_their_class(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"app", 1, "m:[sleep]|nap|main", 5, "reason", "sleep"},
	    {"app", 1, "wait|main", 3, "lockClass", "java lock"},
	    {"app", 1, "wait|main", 4, "lockClass", "rwlock"},
	    {"app", 1, "m:[no stack]", 1, "trace", "x"},
	    {"app", 1, "m:[no stack]", 2, "reason", "io"},
	    {0},
	};
	struct profile *p = make("offcpu", rows);
	int64_t totals[PROFILE_VALUES_MAX];
	struct text t = TEXT(ACCOUNT_BASE);
	profile_totals(p, totals);
	assert_int_equal(profiles_export(p, NULL, EXPORT_FLAME, &t), 0);
	assert_non_null(strstr(t.at,
	    "\"names\":[\"\",\"app\",\"[sleep]\",\"main\",\"/lib/x.so\",\"nap\","
	    "\"[java lock]\",\"wait\",\"[rwlock]\",\"[no stack]\",\"[io]\"],"
	    "\"frames\":[[2,4,0],[3,0,4],[5,0,4],[6,4,0],[7,0,4],[8,4,0],[9,3,0],[10,4,0]],"));
	assert_non_null(
	    strstr(t.at, "\"nodes\":[[-1,-1,0,0,0],[0,1,-1,0,0],[1,2,-1,0,0],[2,0,-1,5,50],"
			 "[1,4,-1,0,0],[4,3,-1,3,30],[4,5,-1,4,40],[0,6,-1,1,10],[7,7,-1,2,20]]"));
	text_free(&t);
	// The other formats have the stacks as they are.
	same(p, NULL, EXPORT_FOLDED,
	    "app;main;nap;[sleep] 50\napp;main;wait 70\napp;[no stack] 30\n");
	// With what no memory is found for, totals hold.
	uint64_t n = 1, asked;
	do {
		struct tree tree;
		struct slice slice = slice_begin(UINT64_MAX);
		mem_fail_at(n);
		if (!tree_start(&tree, p, NULL,
			&(struct tree_options){.classes = true, .nodes_max = 1000})) {
			while (tree_step(&tree, &slice))
				;
			assert_int_equal(sum_of(&tree), totals[0]);
		}
		asked = mem_fail_seen();
		mem_fail_at(0);
		tree_stop(&tree);
	} while (asked >= n++);
	profile_free(p);
	static const struct row now[] = {{"app", 1, "f", 5, "reason", "io"}, {0}};
	static const struct row before[] = {{"app", 1, "f", 2, "reason", "sleep"}, {0}};
	p = make("offcpu", now);
	struct profile *b = make("offcpu", before);
	assert_int_equal(profiles_export(p, b, EXPORT_FLAME, &t), 0);
	assert_non_null(
	    strstr(t.at, "\"names\":[\"\",\"app\",\"[io]\",\"f\",\"/lib/x.so\",\"[sleep]\"]"));
	assert_non_null(strstr(t.at, "[1,0,-1,5,50,0,0],[1,2,-1,0,0,2,20]]"));
	text_free(&t);
	profile_free(b);
	profile_free(p);
	// Behind the values, who waits for work: the kernel's functions above do not matter.
	static const struct row idle[] = {
	    {"app", 1, "k:schedule|poll|main", 1, "reason", "waiting"},
	    {"app", 1, "k:schedule|pthread_cond_wait|main", 2, "reason", "mutex"},
	    {"app", 1, "pthread_mutex_lock|main", 3, "reason", "mutex"},
	    {"app", 1, "k:pthread_cond_wait|f", 4, "reason", "mutex"},
	    {"app", 1, "m:[waiting]", 5, "reason", "waiting"},
	    // What stands above is the stack of who woke it.
	    {"app", 1, "ReentrantLock.lock|a|m:[woken by x]|pthread_cond_wait|g", 6, "reason",
		"mutex"},
	    {"app", 1, "pthread_cond_wait|m:[woken by x]|pthread_mutex_lock|h", 7, "reason",
		"mutex"},
	    {0},
	};
	static const char *const types[] = {"offcpu", "wall", "mutex"};
	for (int i = 0; i < 3; i++) {
		p = make(types[i], idle);
		b = make(types[i], i ? (struct row[]){{0}} : before);
		assert_int_equal(profiles_export(p, i ? NULL : b, EXPORT_FLAME, &t), 0);
		const char *wanted[][7] = {
		    {",1,10,0,0,1],", ",2,20,0,0,1],", ",3,30,0,0],", ",4,40,0,0],", ",5,50,0,0,1],",
			",6,60,0,0,1],", ",7,70,0,0],"},
		    {",1,1],", ",2,1],", ",3],", ",4],", ",5,1],", ",6,1],", ",7]]"},
		    {",1,10],", ",2,20],", ",3,30],", ",4,40],", ",5,50],", ",6,60],", ",7,70]]"}};
		for (int k = 0; k < 7; k++)
			if (!strstr(strstr(t.at, "\"nodes\""), wanted[i][k]))
				fail_msg("%s: no %s in %s", types[i], wanted[i][k], t.at);
		text_free(&t);
		profile_free(b);
		profile_free(p);
	}
	p = make("offcpu", now);
	b = make("offcpu", before);
	profile_free(b);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

static void the_page_holds_its_data(void **state)
{
	(void)state;
	static const struct row rows[] = {{"</script><b>", 1, "</script>", 1}, {0}};
	struct profile *p = make("cpu", rows);
	struct text t = TEXT(ACCOUNT_BASE), json = TEXT(ACCOUNT_BASE);
	size_t size;
	const char *page = flame_page(&size);
	assert_non_null(memmem(page, size, "/*telegen:data*/null/*:telegen*/", 32));
	assert_int_equal(page[size], 0);
	assert_int_equal(profiles_export(p, NULL, EXPORT_HTML, &t), 0);
	assert_int_equal(profiles_export(p, NULL, EXPORT_FLAME, &json), 0);
	assert_int_equal(t.len, size - 32 + json.len);
	assert_non_null(strstr(t.at, json.at));
	assert_null(strstr(json.at, "</"));
	text_free(&t);
	text_free(&json);
	profile_free(p);
}

static void totals_hold_above_the_bound(void **state)
{
	(void)state;
	struct profile *p = profiles_node(3000, 8);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	for (uint32_t most = 4; most < 100000; most *= 3) {
		struct tree t;
		struct slice slice = slice_begin(UINT64_MAX);
		assert_int_equal(
		    tree_start(&t, p, NULL, &(struct tree_options){.nodes_max = most}), 0);
		while (tree_step(&t, &slice))
			;
		assert_int_equal(sum_of(&t), totals[0]);
		assert_true(t.node_count <= most);
		const char *last = tree_name(&t, t.node_count - 1);
		char rest[40];
		snprintf(rest, sizeof(rest), "[rest: %lu stacks]", t.rest_stacks);
		assert_int_equal(!strcmp(last, rest), t.rest_stacks != 0);
		assert_true(t.rest_stacks <= profile_sample_count(p));
		assert_int_equal(t.rest_stacks != 0, most < 50000);
		tree_stop(&t);
	}
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

// A node that starts processes faster than a page can hold them.
static struct profile *storm(uint32_t pids)
{
	struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
	uint32_t frames[70];
	for (uint32_t i = 0; i < 70; i++)
		frames[i] = profile_add_frame(p, &(struct profile_frame){.address = i + 1});
	for (uint32_t pid = 1; pid <= pids; pid++) {
		struct profile_subject who = {.pid = pid, .tid = pid};
		who.process = profile_add_name(p, "true");
		who.container = pid % 2 ? profile_add_name(p, "c1") : 0;
		for (uint32_t threads = 0; threads < 2; threads++, who.tid += pids)
			profile_add(p, profile_add_stack(p, frames, 70),
			    profile_add_subject(p, &who), (int64_t[]){1, 10});
	}
	profile_seal(p);
	return p;
}

static void a_storm_of_processes_is_told_by_name(void **state)
{
	(void)state;
	struct profile *p = storm(3000);
	struct text t = TEXT(ACCOUNT_BASE);
	assert_int_equal(profiles_export(p, NULL, EXPORT_FLAME, &t), 0);
	assert_non_null(strstr(t.at, "\"processes\":[[0,1,2,0,1500],[0,1,0,0,1500]]"));
	assert_non_null(strstr(t.at, ",3000,30000],")); // nothing was left out
	assert_null(strstr(t.at, "[rest"));
	text_free(&t);
	profile_free(p);
	p = storm(4);
	assert_int_equal(profiles_export(p, NULL, EXPORT_FLAME, &t), 0);
	assert_non_null(strstr(t.at, "\"processes\":[[1,1,2,0],[2,1,0,0],[3,1,2,0],[4,1,0,0]]"));
	text_free(&t);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

// One sample of PID, process NAME; FACTS: "key", "value", ..., NULL.
static void add_owned(struct profile *p, uint32_t pid, const char *name, const char *container,
    bool labels, const char *const *facts)
{
	struct profile_label l[8];
	uint32_t n = 0, frame = profile_add_mark(p, "f");
	for (; facts && facts[2 * n]; n++)
		l[n] = (struct profile_label){.key = profile_add_name(p, facts[2 * n]),
		    .str = profile_add_name(p, facts[2 * n + 1])};
	uint32_t set = n ? profile_add_labels(p, l, n) : 0;
	struct profile_subject who = {.pid = pid,
	    .tid = pid + 1000 * !!n,
	    .comm = profile_add_name(p, name),
	    .container = profile_add_name(p, container),
	    .labels = labels ? set : 0,
	    .resource = labels ? 0 : set};
	profile_add(
	    p, profile_add_stack(p, &frame, 1), profile_add_subject(p, &who), (int64_t[]){1, 10});
}

// The same whether a window of ours says it by resources or a pprof file by labels.
static void whose_it_is_is_told(void **state)
{
	(void)state;
	for (int labels = 0; labels < 2; labels++) {
		const char *const space = labels ? "namespace" : "k8s.namespace.name",
				  *pod = labels ? "pod" : "k8s.pod.name",
				  *uid = labels ? "k8s_pod_uid" : "k8s.pod.uid",
				  *service = labels ? "service_name" : "service.name",
				  *box = labels ? "container" : "k8s.container.name";
		struct profile *p = profile_new(ACCOUNT_PROFILE, profile_type_find("cpu"));
		add_owned(p, 1, "java", "c1", labels, NULL); // before it was known
		add_owned(p, 1, "java", "c1", labels,
		    (const char *[]){space, "shop", pod, "cart-1", service, "cart", box, "main",
			uid, "u1", "process.executable.name", "java", NULL});
		add_owned(p, 2, "java", "c2", labels,
		    (const char *[]){space, "shop", pod, "cart-2", NULL});
		add_owned(p, 3, "java", "", labels, (const char *[]){service, "plain", NULL});
		add_owned(p, 4, "java", "", labels, NULL);
		add_owned(p, 5, "sh", "c5", labels, (const char *[]){space, "shop", NULL});
		add_owned(p, 6, "sh", "c6", labels, (const char *[]){pod, "p\xff", NULL});
		add_owned(p, 7, "sh", "c7", labels, (const char *[]){uid, "u7", NULL});
		profile_seal(p);
		same(p, NULL, EXPORT_FOLDED,
		    "java;f 3\njava (shop/cart-1);f 1\njava (shop/cart-2);f 1\nsh (shop);f 1\n"
		    "sh (p\xef\xbf\xbd);f 1\nsh;f 1\n");
		struct text t = TEXT(ACCOUNT_BASE);
		assert_int_equal(profiles_export(p, NULL, EXPORT_FLAME, &t), 0);
		assert_non_null(strstr(t.at, "\"names\":[\"\",\"java\",\"c1\",\"f\",\"cart\","
					     "\"shop\",\"cart-1\",\"main\",\"u1\","
					     "\"c2\",\"cart-2\",\"plain\",\"sh\",\"c5\",\"c6\","
					     "\"p\xef\xbf\xbd\",\"c7\",\"u7\"]"));
		assert_non_null(strstr(t.at,
		    "\"whose\":[[0,0,0,0,0],[4,5,6,7,8],[0,5,10,0,0],[11,0,0,0,0],[0,5,0,0,0],"
		    "[0,0,15,0,0],[0,0,0,0,17]],\"processes\":[[1,1,2,1],[2,1,9,2],[3,1,0,3],"
		    "[4,1,0,0],[5,12,13,4],[6,12,14,5],[7,12,16,6]]"));
		text_free(&t);
		for (uint64_t nth = 1, over = 0; !over; nth++) {
			mem_fail_at(nth);
			profiles_export(p, NULL, nth % 2 ? EXPORT_FLAME : EXPORT_FOLDED, &t);
			over = mem_fail_seen() < nth;
			mem_fail_at(0);
			text_free(&t);
			assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
		}
		profile_free(p);
	}
}

static void what_cannot_be_counted_is_not_told(void **state)
{
	(void)state;
	struct profile *p = storm(300);
	bool missed = false;
	uint64_t n = 1, asked;
	do {
		struct tree t;
		struct slice slice = slice_begin(UINT64_MAX);
		mem_fail_at(n);
		int error = tree_start(&t, p, NULL,
		    &(struct tree_options){
			.processes = TREE_BY_NAME, .counted = true, .nodes_max = 100000});
		while (!error && tree_step(&t, &slice))
			;
		asked = mem_fail_seen();
		mem_fail_at(0);
		if (!error && t.process_count == 1)
			assert_true(t.uncounted || t.processes[0].counts[0] == 300);
		missed |= t.uncounted;
		tree_stop(&t);
	} while (asked >= n++);
	assert_true(missed);
	profile_free(p);
}

static void totals_hold_when_memory_fails(void **state)
{
	(void)state;
	struct profile *p = profiles_node(500, 8);
	int64_t totals[PROFILE_VALUES_MAX];
	profile_totals(p, totals);
	uint64_t n = 1, asked, lossy = 0;
	do {
		struct tree t;
		struct slice slice = slice_begin(UINT64_MAX);
		mem_fail_at(n);
		if (tree_start(&t, p, NULL, &(struct tree_options){.nodes_max = 100000}) == 0) {
			while (tree_step(&t, &slice))
				;
			assert_int_equal(sum_of(&t), totals[0]);
			lossy += t.rest_stacks != 0;
		}
		asked = mem_fail_seen();
		mem_fail_at(0);
		tree_stop(&t);
	} while (asked >= n++);
	assert_true(lossy > 5);
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

static int refuse(void *arg, const void *bytes, size_t n)
{
	(void)arg, (void)bytes, (void)n;
	return -EPIPE;
}

static void slices_are_short(void **state)
{
	(void)state;
	struct profile *p = profiles_node(10000, 3);
	static const char *const called[] = {"pprof", "folded", "speedscope", "html", "flame"};
	for (enum export_format f = EXPORT_FOLDED; f <= EXPORT_FLAME; f++) {
		struct text t = TEXT(ACCOUNT_BASE);
		struct export_job *j =
		    export_new(p, NULL, f, "", &(struct wire_sink){profiles_take, &t});
		uint64_t longest = 0, whole = profiles_ran(), peak = 0;
		uint32_t steps = 0;
		for (int more = 1; more; steps++) {
			uint64_t start = profiles_ran();
			more = export_step(j, 100 * NS_PER_US);
			uint64_t took = profiles_ran() - start;
			longest = took > longest ? took : longest;
			peak = mem_used(ACCOUNT_EXPORT) > peak ? mem_used(ACCOUNT_EXPORT) : peak;
			assert_true(more >= 0);
		}
		print_message("%s: %zu bytes in %.1f ms, %u steps, longest %.2f ms, %lu KiB held\n",
		    called[f], t.len, (double)(profiles_ran() - whole) / 1e6, steps,
		    (double)longest / 1e6, peak / 1024);
		assert_true(steps > 20);
		export_job_free(j);
		text_free(&t);
		assert_int_equal(
		    export_all(p, NULL, f, "", &(struct wire_sink){refuse, NULL}), -EPIPE);
	}
	profile_free(p);
	assert_int_equal(mem_used(ACCOUNT_EXPORT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(folded_lines),
	    cmocka_unit_test(speedscope_json),
	    cmocka_unit_test(flame_json),
	    cmocka_unit_test(stacks_end_in_their_class),
	    cmocka_unit_test(the_page_holds_its_data),
	    cmocka_unit_test(totals_hold_above_the_bound),
	    cmocka_unit_test(a_storm_of_processes_is_told_by_name),
	    cmocka_unit_test(whose_it_is_is_told),
	    cmocka_unit_test(what_cannot_be_counted_is_not_told),
	    cmocka_unit_test(totals_hold_when_memory_fails),
	    cmocka_unit_test(slices_are_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
