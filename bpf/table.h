/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0 */
/*
 * DOWN: everything the walker is told. User space writes, BPF reads; only `used` goes back up.
 *
 *   (tgid, mm) --hash--> process_slot --> mappings[] by address     4 to a block
 *                                          | address
 *                                          v
 *                                       window[ mapping.window + (file address >> 20) ]
 *                                          | file address & (1 MiB - 1)
 *                                          v
 *                        [ index | dictionary: rules, 8 to a block | row blocks, by base ]
 *
 * Blocks of 64 bytes lie in pages, which are the elements of two hashes, for rows and for mappings:
 *
 *   place -> first page's number N --hash--> N | N + 1 | N + 2 | ...   each with so many blocks
 *
 * A page is made when it is needed and let go with what it holds, without waiting for anything. It
 * belongs to one window or process, is written before anything points to it, and never changes.
 * What replaces it has pages of other numbers, and one 64-bit store swaps the place. So a walker
 * looks at the place again after it has read, and stops where it changed.
 */
#pragma once
#include "types.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

#define BLOCK_BYTES 64
/*
 * Blocks of a page: with the 64 bytes that the kernel puts before an element (and its allocator
 * before that) 2,048 and 512 bytes, for it takes memory in powers of two.
 */
#define ROW_PAGE_BLOCKS 31
#define MAPPING_PAGE_BLOCKS 7
#define PAGE_OVERHEAD 64
#define REGION_BLOCKS 4095	/* of a window (without its index) or process, at most */
#define TABLES_MAX (1ull << 30) /* bytes, the most that unwind.memory may be */
enum page_kind { PAGE_ROWS, PAGE_MAPPINGS, PAGE_KINDS };
#define PAGE_BLOCKS(kind) ((kind) == PAGE_ROWS ? ROW_PAGE_BLOCKS : MAPPING_PAGE_BLOCKS)
/* N / PAGE_BLOCKS(kind) for any N of a region, without a division. */
#define PAGE_OF_BLOCK(kind, n) ((kind) == PAGE_ROWS ? (n)*33826u >> 20 : (n)*9363u >> 16)

/*
 * A page costs a look into a hash. So the rows begin with an index: u32 base of the first row block
 * of each page behind the first, 0 where it begins with the dictionary.
 */
#define BASES_PER_BLOCK 16
static inline u32 index_blocks(u32 blocks) /* for so many blocks of dictionary and rows */
{
	u32 index = 0, bases;
	while ((bases = (index + blocks - 1) / ROW_PAGE_BLOCKS) > index * BASES_PER_BLOCK)
		index++;
	return index;
}

struct block {
	union {
		u8 bytes[BLOCK_BYTES];
		u32 bases[BASES_PER_BLOCK];
		u64 words[BLOCK_BYTES / 8];
	};
};

/*
 * How to come from a frame to its caller. CFA: the stack pointer as it was before the call.
 *   The return address is where `how` says.
 */
enum rule_kind {
	RULE_NONE,     /* nothing describes this code */
	RULE_STOP,     /* the return address is undefined: the stack ends here */
	RULE_SP,       /* CFA = sp + cfa */
	RULE_FP,       /* CFA = fp + cfa (rbp, x29) */
	RULE_PLT,      /* CFA = sp + 8 + ((pc & 15) >= cfa ? 8 : 0): x86-64's lazy PLT */
	RULE_SP_DEREF, /* CFA = *(sp + (cfa >> 8)) + (s8)cfa * 8 */
	RULE_FP_DEREF, /* CFA = *(fp + (cfa >> 8)) + (s8)cfa * 8 */
	RULE_REGISTER, /* CFA = register (cfa & 31) + (cfa >> 8), DWARF's numbers: a leaf's only */
	RULE_SIGNAL,   /* a signal frame: everything is in the kernel's frame above sp */
	RULE_FRAME,    /* frame pointer: CFA = fp + 16, fp at CFA-16, return address at CFA-8 */
	RULE_UNSUPPORTED, /* described in a way that is not among these */
};

/*
 * Low half of `how`: the caller's frame pointer. High half: the return address; x86-64: DWARF's
 * number of a register that a leaf alone has it in (vfork), 0: it is at CFA-8.
 */
enum {
	HOW_FP_SAME = 0,     /* as it is */
	HOW_FP_AT_CFA = 1,   /* at CFA + fp * 8 */
	HOW_FP_AT_FP = 2,    /* at fp + fp * 8 (a realigned stack) */
	HOW_FP_LOST = 3,     /* undefined, or in a way that is not among these */
	HOW_RA_IN_LR = 0x00, /* arm64, a leaf's only */
	HOW_RA_PAIR = 0x10,  /* arm64: 8 behind the saved frame pointer */
	HOW_RA_ALONE = 0x20, /* arm64: at CFA + fp * 8, the frame pointer as it is */
};
#define HOW_RA_REGISTER(how) ((how) >> 4 & 15)
struct rule {
	s32 cfa;
	s16 fp;	 /* in units of 8 bytes */
	u8 kind; /* enum rule_kind */
	u8 how;
};

/*
 * A block of rows: u32 base, then a stream of 60 bytes:
 *   rule | delta rule | delta rule | ... | 0
 * Addresses are offsets in the window. delta: from the row before, a byte, or 255 and a u16 (little
 * endian); 0 or the block's end ends it. rule: index in the window's dictionary, a byte, or 255 and
 * a u16. What follows the last row up to the next block's base has the last row's rule.
 */
#define ROWS_STREAM 4
#define ESCAPE 255
#define RULES_PER_BLOCK (BLOCK_BYTES / 8)
#define RULES_MAX (255 * RULES_PER_BLOCK)

/* A file's code from its lowest MiB on is cut in windows of 1 MiB; each is loaded when it is hit.
 */
#define WINDOW_SHIFT 20
#define WINDOW_BYTES (1u << WINDOW_SHIFT)
#define WINDOWS_MAX 4096

enum window_state {
	WINDOW_ASK,   /* not loaded: ask for it, use frame pointers */
	WINDOW_ROWS,  /* loaded */
	WINDOW_FRAME, /* the file describes nothing: frame pointers are all there is */
	WINDOW_FULL,  /* as WINDOW_ASK, but unwind.memory has no room for it */
};
struct window {
	u64 place;
	u32 generation; /* one more each time that place changes, before it does */
	u32 used; /* seconds of CLOCK_MONOTONIC when a walker last used it; BPF writes */
};
/* place of a window: 0 is WINDOW_ASK. */
#define PLACE_PAGE(p) ((u32)(p))		/* number of the first */
#define PLACE_RULES(p) ((u32)((p) >> 32 & 255)) /* blocks of the dictionary */
#define PLACE_ROWS(p) ((u32)((p) >> 40 & 4095)) /* blocks of rows behind it */
#define PLACE_STATE(p) ((u32)((p) >> 52 & 15))	/* enum window_state */
#define PLACE_INDEX(p) ((u32)((p) >> 56 & 15))	/* blocks of the index */
#define PLACE_OF_WINDOW(page, rules, rows, state)                                                  \
	((u64)(page) | (u64)(rules) << 32 | (u64)(rows) << 40 | (u64)(state) << 52 |               \
	    (u64)((rows) ? index_blocks((rules) + (rows)) : 0) << 56)

/*
 * The rules that walks found last, at the slot that their code's hash names, for all CPUs together: to find one anew
 * takes a dozen cache lines, mostly cold. CHECK is the hash of where it is valid, with the rule; so a slot that two
 * walks write at once holds nothing that any walk takes for its own.
 */
#define RECENT_ROWS 8192
struct recent_row {
	u64 check, rule;
};
_Static_assert(WINDOWS_MAX <= 1 << 12 && WINDOW_SHIFT <= 20, "the hash has them side by side");
static inline u64 recent_hash(u32 window, u32 offset, u32 generation)
{
	u64 key = (u64)generation << 32 | (u64)offset << 12 | window;
	key *= 0x9e3779b97f4a7c15;
	key ^= key >> 32;
	return key * 0xd6e8feb86659fd93;
}
#define RECENT_SLOT(hash) ((u32)((hash) >> 51)) /* 13 bits: RECENT_ROWS */

/* An executable mapping of a process; sorted, not overlapping. */
enum mapping_kind {
	MAPPING_FILE,  /* window and file_page say where its rows are */
	MAPPING_ANON,  /* code made at run time */
	MAPPING_PLAIN, /* code of which there never will be rows: frame pointers */
};
struct mapping {
	u64 start; /* page (45 bits) | kind << 45 | first window of the file << 48 */
	u32 pages;
	u32 file_page; /* of its start: pages from the start of the file's first window */
};
#define MAPPING_PAGE(m) ((m)->start & ((1ull << 45) - 1))
#define MAPPING_KIND(m) ((u32)((m)->start >> 45 & 7))
#define MAPPING_WINDOW(m) ((u32)((m)->start >> 48))
#define MAPPING_START(page, kind, window) ((u64)(page) | (u64)(kind) << 45 | (u64)(window) << 48)
#define WINDOW_UNKNOWN 0xffffu /* as MAPPING_WINDOW: nobody has looked at the file yet; ask */
#define MAPPINGS_PER_BLOCK (BLOCK_BYTES / 16)
#define MAPPINGS_PER_PROCESS (REGION_BLOCKS * MAPPINGS_PER_BLOCK)

/*
 * Processes: open addressing, at most PROCESS_PROBES slots from process_hash on; a slot whose place
 * is 0 is free. mm_id tells programs apart that one process was, one after the other; 1 to
 * MM_EXECS are the programs that it executed, published before a sample told the mm_id.
 */
#define MM_EXECS 255
#define PROCESS_SLOTS 8192
#define PROCESS_PROBES 8
struct process_slot {
	u32 pid; /* tgid in the initial pid namespace */
	u32 mm_id;
	u64 place; /* number of the first page | mappings, one at least << 32 */
};
#define PLACE_MAPPINGS(p) ((u32)((p) >> 32 & 65535))
#define PLACE_OF_PROCESS(page, mappings) ((u64)(page) | (u64)(mappings) << 32)
static inline u32 process_hash(u32 pid, u32 mm_id)
{
	return ((pid * 2654435761u) ^ mm_id) * 2246822519u >> 19; /* 13 bits: PROCESS_SLOTS */
}

_Static_assert(sizeof(struct block) == BLOCK_BYTES, "one cache line");
_Static_assert(sizeof(struct rule) == 8 && sizeof(struct mapping) == 16, "as packed in blocks");
_Static_assert(sizeof(struct window) == 16 && sizeof(struct process_slot) == 16, "as mapped");
#pragma GCC diagnostic pop
