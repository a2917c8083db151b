// SPDX-License-Identifier: Apache-2.0
// The agent's own figures, declared once: id, Prometheus name (with labels), kind, help.
// BPF's counters are declared in bpf/counter.h and shown beside these.
#pragma once
#include <stdint.h>

#define COUNTS(X)                                                                                  \
	X(SAMPLES, "telegen_samples_total", COUNTER, "samples received from the kernel")           \
	X(SAMPLES_FILTERED, "telegen_samples_filtered_total", COUNTER,                             \
	    "samples received of processes that are not wanted")                                   \
	X(SAMPLES_STORE_FULL, "telegen_samples_store_full_total", COUNTER,                         \
	    "samples kept only as [lost: store full] because memory_limit was reached")            \
	X(RECORDS, "telegen_records_total", COUNTER, "kernel records received, of every kind")     \
	X(RECORDS_BAD, "telegen_records_bad_total", COUNTER, "kernel records that made no sense")  \
	X(MMAP_LOST, "telegen_mmap_events_lost_total", COUNTER,                                    \
	    "mapping events that the kernel dropped; mappings are read again when missed")         \
	X(HUGE_UNSEEN, "telegen_huge_pages_unseen_total", COUNTER, "huge pages not seen: see README") \
	X(STACKS_KERNEL_CUT, "telegen_stacks_kernel_cut_total", COUNTER,                           \
	    "kernel stacks deeper than kernel.perf_event_max_stack")                               \
	X(STACKS_EXECVE, "telegen_stacks_execve_total", COUNTER,                                   \
	    "user stacks inside execve, where what the callers were is gone")                      \
	X(STACKS_READING, "telegen_stacks_mappings_read_total", COUNTER,                           \
	    "user stacks of processes whose many mappings were still being read")                  \
	X(STACKS_UNKNOWN, "telegen_stacks_mappings_unknown_total", COUNTER,                        \
	    "user stacks of processes that were gone before their mappings were known")            \
	X(STACKS_UNTOLD, "telegen_stacks_mapping_untold_total", COUNTER,                           \
	    "user stacks that came to a mapping too new for the walker")                           \
	X(STACKS_NOT_CODE, "telegen_stacks_not_code_total", COUNTER,                               \
	    "user stacks, walked without mappings, with a return address that is no code")         \
	X(PROCESSES, "telegen_processes", GAUGE, "processes known")                                \
	X(PROCESSES_FULL, "telegen_processes_full_total", COUNTER,                                 \
	    "processes not kept because the table was full")                                       \
	X(BINARIES, "telegen_binaries", GAUGE, "distinct mapped files known")                      \
	X(BINARIES_UNLIKE, "telegen_binaries_unlike_total", COUNTER,                               \
	    "mapped files that differ from another one with the same build-id")                    \
	X(RESOURCES_FULL, "telegen_resources_full_total", COUNTER,                                 \
	    "processes sampled whose resource (service, pod, executable) found no room")           \
	X(MAPS_READS, "telegen_maps_reads_total", COUNTER, "/proc/PID/maps files read")            \
	X(MAPS_BAD, "telegen_maps_bad_lines_total", COUNTER, "maps lines that could not be read")  \
	X(MAPPINGS_FULL, "telegen_mappings_full_total", COUNTER,                                    \
	    "addresses found nowhere in processes that have more executable mappings than are kept") \
	X(PINNED, "telegen_pinned_files", GAUGE, "file descriptors held to name frames later")     \
	X(PIN_FAILED, "telegen_pin_failed_total", COUNTER, "mapped files that could not be opened") \
	X(FRAMES_ASKED, "telegen_symbol_asked_total", COUNTER, "places that the resolver was asked for") \
	X(FRAMES_CACHED, "telegen_symbol_cached_total", COUNTER,                                   \
	    "places that the resolver's cache answered")                                           \
	X(FRAMES_UNNAMED, "telegen_symbol_unnamed_total", COUNTER, "places with no name anywhere") \
	X(SYMBOL_CACHE, "telegen_symbol_cache_entries", GAUGE, "functions in the resolver's cache") \
	X(SYMBOL_EVICTED, "telegen_symbol_evicted_total", COUNTER,                                 \
	    "functions dropped from the resolver's cache to make room")                            \
	X(ELF_BAD, "telegen_elf_bad_total", COUNTER, "files that are not the ELF they claim to be") \
	X(JIT_SYMBOLS, "telegen_jit_symbols_total", COUNTER, "symbols seen in perf maps")          \
	X(JIT_BAD, "telegen_jit_bad_lines_total", COUNTER, "perf map lines that made no sense")    \
	X(KALLSYMS_READS, "telegen_kallsyms_reads_total", COUNTER, "passes over /proc/kallsyms")   \
	X(GO_READS, "telegen_go_profiles_read_total", COUNTER,                                     \
	    "readings of the profiles that Go programs keep")                                      \
	X(GO_BAD, "telegen_go_profiles_bad_total", COUNTER,                                        \
	    "readings that ended early: that was no list of Go's, or could not be read")           \
	X(GO_CUT, "telegen_go_profiles_cut_total", COUNTER,                                        \
	    "readings of lists with more places than are read")                                    \
	X(GO_UNMARKED, "telegen_go_profiles_unmarked_total", COUNTER,                              \
	    "lists with new places and no memory to note what is told, so that less is told")  \
	X(GO_LATE, "telegen_go_profiles_late_total", COUNTER,                                      \
	    "windows in which not all Go programs were read, for want of time")                    \
	X(WINDOWS, "telegen_windows_total", COUNTER, "windows closed")                             \
	X(WINDOWS_LATE, "telegen_windows_late_total", COUNTER,                                     \
	    "windows closed before the one before them was named and written")                     \
	X(WINDOWS_DROPPED, "telegen_windows_dropped_total", COUNTER, "windows that found no place") \
	X(FILES_WRITTEN, "telegen_files_written_total", COUNTER, "profiles written to the directory") \
	X(FILES_FAILED, "telegen_files_failed_total", COUNTER, "profiles that could not be written") \
	X(FILES_REMOVED, "telegen_files_removed_total", COUNTER,                                   \
	    "oldest profiles removed to stay under output.max_size")                               \
	X(METRICS_OVERFLOW, "telegen_metrics_overflow_total", COUNTER,                             \
	    "samples that a metric has in its series otel.metric.overflow, having no place for more") \
	X(HTTP_REQUESTS, "telegen_http_requests_total", COUNTER, "requests answered")              \
	X(HTTP_REFUSED, "telegen_http_refused_total", COUNTER,                                     \
	    "connections or requests refused: too many, too large, too slow, not allowed")         \
	X(TURN_MAX_NS, "telegen_loop_turn_max_nanoseconds", GAUGE, "longest turn of the loop")     \
	X(TURNS_LONG, "telegen_loop_turns_long_total", COUNTER, "turns of the loop over 1 ms")     \
	X(ERRANDS_NS, "telegen_errands_nanoseconds_total", COUNTER,                                \
	    "CPU time of the processes that put probes on and take them off beside the loop")      \
	X(LOG_DROPPED, "telegen_log_lines_dropped_total", COUNTER,                                 \
	    "log lines dropped because whoever reads them had stopped reading")                    \
	X(MEM_REFUSED, "telegen_memory_refused_total", COUNTER, "allocations refused by memory_limit") \
	X(MEM_SQUEEZED, "telegen_memory_squeezed_bytes_total", COUNTER,                            \
	    "bytes that caches gave back under memory_limit")

enum count {
#define X(id, name, kind, help) COUNT_##id,
	COUNTS(X)
#undef X
	COUNT_COUNT
};
enum count_kind { COUNT_KIND_COUNTER, COUNT_KIND_GAUGE };

void count_add(enum count c, uint64_t n);
void count_set(enum count c, uint64_t n);
void count_max(enum count c, uint64_t n); // keeps the larger
uint64_t count_get(enum count c);
const char *count_name(enum count c);
const char *count_help(enum count c);
enum count_kind count_kind(enum count c);
