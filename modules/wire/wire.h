// SPDX-License-Identifier: Apache-2.0
// Bytes out and in: protobuf (nanopb) and gzip (zlib); this room is the only one that knows either.
// Everything streams through a sink; nothing needs its whole output in memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct wire_sink {
	int (*write)(void *arg, const void *bytes, size_t n); // 0 or -errno; errors stick in the writer
	void *arg;
};

// gzip: what is written to the returned sink reaches OUT compressed. Memory: about 105 KiB.
struct wire_gzip;
struct wire_gzip *wire_gzip_new(const struct wire_sink *out); // NULL + errno
struct wire_sink wire_gzip_sink(struct wire_gzip *z);
int wire_gzip_finish(struct wire_gzip *z); // flushes and writes the trailer
void wire_gzip_free(struct wire_gzip *z);

// gunzip: bytes fed in (gzip's format or zlib's) come out at OUT, up to a thousand times as many. More than OUT_MAX bytes is -EFBIG,
// garbage -EBADMSG. Memory: about 45 KiB.
struct wire_gunzip;
struct wire_gunzip *wire_gunzip_new(const struct wire_sink *out, uint64_t out_max);
int wire_gunzip_feed(struct wire_gunzip *z, const void *bytes, size_t n);
int wire_gunzip_finish(struct wire_gunzip *z); // -EBADMSG: the stream was cut
void wire_gunzip_free(struct wire_gunzip *z);

// Protobuf out. Fields of a message that is its parent's field are written between open and close, which
// measure first: FILL is called twice and must write the same both times.
struct wire_out;
struct wire_out *wire_out_new(const struct wire_sink *sink);
void wire_out_free(struct wire_out *o);
int wire_out_error(const struct wire_out *o); // first error, sticky
void wire_varint(struct wire_out *o, uint32_t field, uint64_t value); // 0 is left out (proto3)
// Written even when 0, as a oneof wants it.
void wire_number(struct wire_out *o, uint32_t field, uint64_t value);
void wire_fixed64(struct wire_out *o, uint32_t field, uint64_t value);
void wire_double(struct wire_out *o, uint32_t field, double value);
void wire_bytes(struct wire_out *o, uint32_t field, const void *bytes, size_t n); // written even when empty
void wire_packed(struct wire_out *o, uint32_t field, uint32_t count,
    uint64_t (*get)(const void *arg, uint32_t i), const void *arg);
void wire_message(struct wire_out *o, uint32_t field, void (*fill)(struct wire_out *o, const void *arg),
    const void *arg);
void wire_packed_fixed64(struct wire_out *o, uint32_t field, uint32_t count,
    uint64_t (*get)(const void *arg, uint32_t i), const void *arg);
// A message too long to be filled at one go: its head; SIZE bytes of its fields must follow. wire_size: how many
// bytes FILL writes.
void wire_head(struct wire_out *o, uint32_t field, uint64_t size);
uint64_t wire_message_size(uint32_t field, uint64_t size); // of the two together
uint64_t wire_size(struct wire_out *o, void (*fill)(struct wire_out *o, const void *arg), const void *arg);

// Protobuf in, from a buffer. wire_next: 1 a field, 0 the end, -EBADMSG. Submessages and packed lists are
// read with a wire_in of their own over `bytes`.
struct wire_in {
	const uint8_t *at, *end;
};
struct wire_field {
	uint32_t number, type; // type: 0 varint, 1 fixed64, 2 bytes, 5 fixed32
	uint64_t value;	       // types 0, 1, 5
	struct wire_in bytes;  // type 2
};
int wire_next(struct wire_in *in, struct wire_field *field);
int wire_next_varint(struct wire_in *in, uint64_t *value); // of a packed list: 1, 0, -EBADMSG
