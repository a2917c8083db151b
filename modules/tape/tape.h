// SPDX-License-Identifier: Apache-2.0
// A recording: frames of bytes in a file, each with a kind, in order. Tape knows nothing of what
// they mean.
//
//   "TELEGENREC1\n" | frame*
//   frame: u32 size of payload | u16 kind | u16 0 | u32 crc32 | payload
//
// Little endian; the crc32 is of the 8 bytes before it and the payload. A frame that was cut (a
// full disk, a kill) ends the reading with -EBADMSG after all whole ones.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define TAPE_FRAME_MAX (1u << 20)

struct tape_writer;
// Takes FD, also where it fails; NULL + errno.
struct tape_writer *tape_writer_new(int fd);
// Buffered. -EMSGSIZE for more than TAPE_FRAME_MAX, which changes nothing; any other error stays.
int tape_write(struct tape_writer *w, uint16_t kind, const void *a, size_t a_size, const void *b,
    size_t b_size);
int tape_flush(struct tape_writer *w);
int tape_writer_close(struct tape_writer *w); // flushes, closes; 0 or the first error; frees W

struct tape_reader;
// Takes FD, also where it fails; NULL + errno (EBADMSG: not a recording).
struct tape_reader *tape_reader_new(int fd);
// 1 and a frame (valid until the next call), 0 at the end, -EBADMSG, -errno.
int tape_read(struct tape_reader *r, uint16_t *kind, const uint8_t **payload, size_t *size);
void tape_reader_free(struct tape_reader *r);
