// SPDX-License-Identifier: Apache-2.0
// Resources, each kept once: replicas and forks of one program in one container share theirs.
//
//   entry -> resource {id, count, facts[] -> {key, value}} | bytes: fact's number, value, NUL ...
//   resources: hash of these bytes -> resource
#include "private.h"
#include "gather.h"

#include <string.h>

#define BYTES_MAX 1024u		  // of one's values
#define BYTES_IN_ALL (256u << 10) // of all resources
#define LOOKS 64		  // processes among which one is let go
#define ROUNDS 8		  // so often: what it had may be shared, or none may go
#define IDLE_NS (60 * NS_PER_S)	  // not sampled for so long: is read again if need be
#define RENAMED_NS (100 * NS_PER_MS)
#define TROUBLE_NS (10 * NS_PER_S)
#define SETTLED UINT64_MAX
#define YOUNG_NS (2 * NS_PER_S)

struct resource {
	struct process_resource p; // first: what callers hold
	uint64_t hash;
	uint32_t refs, size; // size: of the bytes
	struct process_fact facts[];
};

static const char *const keys[] = {
#define X(id, key) [FACT_##id] = key,
    FACTS(X)
#undef X
};
_Static_assert(FACT_COUNT <= PROCESS_RESOURCE_FACTS, "the door says how many there may be");
_Static_assert(FACT_COUNT < 128, "a fact's number is a byte");

static size_t cost(const struct resource *r)
{
	return sizeof(*r) + r->p.count * sizeof(*r->facts) + r->size;
}

void resource_drop(struct processes *t, struct entry *e)
{
	struct resource *r = e->resource;
	uint64_t v;
	e->resource = NULL;
	if (!r || --r->refs)
		return;
	if (map_get(&t->resources, r->hash, &v) && v == (uintptr_t)r)
		map_remove(&t->resources, r->hash);
	t->resource_bytes -= cost(r);
	mem_free(r);
}

static bool goes_before(const struct entry *a, const struct entry *b)
{
	if (!a->p.exit_ns != !b->p.exit_ns)
		return a->p.exit_ns;
	return a->seen_ns < b->seen_ns;
}

// Lets the resources go that are missed least. False where there is no room for NEED bytes.
static bool make_room(struct processes *t, size_t need)
{
	struct map_slot s;
	for (int n = 0; n < ROUNDS && t->resource_bytes + need > BYTES_IN_ALL; n++) {
		struct entry *out = NULL;
		for (uint32_t k = 0; k < LOOKS && k < t->by_id.count; k++) {
			if (!map_next(&t->by_id, &t->look_resource, &s)) {
				t->look_resource = 0;
				continue;
			}
			struct entry *e = (struct entry *)(uintptr_t)s.value;
			bool may = e->resource && e != t->at_hand &&
				   (e->p.exit_ns || t->now_ns > e->seen_ns + IDLE_NS);
			if (may && (!out || goes_before(e, out)))
				out = e;
		}
		if (!out)
			continue;
		resource_drop(t, out);
		out->resource_due_ns = out->p.exit_ns ? SETTLED : 0;
	}
	return t->resource_bytes + need <= BYTES_IN_ALL;
}

// The bytes of G, as many facts as there is room for: how many bytes.
static uint32_t lay_out(const struct gathered *g, char bytes[static BYTES_MAX], uint32_t *count)
{
	uint32_t size = 0;
	*count = 0;
	for (int fact = 0; fact < FACT_COUNT; fact++) {
		size_t n = strlen(g->at[fact]);
		if (!n || size + n + 2 > BYTES_MAX)
			continue;
		bytes[size] = (char)fact;
		memcpy(bytes + size + 1, g->at[fact], n + 1);
		size += (uint32_t)n + 2;
		++*count;
	}
	return size;
}

static void point(struct resource *r, char *bytes)
{
	r->p.facts = r->facts;
	for (uint32_t i = 0; i < r->p.count; i++) {
		r->facts[i] = (struct process_fact){keys[(int)*bytes], bytes + 1};
		bytes += 1 + strlen(bytes + 1) + 1;
	}
}

// The resource of what was gathered, for one more process. NULL where it cannot be kept.
static struct resource *resource_of(struct processes *t, const struct gathered *g)
{
	char bytes[BYTES_MAX];
	uint32_t count, size = lay_out(g, bytes, &count);
	uint64_t hash = hash_bytes(bytes, size, t->seed ^ 'r'), v;
	hash -= hash == MAP_NONE;
	if (map_get(&t->resources, hash, &v)) {
		struct resource *same = (struct resource *)(uintptr_t)v;
		if (same->size == size && !memcmp(same->facts + same->p.count, bytes, size)) {
			same->refs++;
			return same;
		}
	}
	size_t need = sizeof(struct resource) + count * sizeof(struct process_fact) + size;
	struct resource *r = make_room(t, need) ? mem_alloc(ACCOUNT_PROCESS, need) : NULL;
	if (!r) {
		count_add(COUNT_RESOURCES_FULL, 1);
		return NULL;
	}
	*r = (struct resource){
	    .p = {.id = ++t->next_resource, .count = count}, .hash = hash, .refs = 1, .size = size};
	memcpy(r->facts + count, bytes, size);
	point(r, (char *)(r->facts + count));
	t->resource_bytes += need;
	map_put(&t->resources, hash, (uintptr_t)r); // to share it: may fail
	return r;
}

static void keep(struct processes *t, struct entry *e, struct gathered *g)
{
	if (t->options.resources & PROCESS_RESOURCES) {
		gather_names(e, g);
	} else if (!gather_owner(g)) {
		e->resource_due_ns = SETTLED;
		return;
	}
	e->resource = resource_of(t, g);
	e->resource_due_ns = e->resource ? SETTLED : clock_now() + TROUBLE_NS;
}

// Asks /proc. ALIVE: it is settled. Looks at the process after all was read: so it is its own, of
// the program that was sampled, and not of a later one.
static enum alive read_now(struct processes *t, struct entry *e)
{
	struct gathered g;
	if (e->p.exit_ns)
		return GONE;
	for (int fact = 0; fact < FACT_COUNT; fact++)
		g.at[fact][0] = 0;
	gather(t, e, &g);
	enum alive alive = entry_alive(t, e);
	if (alive == ALIVE)
		keep(t, e, &g);
	return alive;
}

// Of a process that began as a fork of PARENT and ran no other program, as far as its name tells.
static bool is_fork(const struct entry *e, const struct entry *parent)
{
	return !e->exec_ns && !strncmp(parent->p.comm, e->p.comm, sizeof(e->p.comm)) &&
	       parent->exec_ns < monotonic_of_boot(e->p.start_ticks * TICK_NS);
}

// What PARENT knows of the pod that both are in.
static void take_pod(struct gathered *g, const struct entry *e, const struct entry *parent)
{
	static const enum fact of_pod[] = {
	    FACT_POD_NAME, FACT_NAMESPACE_NAME, FACT_CONTAINER_NAME, FACT_DEPLOYMENT_NAME};
	const struct resource *r = parent->resource;
	if (!r || strcmp(e->p.pod, parent->p.pod) || strcmp(e->p.container, parent->p.container))
		return;
	for (uint32_t i = 0; i < r->p.count; i++)
		for (size_t k = 0; k < sizeof(of_pod) / sizeof(*of_pod); k++)
			if (r->facts[i].key == keys[of_pod[k]])
				gather_set(
				    g, of_pod[k], r->facts[i].value, strlen(r->facts[i].value));
}

// It ended, or became another program, before it could be asked.
static void learn_without(struct processes *t, struct entry *e, bool gone)
{
	// One that is not known is not learned now: that might let E go, which a caller holds.
	struct entry *parent = entry_by_pid(t, e->p.ppid) ? entry_parent(t, e) : NULL;
	if (parent && parent->resource_due_ns != SETTLED)
		resource_read(t, parent, false);
	if (parent && parent->resource && is_fork(e, parent)) {
		e->resource = parent->resource;
		e->resource->refs++;
		e->resource_due_ns = gone ? SETTLED : clock_now() + RENAMED_NS;
		return;
	}
	if (!gone)
		return;
	struct gathered g;
	for (int fact = 0; fact < FACT_COUNT; fact++)
		g.at[fact][0] = 0;
	gather_gone(t, e, &g);
	if (parent)
		take_pod(&g, e, parent);
	keep(t, e, &g);
}

void resource_read(struct processes *t, struct entry *e, bool deep)
{
	uint64_t now = clock_now();
	if (now < e->resource_due_ns)
		return;
	t->busy++;
	resource_drop(t, e);
	enum alive alive = read_now(t, e);
	if (alive != ALIVE)
		e->resource_due_ns = now + (alive == RENAMED ? RENAMED_NS : TROUBLE_NS);
	if (deep && (alive == GONE || alive == RENAMED))
		learn_without(t, e, alive == GONE);
	t->busy--;
}

// Commands come and go by the thousand, and few of them outside of containers say whose they are.
static bool is_too_young(const struct processes *t, const struct process *p)
{
	return !(t->options.resources & (PROCESS_RESOURCES | PROCESS_OWNERS_NOW)) &&
	       !*p->container && !*p->pod &&
	       clock_now() < monotonic_of_boot(p->start_ticks * TICK_NS) + YOUNG_NS;
}

const struct process_resource *process_resource(struct processes *t, const struct process *p)
{
	struct entry *e = (struct entry *)(uintptr_t)p;
	if (!t->options.resources || t->options.offline || p->kernel_thread)
		return NULL;
	// A sample from before an exec, handed over after it, is of the program before.
	bool late = t->at_hand == e && e->late;
	if (e->resource_due_ns != SETTLED && !late && !is_too_young(t, p))
		resource_read(t, e, true);
	return e->resource ? &e->resource->p : NULL;
}
