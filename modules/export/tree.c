// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <errno.h>
#include <string.h>

#define SPARE 2 // nodes, frames and processes that the rest may always take

// Room for COUNT + MORE items and the spare ones.
static bool grow(void *array, uint32_t *cap, uint32_t count, uint32_t more, size_t size)
{
	uint64_t need = (uint64_t)count + more + SPARE, wider = *cap ? *cap * 2ull : 64;
	if (need <= *cap)
		return true;
	if (wider < need)
		wider = need;
	void *old, *new;
	memcpy(&old, array, sizeof(old));
	new = wider < UINT32_MAX ? mem_resize(ACCOUNT_EXPORT, old, wider * size) : NULL;
	if (!new)
		return false;
	memcpy(array, &new, sizeof(new));
	*cap = (uint32_t)wider;
	return true;
}

static bool room_for_nodes(struct tree *t, uint32_t more)
{
	uint32_t cap = t->node_cap;
	return grow(&t->values, &cap, t->node_count, more, t->width * sizeof(int64_t)) &&
	       grow(&t->nodes, &t->node_cap, t->node_count, more, sizeof(*t->nodes));
}

int tree_start(struct tree *t, const struct profile *p, const struct profile *base,
    const struct tree_options *options)
{
	*t = (struct tree){.options = *options, .sides = {p, base}, .text = TEXT(ACCOUNT_EXPORT)};
	if (base)
		t->options.processes = TREE_BY_NAME;
	t->value_count = profile_header_of(p)->value_count;
	if (base && profile_header_of(base)->value_count != t->value_count)
		return -EINVAL;
	t->width = t->value_count * (base ? 2 : 1);
	t->frame_ids = t->process_ids = t->pids = t->whose_ids = MAP(ACCOUNT_EXPORT);
	t->names = names_new(ACCOUNT_EXPORT);
	bool ok = t->names && room_for_nodes(t, 0) &&
		  grow(&t->frames, &t->frame_cap, 0, 0, sizeof(*t->frames)) &&
		  grow(&t->processes, &t->process_cap, 0, 0, sizeof(*t->processes)) &&
		  grow(&t->whose, &t->whose_cap, 0, 0, sizeof(*t->whose));
	if (ok)
		t->whose[t->whose_count++] = (struct tree_whose){0};
	for (int side = 0; side < 2 && ok && t->sides[side]; side++) {
		const struct profile *s = t->sides[side];
		whose_keys_of(s, &t->whose_keys[side]);
		t->frame_of[side] =
		    mem_alloc(ACCOUNT_EXPORT, (profile_frame_count(s) + 1ull) * sizeof(uint32_t));
		t->process_of[side] =
		    mem_alloc(ACCOUNT_EXPORT, (profile_subject_count(s) + 1ull) * sizeof(uint32_t));
		ok = t->frame_of[side] && t->process_of[side];
	}
	return ok ? 0 : -ENOMEM;
}

void tree_stop(struct tree *t)
{
	for (int side = 0; side < 2; side++) {
		mem_free(t->frame_of[side]);
		mem_free(t->process_of[side]);
	}
	map_clear(&t->frame_ids);
	map_clear(&t->process_ids);
	map_clear(&t->pids);
	map_clear(&t->whose_ids);
	mem_free(t->whose);
	names_free(t->names);
	mem_free(t->frames);
	mem_free(t->processes);
	mem_free(t->nodes);
	mem_free(t->values);
	mem_free(t->index);
	mem_free(t->wider);
	text_free(&t->text);
}

// The text's name; false: no memory. The empty text is name 0.
static bool name_of_text(struct tree *t, uint32_t *name)
{
	*name = !t->text.error && t->text.len ? names_add(t->names, t->text.at, t->text.len) : 0;
	return !t->text.error && (*name || !t->text.len);
}

static bool name_of(struct tree *t, const char *s, uint32_t *name)
{
	text_reset(&t->text);
	export_utf8(&t->text, s);
	return name_of_text(t, name);
}

// Our frame + 1 that is like NEW, 0: no memory.
static uint32_t frame_like(struct tree *t, const struct tree_frame *new)
{
	// Names are far fewer than 2^31.
	uint64_t key = (uint64_t) new->kind << 62 | (uint64_t) new->name << 31 | new->mapping, at;
	if (!map_get(&t->frame_ids, key, &at)) {
		at = t->frame_count;
		if (!grow(&t->frames, &t->frame_cap, t->frame_count, 1, sizeof(*t->frames)) ||
		    map_put(&t->frame_ids, key, at) < 0)
			return 0;
		t->frames[t->frame_count++] = *new;
	}
	return (uint32_t)at + 1;
}

// Our frame + 1 for frame ID of the side, 0: no memory.
static uint32_t frame_over(struct tree *t, uint32_t id)
{
	uint32_t *have = &t->frame_of[t->side][id];
	if (*have)
		return *have;
	const struct profile *p = t->sides[t->side];
	const struct profile_frame *f = profile_frame(p, id);
	const struct profile_mapping *m = profile_mapping(p, f->mapping);
	struct tree_frame new = {0};
	text_reset(&t->text);
	if (t->options.call_frame)
		t->options.call_frame(&t->text, p, f);
	else
		export_frame_name(&t->text, p, f);
	if (!name_of_text(t, &new.name))
		return 0;
	if (!t->options.call_frame) {
		new.kind = f->kind;
		if (m && !name_of(t, profile_name(p, m->file), &new.mapping))
			return 0;
	}
	return *have = frame_like(t, &new);
}

// What the labels say, with the brackets of a mark, as a name; 0: nothing, or no memory.
static uint32_t class_name(struct tree *t, uint32_t labels)
{
	static const char *const keys[] = {"reason", "lockClass"};
	const struct profile *p = t->sides[t->side];
	uint32_t count, name;
	const struct profile_label *l = profile_labels(p, labels, &count);
	for (uint32_t i = 0; i < count; i++)
		for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
			if (l[i].str && !strcmp(profile_name(p, l[i].key), keys[k])) {
				text_reset(&t->text);
				text_puts(&t->text, "[");
				export_utf8(&t->text, profile_name(p, l[i].str));
				text_puts(&t->text, "]");
				return name_of_text(t, &name) ? name : 0;
			}
	return 0;
}

// The frame + 1 of the class that the subject's labels say, 0: none, or no memory.
static uint32_t class_over(struct tree *t, uint32_t subject)
{
	uint32_t labels = profile_subject(t->sides[t->side], subject)->labels;
	if (!t->options.classes || !labels)
		return 0;
	if (labels == t->labels)
		return t->class;
	struct tree_frame new = {.kind = FRAME_MARK, .name = class_name(t, labels)};
	uint32_t frame = new.name ? frame_like(t, &new) : 0;
	if (frame) {
		t->frames[frame - 1].class = true;
		t->labels = labels;
		t->class = frame;
	}
	return frame;
}

// Notes that PID is one of the processes that are process AT - 1 of ours; a missing count is none.
static void count_pid(struct tree *t, uint32_t pid, uint32_t at)
{
	uint64_t key = (uint64_t)pid << 32 | (uint64_t)(at - 1) << 1 | t->side, have;
	if (!t->options.counted || map_get(&t->pids, key, &have))
		return;
	if (map_put(&t->pids, key, 1) < 0)
		t->uncounted = true;
	t->processes[at - 1].counts[t->side]++;
}

// Our id of what is known of whose processes subject S is, 0: nothing, or no memory.
static uint32_t whose_over(struct tree *t, const struct profile_subject *s)
{
	const struct profile *p = t->sides[t->side];
	struct tree_whose new = {0};
	uint32_t names[WHOSE_COUNT];
	uint64_t hash, at;
	if (!whose_of(p, &t->whose_keys[t->side], s, true, names))
		return 0;
	for (int i = 0; i < WHOSE_COUNT; i++)
		if (!name_of(t, profile_name(p, names[i]), &new.at[i]))
			return 0;
	hash = hash_bytes(&new, sizeof(new), 0);
	for (hash -= hash == MAP_NONE; map_get(&t->whose_ids, hash, &at);
	     hash = hash_mix(hash + 1), hash -= hash == MAP_NONE)
		if (!memcmp(&t->whose[at], &new, sizeof(new)))
			return (uint32_t)at;
	if (!grow(&t->whose, &t->whose_cap, t->whose_count, 1, sizeof(*t->whose)) ||
	    map_put(&t->whose_ids, hash, t->whose_count) < 0)
		return 0;
	t->whose[t->whose_count] = new;
	return t->whose_count++;
}

// What the process of subject S is called; false: no memory.
static bool process_name(struct tree *t, const struct profile_subject *s, uint32_t *name)
{
	const struct profile *p = t->sides[t->side];
	uint32_t names[WHOSE_COUNT];
	text_reset(&t->text);
	export_utf8(&t->text, profile_name(p, s->process ? s->process : s->comm));
	if (t->options.processes == TREE_BY_POD &&
	    whose_of(p, &t->whose_keys[t->side], s, true, names) &&
	    (names[WHOSE_NAMESPACE] || names[WHOSE_POD])) {
		text_puts(&t->text, " (");
		export_utf8(&t->text, profile_name(p, names[WHOSE_NAMESPACE]));
		text_puts(&t->text, names[WHOSE_NAMESPACE] && names[WHOSE_POD] ? "/" : "");
		export_utf8(&t->text, profile_name(p, names[WHOSE_POD]));
		text_puts(&t->text, ")");
	}
	return name_of_text(t, name);
}

// Whether NEW is of process HAVE, as far as container and owner tell. Samples from before its owner
// was known are those of the pid, or of anything in its container.
static bool is_same(const struct tree_process *have, const struct tree_process *new)
{
	return have->container == new->container &&
	       (have->whose == new->whose ||
		   ((new->pid || new->container) && (!have->whose || !new->whose)));
}

static uint32_t process_over(struct tree *t, uint32_t id)
{
	uint32_t *have = &t->process_of[t->side][id];
	if (*have)
		return *have;
	const struct profile *p = t->sides[t->side];
	const struct profile_subject *s = profile_subject(p, id);
	bool apart = t->options.processes <= TREE_BY_CONTAINER;
	struct tree_process new = {.pid = t->options.processes == TREE_BY_PID ? s->pid : 0};
	if (!process_name(t, s, &new.name) ||
	    (apart && !name_of(t, profile_name(p, s->container), &new.container)))
		return 0;
	new.whose = apart ? whose_over(t, s) : 0;
	uint64_t key = (uint64_t) new.pid << 32 | new.name, first, at;
	bool known = map_get(&t->process_ids, key, &first);
	for (at = known ? first + 1 : 0; at; at = t->processes[at - 1].next)
		if (is_same(&t->processes[at - 1], &new)) {
			if (new.whose)
				t->processes[at - 1].whose = new.whose;
			count_pid(t, s->pid, (uint32_t)at);
			return *have = (uint32_t)at;
		}
	new.next = known ? (uint32_t)first + 1 : 0;
	if (!grow(&t->processes, &t->process_cap, t->process_count, 1, sizeof(*t->processes)) ||
	    map_put(&t->process_ids, key, t->process_count) < 0)
		return 0;
	t->processes[t->process_count++] = new;
	count_pid(t, s->pid, t->process_count);
	return *have = t->process_count;
}

static uint32_t place_of(
    const struct tree *t, const uint32_t *index, uint32_t mask, uint32_t parent, uint32_t what)
{
	uint32_t i = (uint32_t)hash_mix((uint64_t)parent << 32 | what) & mask;
	for (;; i = (i + 1) & mask) {
		const struct tree_node *n = index[i] ? &t->nodes[index[i] - 1] : NULL;
		if (!n || (n->parent == parent && n->what == what))
			return i;
	}
}

// Makes the index wide enough for MORE nodes, in slices: 1 more to do, 0 done, -ENOMEM.
static int widen(struct tree *t, uint32_t more, struct slice *slice)
{
	uint64_t need = (uint64_t)t->node_count + more;
	if (!t->wider) {
		if (t->index && need * 4 <= (t->index_mask + 1ull) * 3)
			return 0;
		uint64_t capacity = 1024;
		while (need * 2 > capacity)
			capacity *= 2;
		t->wider = mem_alloc(ACCOUNT_EXPORT, capacity * sizeof(*t->wider));
		if (!t->wider)
			return -ENOMEM;
		t->wider_mask = (uint32_t)capacity - 1;
		t->moved = 0;
	}
	for (; t->moved < t->node_count; t->moved++) {
		const struct tree_node *n = &t->nodes[t->moved];
		t->wider[place_of(t, t->wider, t->wider_mask, n->parent, n->what)] = t->moved + 1;
		if (slice_over(slice, 1))
			return t->moved++, 1;
	}
	mem_free(t->index);
	t->index = t->wider;
	t->index_mask = t->wider_mask;
	t->wider = NULL;
	return 0;
}

static uint32_t append(struct tree *t, uint32_t parent, uint32_t what)
{
	uint32_t node = t->node_count++;
	t->nodes[node] = (struct tree_node){parent, what};
	memset(t->values + (size_t)node * t->width, 0, t->width * sizeof(int64_t));
	return node;
}

// The child of PARENT, made where it is not there yet; TREE_NONE where there may be no more nodes.
static uint32_t child(struct tree *t, uint32_t parent, uint32_t what)
{
	uint32_t at = place_of(t, t->index, t->index_mask, parent, what);
	if (t->index[at])
		return t->index[at] - 1;
	if (t->node_count + SPARE >= t->options.nodes_max)
		return TREE_NONE;
	uint32_t node = append(t, parent, what);
	t->index[at] = node + 1;
	return node;
}

static void add_values(struct tree *t, int64_t *to, const struct profile_sample *s)
{
	to += t->side * t->value_count;
	for (uint32_t v = 0; v < t->value_count; v++)
		if (__builtin_add_overflow(to[v], s->values[v], &to[v]))
			to[v] = s->values[v] < 0 ? INT64_MIN : INT64_MAX;
}

static void to_rest(struct tree *t, const struct profile_sample *s)
{
	t->rest_stacks++;
	add_values(t, t->rest, s);
}

static void add_sample(struct tree *t, const struct profile_sample *s)
{
	uint32_t depth;
	const uint32_t *frames = profile_stack(t->sides[t->side], s->stack, &depth);
	uint32_t process = process_over(t, s->subject);
	uint32_t node = process ? child(t, TREE_NONE, process - 1) : TREE_NONE;
	if (node == TREE_NONE) {
		to_rest(t, s);
		return;
	}
	uint32_t class = class_over(t, s->subject), frame = 0;
	for (uint32_t i = depth; i > 0 && node != TREE_NONE; i--) {
		frame = frame_over(t, frames[i - 1]);
		node = frame ? child(t, node, frame - 1) : TREE_NONE;
	}
	if (class && frame != class && node != TREE_NONE)
		node = child(t, node, class - 1);
	if (node == TREE_NONE) {
		to_rest(t, s);
		return;
	}
	add_values(t, t->values + (size_t)node * t->width, s);
}

// The spare node, frame and process are for this; without memory for the text it is just "[rest]".
static void add_rest(struct tree *t)
{
	struct tree_frame frame = {.kind = FRAME_MARK};
	if (!t->rest_stacks)
		return;
	text_reset(&t->text);
	text_printf(&t->text, "[rest: %llu stacks]", (unsigned long long)t->rest_stacks);
	if (!name_of_text(t, &frame.name))
		frame.name = 0;
	t->processes[t->process_count] = (struct tree_process){0};
	t->frames[t->frame_count] = frame;
	uint32_t node = append(t, append(t, TREE_NONE, t->process_count++), t->frame_count++);
	memcpy(t->values + (size_t)node * t->width, t->rest, t->width * sizeof(int64_t));
}

// The sample's nodes get their room first, so that nothing is moved half-way.
static int next_sample(struct tree *t, struct slice *slice)
{
	const struct profile *p = t->sides[t->side];
	const struct profile_sample *s = profile_sample(p, t->next);
	uint32_t depth;
	profile_stack(p, s->stack, &depth);
	if (!export_is_zero(p, s)) {
		uint32_t most = depth + 2; // a process and a class
		int error = widen(t, most, slice);
		if (error > 0)
			return 1;
		if (error < 0 || !room_for_nodes(t, most))
			to_rest(t, s);
		else
			add_sample(t, s);
	}
	t->next++;
	return slice_over(slice, depth / 2 + 2);
}

int tree_step(struct tree *t, struct slice *slice)
{
	for (; t->side < 2 && t->sides[t->side]; t->side++, t->next = 0, t->labels = 0)
		while (t->next < profile_sample_count(t->sides[t->side]))
			if (next_sample(t, slice))
				return 1;
	if (t->side < 3)
		add_rest(t);
	t->side = 3;
	return 0;
}

uint32_t tree_path(const struct tree *t, uint32_t node, uint32_t *path)
{
	uint32_t length = 0;
	for (uint32_t n = node; n != TREE_NONE; n = t->nodes[n].parent)
		length++;
	for (uint32_t i = length; node != TREE_NONE; node = t->nodes[node].parent)
		path[--i] = node;
	return length;
}

const char *tree_name(const struct tree *t, uint32_t node)
{
	const struct tree_node *n = &t->nodes[node];
	return names_get(t->names,
	    n->parent == TREE_NONE ? t->processes[n->what].name : t->frames[n->what].name);
}
