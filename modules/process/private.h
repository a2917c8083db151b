// SPDX-License-Identifier: Apache-2.0
// What the files of this room do for each other.
#pragma once
#include "tables.h"

// table.c
struct entry *entry_add(struct processes *t, uint32_t id, uint32_t pid); // ID 0: a new one
void entry_free(struct processes *t, struct entry *e);
struct entry *entry_by_pid(struct processes *t, uint32_t pid); // also one that has ended
struct entry *entry_by_id(struct processes *t, uint32_t id);
void entry_retire(struct processes *t, struct entry *e, uint64_t now);
void entry_forget(struct processes *t, struct entry *e); // its mappings
struct entry *entry_learn(struct processes *t, uint32_t pid);
struct entry *entry_parent(struct processes *t, const struct entry *e); // learned now if need be
uint64_t monotonic_of_boot(uint64_t boot_ns);
// Of a process that began then: is every exec since known?
bool entry_began_since(const struct processes *t, uint64_t start_ns);
uint32_t id_next(const struct map *taken, uint32_t *next);

// sweep.c
bool entry_evict(struct processes *t);

// read.c
enum alive { ALIVE, RENAMED, GONE, UNSURE };
enum alive entry_alive(struct processes *t, const struct entry *e);
void read_maps(struct processes *t, struct entry *e);
void read_parent(struct processes *t, struct entry *parent);
void reading_end(struct processes *t);

// mapping.c
// Not (wholly) put: -ENOMEM, which makes them stale, or -ENOSPC: too many, which makes them full.
int mapping_put(struct mappings *to, const struct process_mapping *m);
void mappings_copy(struct mappings *to, const struct mappings *from);
void mappings_free(struct mappings *m);
struct process_mapping *mapping_at(const struct mappings *in, uint64_t address);
uint32_t mapping_kind_of(const char *path, bool has_build_id);
struct place place_in_file(
    struct processes *t, struct entry *e, struct process_mapping *m, uint64_t address);
struct place place_in_vdso(const struct process_mapping *m, uint64_t address);
// 0 or -ENOMEM. *ID is 0 where there are too many already.
int path_add(struct processes *t, const char *path, size_t n, uint32_t *id);
// Interns PATH for M where its kind wants one.
int path_of_mapping(struct processes *t, struct process_mapping *m, const char *path, size_t n);

// exec.c
void exec_begin(struct processes *t, struct entry *e, uint64_t now);
void exec_settle(struct entry *e);
void exec_sample(struct processes *t, struct entry *e, const struct record_sample *r);
bool exec_place(struct processes *t, struct entry *e, uint64_t address, struct place *place);

// binary.c
uint32_t binary_of(struct processes *t, struct entry *e, const struct process_mapping *m);
// ID 0: a new one.
struct binary_entry *binary_add(struct processes *t, uint32_t id, uint64_t key, uint32_t path);
uint32_t binary_of_name(struct processes *t, const struct process_mapping *m); // without a file
uint64_t build_id_hash(const struct processes *t, const uint8_t *id, size_t n);
void binary_drop(struct processes *t, struct binary_entry *b);
void binary_unpin(struct processes *t, struct binary_entry *b);

// root.c
int root_of(struct processes *t, uint32_t pid, uint32_t mnt_ns); // borrowed, or -errno
void roots_close(struct processes *t, uint64_t unused_since);
void jit_pin(struct processes *t, struct entry *e);
void jit_unpin(struct processes *t, struct entry *e);
uint32_t entry_reader(const struct entry *e); // the id under which /proc shows its memory

// resource.c
void resource_drop(struct processes *t, struct entry *e);
void resource_read(struct processes *t, struct entry *e, bool deep); // DEEP: ask its parent, too
