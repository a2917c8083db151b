// SPDX-License-Identifier: Apache-2.0
// Recordings of any content end cleanly; what could be read is written and read again the same.
// Checksums are made right first (unless the last byte is odd), so that the fuzzer comes behind
// them.
#include "../../modules/tape/writer.c"
#include "../../modules/tape/reader.c"

#include <stdlib.h>
#include <sys/mman.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

static int file_of(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("tape", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && !lseek(fd, 0, SEEK_SET));
	return fd;
}

static void mend_checksums(uint8_t *bytes, size_t size)
{
	for (size_t at = TAPE_MAGIC_SIZE; size >= at + TAPE_HEAD_SIZE;) {
		size_t n = tape_get(bytes + at, 4);
		if (n > size - at - TAPE_HEAD_SIZE)
			return;
		uint32_t crc = crc32_add(0, bytes + at, 8);
		tape_put(bytes + at + 8, crc32_add(crc, bytes + at + TAPE_HEAD_SIZE, n), 4);
		at += TAPE_HEAD_SIZE + n;
	}
}

// Reads all that there is, onto COPY where it is not NULL; the sum of all frames.
static uint64_t read_all(struct tape_reader *r, struct tape_writer *copy, int *end)
{
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	uint64_t sum = 0;
	while ((*end = tape_read(r, &kind, &payload, &size)) == 1) {
		sum = hash_bytes(payload, size, sum + kind);
		MUST(size <= TAPE_FRAME_MAX);
		MUST(!copy || !tape_write(copy, kind, payload, size / 2, payload + size / 2,
				  size - size / 2));
	}
	tape_reader_free(r);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(size + 1);
	memcpy(bytes, data, size);
	if (size >= TAPE_MAGIC_SIZE && !(bytes[size - 1] & 1))
		mend_checksums(bytes, size);
	struct tape_reader *r = tape_reader_new(file_of(bytes, size));
	free(bytes);
	int end, fd = file_of(NULL, 0);
	struct tape_writer *copy = tape_writer_new(dup(fd));
	uint64_t sum = r ? read_all(r, copy, &end) : 0;
	MUST(!r || end == 0 || end == -ENODATA || end == -EBADMSG);
	MUST(!tape_writer_close(copy) && !lseek(fd, 0, SEEK_SET));
	MUST(read_all(tape_reader_new(fd), NULL, &end) == sum && end == 0);
	MUST(mem_used(TAPE_ACCOUNT) == 0);
	return 0;
}
