// SPDX-License-Identifier: Apache-2.0
// What was written is read again; what was cut, changed or refused by the disk ends cleanly.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/base/crc.c"
#include "../../modules/tape/writer.c"
#include "../../modules/tape/reader.c"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

static int tape_file(const void *bytes, size_t n)
{
	int fd = memfd_create("tape", 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

// The Ith of a row of frames of very different sizes.
static size_t frame(int i, uint8_t *to)
{
	static const size_t sizes[] = {0, 1, 7, 12, 300, 4096, TAPE_BUFFER - TAPE_HEAD_SIZE,
	    TAPE_BUFFER, TAPE_BUFFER + 1, 200000, TAPE_FRAME_MAX - 1, TAPE_FRAME_MAX};
	size_t n = sizes[i % 12];
	for (size_t j = 0; j < n; j++)
		to[j] = (uint8_t)hash_mix((uint64_t)i * 1000003 + j);
	return n;
}

static void frames_come_back(void **state)
{
	(void)state;
	static uint8_t truth[TAPE_FRAME_MAX];
	int fd = memfd_create("tape", 0);
	struct tape_writer *w = tape_writer_new(dup(fd));
	for (int i = 0; i < 30; i++) {
		size_t n = frame(i, truth), first = i % 3 ? n / 3 : n;
		assert_int_equal(
		    tape_write(w, (uint16_t)(i * 2500), truth, first, truth + first, n - first), 0);
	}
	assert_int_equal(tape_write(w, 1, truth, TAPE_FRAME_MAX, truth, 1), -EMSGSIZE);
	assert_int_equal(tape_write(w, 1, NULL, SIZE_MAX, truth, 2), -EMSGSIZE);
	assert_int_equal(tape_write(w, 9, NULL, 0, NULL, 0), 0);
	assert_int_equal(tape_writer_close(w), 0);
	lseek(fd, 0, SEEK_SET);
	struct tape_reader *r = tape_reader_new(fd);
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	for (int i = 0; i < 30; i++) {
		size_t n = frame(i, truth);
		assert_int_equal(tape_read(r, &kind, &payload, &size), 1);
		assert_int_equal(kind, i * 2500 & 0xffff);
		assert_int_equal(size, n);
		assert_memory_equal(payload, truth, n);
	}
	assert_int_equal(tape_read(r, &kind, &payload, &size), 1);
	assert_int_equal(kind, 9);
	assert_int_equal(size, 0);
	assert_int_equal(tape_read(r, &kind, &payload, &size), 0);
	assert_int_equal(tape_read(r, &kind, &payload, &size), 0);
	assert_true(mem_used(TAPE_ACCOUNT) <= FRAME_SIZE_MAX + 256);
	tape_reader_free(r);
	assert_int_equal(mem_used(TAPE_ACCOUNT), 0);
}

// The format, byte by byte: other versions must read it. The sum is of "\2\0\0\0\7\1\0\0hi".
// sum of the end is of "\0\0\0\0\377\377\0\0".
static const uint8_t sample[] = "TELEGENREC1\n\2\0\0\0\7\1\0\0\x10\x99P^hi";
static const uint8_t the_end[] = "\0\0\0\0\377\377\0\0\x75\xed\xbf\5";
#define END_SIZE (sizeof(the_end) - 1)
#define SAMPLE_SIZE (sizeof(sample) - 1)

static void the_format_stays(void **state)
{
	(void)state;
	assert_int_equal(crc32_add(0, "123456789", 9), 0xcbf43926); // the check value of CRC-32
	assert_int_equal(crc32_add(crc32_add(0, "1234", 4), "56789", 5), 0xcbf43926);
	int fd = memfd_create("tape", 0);
	struct tape_writer *w = tape_writer_new(dup(fd));
	assert_int_equal(tape_write(w, 0x107, "h", 1, "i", 1), 0);
	assert_int_equal(tape_flush(w), 0);
	uint8_t bytes[64];
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), SAMPLE_SIZE);
	assert_memory_equal(bytes, sample, SAMPLE_SIZE);
	assert_true(tape_is(bytes, SAMPLE_SIZE) && tape_is(bytes, TAPE_HEAD_MAX));
	assert_false(tape_is(bytes, TAPE_HEAD_MAX - 1) || tape_is(bytes + 1, SAMPLE_SIZE - 1));
	assert_int_equal(tape_writer_close(w), 0);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), SAMPLE_SIZE), END_SIZE);
	assert_memory_equal(bytes, the_end, END_SIZE);
	assert_int_equal(tape_writer_close(NULL), 0);
	close(fd);
}

// Whole frames on a tape of N bytes, and how it ended.
static int read_all(const uint8_t *bytes, size_t n, int *end)
{
	struct tape_reader *r = tape_reader_new(tape_file(bytes, n));
	if (!r)
		return *end = -errno, -1;
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	int frames = 0;
	while ((*end = tape_read(r, &kind, &payload, &size)) == 1)
		frames++;
	assert_int_equal(tape_read(r, &kind, &payload, &size), *end);
	assert_int_equal(tape_reader_frames(r), frames);
	tape_reader_free(r);
	return frames;
}

static void a_cut_tape_gives_its_whole_frames(void **state)
{
	(void)state;
	uint8_t bytes[200] = {0};
	size_t n = 0, ends[4];
	memcpy(bytes, sample, n = SAMPLE_SIZE);
	ends[0] = TAPE_MAGIC_SIZE;
	ends[1] = n;
	for (int i = 2; i < 4; i++) {
		memcpy(bytes + n, sample + TAPE_MAGIC_SIZE, SAMPLE_SIZE - TAPE_MAGIC_SIZE);
		ends[i] = n += SAMPLE_SIZE - TAPE_MAGIC_SIZE;
	}
	for (size_t cut = 0; cut <= n; cut++) {
		int whole = -1, end;
		for (int i = 0; i < 4; i++)
			whole += cut >= ends[i];
		assert_int_equal(read_all(bytes, cut, &end), whole);
		assert_int_equal(end, whole < 0 ? -EBADMSG : -ENODATA); // also between two frames
	}
	memcpy(bytes + n, the_end, END_SIZE);
	for (size_t more = 0; more < END_SIZE + 2; more++) {
		int end;
		assert_int_equal(read_all(bytes, n + more, &end), 3);
		// Behind the end there may be nothing: of two recordings in one the second would be
		// lost.
		assert_int_equal(end, more < END_SIZE ? -ENODATA : more == END_SIZE ? 0 : -EBADMSG);
	}
	n += END_SIZE;
	// A changed bit anywhere loses its frame and those after it, and no more.
	for (size_t bit = 0; bit < n * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int whole = -1, end;
		for (int i = 0; i < 4; i++)
			whole += bit / 8 >= ends[i];
		assert_int_equal(read_all(bytes, n, &end), bit / 8 < ends[0] ? -1 : whole);
		assert_true(end == -EBADMSG || end == -ENODATA); // a size may point beyond the file
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	// What a later version may put beside the kind is refused, not misread.
	bytes[TAPE_MAGIC_SIZE + 6] = 1;
	uint32_t crc = crc32_add(0, bytes + TAPE_MAGIC_SIZE, 8);
	tape_put(bytes + TAPE_MAGIC_SIZE + 8, crc32_add(crc, "hi", 2), 4);
	int end;
	assert_int_equal(read_all(bytes, n, &end), 0);
	assert_int_equal(end, -EBADMSG);
	memcpy(bytes, sample, SAMPLE_SIZE);
	n -= END_SIZE;
	// The zeros that a crash leaves at a file's end are no frames.
	memset(bytes + n, 0, 50);
	assert_int_equal(read_all(bytes, n + 50, &end), 3);
	assert_int_equal(end, -EBADMSG);
	// An end with something in it is none.
	memcpy(bytes + n, "\1\0\0\0\377\377\0\0", 8);
	bytes[n + 12] = 7;
	tape_put(bytes + n + 8, crc32_add(crc32_add(0, bytes + n, 8), bytes + n + 12, 1), 4);
	assert_int_equal(read_all(bytes, n + 13, &end), 3);
	assert_int_equal(end, -EBADMSG);
}

static void a_size_that_lies_takes_no_memory(void **state)
{
	(void)state;
	uint8_t bytes[SAMPLE_SIZE];
	memcpy(bytes, sample, SAMPLE_SIZE);
	tape_put(bytes + TAPE_MAGIC_SIZE, TAPE_FRAME_MAX, 4);
	struct tape_reader *r = tape_reader_new(tape_file(bytes, SAMPLE_SIZE));
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	uint64_t before = mem_used(TAPE_ACCOUNT);
	assert_int_equal(tape_read(r, &kind, &payload, &size), -ENODATA);
	assert_int_equal(mem_used(TAPE_ACCOUNT), before);
	tape_reader_free(r);
	tape_put(bytes + TAPE_MAGIC_SIZE, TAPE_FRAME_MAX + 1, 4);
	int end;
	assert_int_equal(read_all(bytes, SAMPLE_SIZE, &end), 0);
	assert_int_equal(end, -EBADMSG);
}

static void a_slow_pipe_is_read_in_pieces(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	assert_int_equal(write(ends[1], sample, TAPE_MAGIC_SIZE), TAPE_MAGIC_SIZE);
	struct tape_reader *r = tape_reader_new(ends[0]);
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	for (size_t i = TAPE_MAGIC_SIZE; i < SAMPLE_SIZE; i++) {
		assert_int_equal(tape_read(r, &kind, &payload, &size), -EAGAIN);
		assert_int_equal(write(ends[1], sample + i, 1), 1);
	}
	assert_int_equal(tape_read(r, &kind, &payload, &size), 1);
	assert_memory_equal(payload, "hi", 2);
	for (size_t i = 0; i < END_SIZE; i++) {
		assert_int_equal(tape_read(r, &kind, &payload, &size), -EAGAIN);
		assert_int_equal(write(ends[1], the_end + i, 1), 1);
	}
	assert_int_equal(tape_read(r, &kind, &payload, &size), -EAGAIN); // is that all?
	close(ends[1]);
	assert_int_equal(tape_read(r, &kind, &payload, &size), 0);
	tape_reader_free(r);
}

static void the_first_error_stays(void **state)
{
	(void)state;
	static uint8_t big[TAPE_BUFFER * 2];
	int full = open("/dev/full", O_WRONLY);
	struct tape_writer *w = tape_writer_new(full);
	assert_int_equal(tape_write(w, 1, "a", 1, NULL, 0), 0);
	assert_int_equal(tape_write(w, 1, big, sizeof(big), NULL, 0), -ENOSPC);
	assert_int_equal(tape_write(w, 1, "a", 1, NULL, 0), -ENOSPC);
	assert_int_equal(tape_flush(w), -ENOSPC);
	assert_int_equal(tape_writer_close(w), -ENOSPC);
	w = tape_writer_new(open("/dev/full", O_WRONLY));
	assert_int_equal(tape_writer_close(w), -ENOSPC);
	int ends[2];
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(tape_writer_close(tape_writer_new(ends[1])), -EPIPE);
	assert_int_equal(mem_used(TAPE_ACCOUNT), 0);
}

// Of what is being recorded a kill takes no more than the last second.
static void nothing_is_held_back_for_long(void **state)
{
	(void)state;
	uint64_t now = 1000 * NS_PER_S, wall = 0;
	clock_fake(&now, &wall);
	int fd = memfd_create("tape", 0);
	struct tape_writer *w = tape_writer_new(dup(fd));
	assert_int_equal(tape_write(w, 1, "a", 1, NULL, 0), 0);
	now += NS_PER_S - 1;
	assert_int_equal(tape_write(w, 1, "b", 1, NULL, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	now++;
	assert_int_equal(tape_write(w, 1, "c", 1, NULL, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), TAPE_MAGIC_SIZE + 3 * (TAPE_HEAD_SIZE + 1));
	assert_int_equal(tape_write(w, 1, "d", 1, NULL, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), TAPE_MAGIC_SIZE + 3 * (TAPE_HEAD_SIZE + 1));
	clock_fake(NULL, NULL);
	assert_int_equal(tape_writer_close(w), 0);
	close(fd);
}

static void failures_leave_nothing(void **state)
{
	(void)state;
	int end;
	assert_int_equal(read_all(sample, SAMPLE_SIZE, &end), 1);
	for (uint64_t n = 1; n <= 2; n++) {
		mem_fail_at(n);
		assert_int_equal(read_all(sample, SAMPLE_SIZE, &end), -1);
		assert_int_equal(end, -ENOMEM);
		mem_fail_at(0);
		assert_int_equal(mem_used(TAPE_ACCOUNT), 0);
	}
	mem_fail_at(1);
	int fd = memfd_create("tape", 0);
	assert_null(tape_writer_new(fd));
	assert_int_equal(errno, ENOMEM);
	mem_fail_at(0);
	assert_int_equal(fcntl(fd, F_GETFD), -1); // taken, so closed
	assert_null(tape_reader_new(open("/", O_RDONLY)));
	assert_int_equal(errno, EISDIR);
	// A frame that finds no memory may be asked for again.
	uint8_t *big = malloc(TAPE_BUFFER * 3);
	memset(big, 1, TAPE_BUFFER * 3);
	fd = memfd_create("tape", 0);
	struct tape_writer *w = tape_writer_new(dup(fd));
	assert_int_equal(tape_write(w, 5, big, TAPE_BUFFER * 3, NULL, 0), 0);
	assert_int_equal(tape_writer_close(w), 0);
	free(big);
	lseek(fd, 0, SEEK_SET);
	struct tape_reader *r = tape_reader_new(fd);
	uint16_t kind;
	const uint8_t *payload;
	size_t size;
	mem_fail_at(1);
	assert_int_equal(tape_read(r, &kind, &payload, &size), -ENOMEM);
	mem_fail_at(0);
	assert_int_equal(tape_read(r, &kind, &payload, &size), 1);
	assert_int_equal(size, TAPE_BUFFER * 3);
	tape_reader_free(r);
	tape_reader_free(NULL);
	assert_int_equal(mem_used(TAPE_ACCOUNT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_come_back),
	    cmocka_unit_test(the_format_stays),
	    cmocka_unit_test(a_cut_tape_gives_its_whole_frames),
	    cmocka_unit_test(a_size_that_lies_takes_no_memory),
	    cmocka_unit_test(a_slow_pipe_is_read_in_pieces),
	    cmocka_unit_test(the_first_error_stays),
	    cmocka_unit_test(nothing_is_held_back_for_long),
	    cmocka_unit_test(failures_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
