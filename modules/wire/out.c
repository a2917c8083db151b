// SPDX-License-Identifier: Apache-2.0
// Protobuf out, by nanopb's primitives (its field descriptors would need every message as a
// struct). https://protobuf.dev/programming-guides/encoding/
//
// A message is measured by running its fill function over nanopb's counting stream first. While
// counting, a message inside it is counted only, so that a message at depth d is filled d + 1
// times.
#include "wire.h"

#include "../base/base.h"

#include <errno.h>
#include <pb_encode.h>
#include <string.h>

struct wire_out {
	struct wire_sink sink;
	pb_ostream_t *stream; // where bytes go now: `to_sink` or a counting stream
	pb_ostream_t to_sink;
	int error;
	uint32_t depth; // of messages being written
	size_t len;
	uint8_t
	    buffer[512]; // gathers a field's small writes; empty between fields of the top level
};

static void flush(struct wire_out *o)
{
	if (o->len && !o->error)
		o->error = o->sink.write(o->sink.arg, o->buffer, o->len);
	o->len = 0;
}

static bool gather(pb_ostream_t *stream, const pb_byte_t *bytes, size_t n)
{
	struct wire_out *o = stream->state;
	if (o->len + n > sizeof(o->buffer))
		flush(o);
	if (n > sizeof(o->buffer)) {
		if (!o->error)
			o->error = o->sink.write(o->sink.arg, bytes, n);
	} else {
		memcpy(o->buffer + o->len, bytes, n);
		o->len += n;
	}
	return !o->error;
}

struct wire_out *wire_out_new(const struct wire_sink *sink)
{
	struct wire_out *o = mem_alloc(ACCOUNT_WIRE, sizeof(*o));
	if (!o)
		return NULL;
	o->sink = *sink;
	o->to_sink = (pb_ostream_t){.callback = gather, .state = o, .max_size = SIZE_MAX};
	o->stream = &o->to_sink;
	return o;
}

void wire_out_free(struct wire_out *o)
{
	mem_free(o);
}

int wire_out_error(const struct wire_out *o)
{
	return o->error;
}

// The end of a field: OK is what nanopb said of it.
static void done(struct wire_out *o, bool ok)
{
	if (!ok && !o->error)
		o->error = -EIO;
	if (o->stream == &o->to_sink && !o->depth)
		flush(o);
}

void wire_varint(struct wire_out *o, uint32_t field, uint64_t value)
{
	if (value && !o->error)
		done(o, pb_encode_tag(o->stream, PB_WT_VARINT, field) &&
			    pb_encode_varint(o->stream, value));
}

void wire_bytes(struct wire_out *o, uint32_t field, const void *bytes, size_t n)
{
	if (!o->error)
		done(o, pb_encode_tag(o->stream, PB_WT_STRING, field) &&
			    pb_encode_string(o->stream, n ? bytes : (const void *)"", n));
}

static size_t varint_size(uint64_t value)
{
	return (size_t)(63 - __builtin_clzll(value | 1)) / 7 + 1;
}

void wire_packed(struct wire_out *o, uint32_t field, uint32_t count,
    uint64_t (*get)(const void *arg, uint32_t i), const void *arg)
{
	size_t size = 0;
	if (!count || o->error)
		return;
	for (uint32_t i = 0; i < count; i++)
		size += varint_size(get(arg, i));
	bool ok =
	    pb_encode_tag(o->stream, PB_WT_STRING, field) && pb_encode_varint(o->stream, size);
	if (!o->stream->callback) { // only counted: the values need not be seen again
		done(o, ok && pb_write(o->stream, NULL, size));
		return;
	}
	for (uint32_t i = 0; ok && i < count; i++)
		ok = pb_encode_varint(o->stream, get(arg, i));
	done(o, ok);
}

void wire_message(struct wire_out *o, uint32_t field,
    void (*fill)(struct wire_out *o, const void *arg), const void *arg)
{
	pb_ostream_t counting = PB_OSTREAM_SIZING, *outer = o->stream;
	if (o->error)
		return;
	o->stream = &counting;
	fill(o, arg);
	o->stream = outer;
	bool ok = !o->error && pb_encode_tag(outer, PB_WT_STRING, field) &&
		  pb_encode_varint(outer, counting.bytes_written);
	if (ok && !outer->callback) {
		ok = pb_write(outer, NULL, counting.bytes_written);
	} else if (ok) {
		size_t before = outer->bytes_written;
		o->depth++;
		fill(o, arg);
		o->depth--;
		ok = outer->bytes_written - before == counting.bytes_written;
	}
	done(o, ok);
}

void wire_number(struct wire_out *o, uint32_t field, uint64_t value)
{
	if (!o->error)
		done(o, pb_encode_tag(o->stream, PB_WT_VARINT, field) &&
			    pb_encode_varint(o->stream, value));
}

void wire_fixed64(struct wire_out *o, uint32_t field, uint64_t value)
{
	if (!o->error)
		done(o, pb_encode_tag(o->stream, PB_WT_64BIT, field) &&
			    pb_encode_fixed64(o->stream, &value));
}

void wire_double(struct wire_out *o, uint32_t field, double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	wire_fixed64(o, field, bits);
}

void wire_packed_fixed64(struct wire_out *o, uint32_t field, uint32_t count,
    uint64_t (*get)(const void *arg, uint32_t i), const void *arg)
{
	if (!count || o->error)
		return;
	bool ok = pb_encode_tag(o->stream, PB_WT_STRING, field) &&
		  pb_encode_varint(o->stream, count * 8ull);
	for (uint32_t i = 0; ok && i < count; i++) {
		uint64_t value = get(arg, i);
		ok = pb_encode_fixed64(o->stream, &value);
	}
	done(o, ok);
}

void wire_head(struct wire_out *o, uint32_t field, uint64_t size)
{
	if (!o->error)
		done(o, pb_encode_tag(o->stream, PB_WT_STRING, field) &&
			    pb_encode_varint(o->stream, size));
}

uint64_t wire_message_size(uint32_t field, uint64_t size)
{
	return varint_size((uint64_t)field << 3) + varint_size(size) + size;
}

uint64_t wire_size(
    struct wire_out *o, void (*fill)(struct wire_out *o, const void *arg), const void *arg)
{
	pb_ostream_t counting = PB_OSTREAM_SIZING, *outer = o->stream;
	o->stream = &counting;
	fill(o, arg);
	o->stream = outer;
	return counting.bytes_written;
}
