// SPDX-License-Identifier: Apache-2.0
// Protobuf in, by nanopb's primitives over a buffer; nothing is copied.
#include "wire.h"

#include <errno.h>
#include <pb_decode.h>

static pb_istream_t open_stream(const struct wire_in *in)
{
	return pb_istream_from_buffer(in->at, (size_t)(in->end - in->at));
}

int wire_next_varint(struct wire_in *in, uint64_t *value)
{
	if (in->at == in->end)
		return 0;
	if (*in->at < 0x80) { // most are one byte long
		*value = *in->at++;
		return 1;
	}
	pb_istream_t s = open_stream(in);
	if (!pb_decode_varint(&s, value))
		return -EBADMSG;
	in->at = in->end - s.bytes_left;
	return 1;
}

int wire_next(struct wire_in *in, struct wire_field *field)
{
	uint64_t tag, length;
	int got = wire_next_varint(in, &tag);
	if (got <= 0)
		return got;
	*field = (struct wire_field){.number = (uint32_t)(tag >> 3), .type = tag & 7};
	if (tag > UINT32_MAX || !field->number)
		return -EBADMSG;
	pb_istream_t s = open_stream(in);
	switch (field->type) {
	case PB_WT_VARINT:
		return wire_next_varint(in, &field->value) == 1 ? 1 : -EBADMSG;
	case PB_WT_STRING:
		if (wire_next_varint(in, &length) != 1 || length > (size_t)(in->end - in->at))
			return -EBADMSG;
		field->bytes = (struct wire_in){in->at, in->at + length};
		in->at += length;
		return 1;
	case PB_WT_64BIT:
		if (!pb_decode_fixed64(&s, &field->value))
			return -EBADMSG;
		break;
	case PB_WT_32BIT: {
		uint32_t value;
		if (!pb_decode_fixed32(&s, &value))
			return -EBADMSG;
		field->value = value;
		break;
	}
	default: // groups went out of use before any format that we read was made
		return -EBADMSG;
	}
	in->at = in->end - s.bytes_left;
	return 1;
}
