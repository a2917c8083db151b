// SPDX-License-Identifier: Apache-2.0
// A recording: frames of bytes in a file, each with a kind, in order. Tape knows nothing of what
// they mean.
//
//   "TELEGENREC1\n" | frame* | end: a frame of kind 65535 without payload
//   frame: u32 size of payload | u16 kind | u16 0 | u32 crc32 | payload
//
// Little endian; the crc32 is of the 8 bytes before it and the payload. A recording without its end
// (a full disk, a kill, one that is still being made) was cut, between two frames or inside one: it
// can be read up to there.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAPE_FRAME_MAX (1u << 20)
#define TAPE_HEAD_MAX 12 // bytes that tell a recording from anything else
bool tape_is(const void *bytes, size_t n);

struct tape_writer;
// Takes FD, also where it fails; NULL + errno.
struct tape_writer *tape_writer_new(int fd);
// Buffered, for a second at most while frames come: who is killed loses no more. KIND is below
// 65535. -EMSGSIZE for more than TAPE_FRAME_MAX, which changes nothing; any other error stays.
int tape_write(struct tape_writer *w, uint16_t kind, const void *a, size_t a_size, const void *b,
    size_t b_size);
int tape_flush(struct tape_writer *w);
// Writes the end, flushes, closes; 0 or the first error; frees W.
int tape_writer_close(struct tape_writer *w);

struct tape_reader;
// Takes FD, also where it fails; NULL + errno (EBADMSG: not a recording).
struct tape_reader *tape_reader_new(int fd);
// 1 and a frame (valid until the next call); 0 at the end, -ENODATA where the recording was cut,
// -EBADMSG where it is damaged (these three stay); -errno.
int tape_read(struct tape_reader *r, uint16_t *kind, const uint8_t **payload, size_t *size);
uint64_t tape_reader_frames(const struct tape_reader *r); // read so far
void tape_reader_free(struct tape_reader *r);
