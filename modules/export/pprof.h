// SPDX-License-Identifier: Apache-2.0
// pprof's field numbers (google/pprof, proto/profile.proto), shared by its writer and its reader,
// and the writer's state; private to this room.
#pragma once
#include "job.h"
#include "whose.h"

enum {
	PROFILE_SAMPLE_TYPE = 1, // ValueType
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING_TABLE = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_PERIOD_TYPE = 11, // ValueType
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};
enum { VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT };
enum { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE, SAMPLE_LABEL };
enum { LABEL_KEY = 1, LABEL_STR, LABEL_NUM, LABEL_NUM_UNIT };
enum {
	MAPPING_ID = 1,
	MAPPING_MEMORY_START,
	MAPPING_MEMORY_LIMIT,
	MAPPING_FILE_OFFSET,
	MAPPING_FILENAME,
	MAPPING_BUILD_ID,
	MAPPING_HAS_FUNCTIONS,
};
enum { LOCATION_ID = 1, LOCATION_MAPPING_ID, LOCATION_ADDRESS, LOCATION_LINE };
enum { LINE_FUNCTION_ID = 1 };
enum { FUNCTION_ID = 1, FUNCTION_NAME, FUNCTION_SYSTEM_NAME };

// Strings of the format itself: the keys of a subject's labels, and mappings of code that no file
// holds.
#define PPROF_EXTRA(X)                                                                             \
	X(PID, "pid")                                                                              \
	X(TID, "tid")                                                                              \
	X(COMM, "comm")                                                                            \
	X(PROCESS, "process")                                                                      \
	X(CONTAINER, "container_id") X(KALLSYMS, "[kernel.kallsyms]") X(JIT, "[jit]")
enum pprof_extra_string {
#define X(id, s) EXTRA_##id,
	PPROF_EXTRA(X)
#undef X
	    EXTRA_WHOSE, // and the others of whose_labels
	EXTRA_COUNT = EXTRA_WHOSE + WHOSE_COUNT
};
extern const char *const pprof_extra[EXTRA_COUNT];

// Frames of the kernel and of JIT code need no mapping in a profile; in a file they lie in one of
// these. Their ranges are fixed: readers that merge files take mappings of another size for
// different ones.
#define KALLSYMS_START (1ull << 63)
#define KALLSYMS_LIMIT UINT64_MAX
#define JIT_START 0x1000ull
#define JIT_LIMIT (1ull << 56)
bool pprof_made_up(const char *file, uint64_t start, uint64_t limit); // one of the two

enum pprof_phase {
	PPROF_TABLES,
	PPROF_STRINGS,
	PPROF_MAPPINGS,
	PPROF_FUNCTIONS,
	PPROF_LOCATIONS,
	PPROF_SAMPLES,
	PPROF_END,
};

struct pprof_job {
	struct export_job job;
	struct wire_gzip *gzip;
	struct wire_out *out;
	int error;
	enum pprof_phase phase;
	uint32_t next;	       // item of the phase
	uint32_t names;	       // strings that are names; pprof_extra follow
	struct whose_keys whose;
	uint32_t *function_of; // frame id -> function id, 0: no name
	struct map functions;  // name << 32 | system name -> function id
	struct function {
		uint32_t id, name, system_name;
	} * function;
	uint32_t function_count, function_cap;
	uint32_t kernel_mapping, jit_mapping; // ids in `facts`, after the profile's own
	struct mapping_facts {
		uint32_t id;	   // in the file
		bool any, unnamed; // frames in it; one of them without a name
		uint64_t min, max; // addresses of its frames
	} * facts;
};

// The id in `facts` of the mapping that F lies in, 0: none.
uint32_t pprof_mapping_of(const struct pprof_job *j, const struct profile_frame *f);
int pprof_tables_new(struct pprof_job *j);
void pprof_tables_free(struct pprof_job *j);
// Makes the function of frame ID and counts the frame in its mapping: 0 or -ENOMEM.
int pprof_count_frame(struct pprof_job *j, uint32_t id);
void pprof_number_mappings(struct pprof_job *j); // after the last frame
// Mapping ID of `facts` as it is written: the profile's, or one made for kernel or JIT code that came without one;
// its `file` may be one of pprof_extra. False: no frame lies in it. After the last frame.
bool pprof_mapping(const struct pprof_job *j, uint32_t id, struct profile_mapping *m);
