/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * The walk over another task's stack, for the look (look.bpf.h). A stack that stands still can be read from outside: a
 * piece of it is copied, the walk goes on in the copy, and where it leaves that, the next piece is. If the thread ran
 * meanwhile all is dropped.
 *
 *   step -> missed an address? -> copy the piece that it is in -> the same step again
 */
#pragma once
#include "take.bpf.h"
#include "look.h"

/* s_magic, of include/uapi/linux/magic.h */
#define TMPFS 0x01021994
#define BTRFS 0x9123683e
#define FUSE 0x65735546

/* What of a walk is put back before a step is done again; its registers do not change then. */
#define KEPT_FROM __builtin_offsetof(struct walk, pc)
#define KEPT_WORDS ((sizeof(struct walk) - KEPT_FROM) / 8)

struct look_area {
	u64 copy[(LOOK_COPY + LOOK_CODE) / 8];
	u64 kept[KEPT_WORDS], kept_known;
	u64 vma_end;
	u32 copies;
	u32 anonymous, code;
	struct scratch scratch;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	/* of user_frames_max, set before loading */
	__uint(value_size,
	    sizeof(struct look_area) - sizeof(struct scratch) + SCRATCH_SIZE(FRAMES_MAX));
} look_areas SEC(".maps");

/* A look's scratch lies behind the rest of its area. */
struct looking {
	struct look_area *l;
	struct scratch *x;
	struct task_struct *task;
};

static long look_vma(struct task_struct *task, struct vm_area_struct *vma, struct look_area **l)
{
	(*l)->vma_end = vma->vm_end;
	struct file *file = vma->vm_file;
	(*l)->anonymous = !file;
	(*l)->code = 0;
	if (file) {
		struct super_block *sb = file->f_inode->i_sb;
		u64 magic = sb->s_magic;
		(*l)->code = magic == TMPFS || magic == BTRFS || (sb->s_bdev && magic != FUSE);
	}
	return 0;
}

/*
 * Copies what lies at AT, of a stack. Only of anonymous memory: a page of a file may be a long time coming,
 * from a file system that a user made for that purpose. Where the address space is locked its
 * owner is changing it, and may take long too: bpf_find_vma does not wait for that.
 */
static __always_inline bool look_copy(struct looking *it, u64 at)
{
	struct look_area *l = it->l;
	struct walk *w = &it->x->walk;
	l->anonymous = 0;
	if (++l->copies > LOOK_COPIES || bpf_find_vma(it->task, at, look_vma, &l, 0) ||
	    !l->anonymous || l->vma_end <= at)
		return false;
	u64 size = l->vma_end - at;
	if (size > LOOK_COPY)
		size = LOOK_COPY;
	w->copy_bytes = 0;
	if (bpf_copy_from_user_task(l->copy, (u32)size, (const void *)at, it->task, 0))
		return false;
	w->copy_at = at;
	w->copy_bytes = size;
	return true;
}

/*
 * Copies the code AT, which tells whether what a frame pointer led to is a caller: also of a file,
 * where no user serves it but this machine's disk or memory.
 */
static __always_inline bool look_code(struct looking *it, u64 at)
{
	struct look_area *l = it->l;
	struct walk *w = &it->x->walk;
	l->anonymous = l->code = 0;
	w->code_at = 0;
	if (++l->copies > LOOK_COPIES || bpf_find_vma(it->task, at, look_vma, &l, 0) ||
	    !(l->anonymous || l->code) ||
	    bpf_copy_from_user_task(
		(void *)l->copy + LOOK_COPY, LOOK_CODE, (const void *)at, it->task, 0))
		return false;
	w->code_at = at;
	return true;
}

static long look_step(u32 index, struct looking *it)
{
	struct walk *w = &it->x->walk;
	struct look_area *l = it->l;
	(void)index;
	u64 *now = (u64 *)((void *)w + KEPT_FROM);
	__builtin_memcpy(l->kept, now, sizeof(l->kept));
	l->kept_known = w->known;
	w->missed_at = w->missed_code = 0;
	bool over = walk_on(it->x);
	u64 missed = w->missed_at, code = w->missed_code;
	if (!(missed | code) || l->copies > LOOK_COPIES)
		return over;
	if (code ? !look_code(it, code) : !look_copy(it, missed))
		l->copies = LOOK_COPIES + 1; /* the step meets it again, and ends there */
	u64 at = w->copy_at, bytes = w->copy_bytes, code_at = w->code_at;
	__builtin_memcpy(now, l->kept, sizeof(l->kept));
	w->known = l->kept_known;
	w->copy_at = at;
	w->copy_bytes = bytes;
	w->code_at = code_at;
	return 0;
}
