// SPDX-License-Identifier: Apache-2.0
// gzip (RFC 1952) by zlib. zlib's own memory is accounted as the libraries'.
#include "wire.h"

#include "../base/base.h"

#include <errno.h>
#include <zlib.h>

// deflate holds 2^(WINDOW + 2) + 2^(LEVEL + 9) bytes: 96 KiB so. Against zlib's usual 256 KiB that
// makes a profile 2 % longer.
#define DEFLATE_WINDOW 14
#define DEFLATE_MEMORY 6
#define DEFLATE_EFFORT 5
#define GZIP_HEADER 16 // added to the window's bits: zlib shall write gzip's header
#define ANY_HEADER 32	// zlib shall expect gzip's header or its own

struct wire_gzip {
	struct wire_sink out;
	z_stream z;
	bool open;
	int error;
	uint8_t buffer[2048];
};

static int error_of(int zlib)
{
	return zlib == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

struct wire_gzip *wire_gzip_new(const struct wire_sink *out)
{
	struct wire_gzip *z = mem_alloc(ACCOUNT_WIRE, sizeof(*z));
	if (!z)
		return NULL;
	z->out = *out;
	if (deflateInit2(&z->z, DEFLATE_EFFORT, Z_DEFLATED, DEFLATE_WINDOW + GZIP_HEADER,
		DEFLATE_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
		mem_free(z);
		return errno = ENOMEM, NULL;
	}
	z->open = true;
	return z;
}

static int deflate_all(struct wire_gzip *z, const void *bytes, size_t n, int flush)
{
	z->z.next_in = (Bytef *)bytes;
	z->z.avail_in = (uInt)n;
	while (!z->error) {
		z->z.next_out = z->buffer;
		z->z.avail_out = sizeof(z->buffer);
		int did = deflate(&z->z, flush);
		size_t out = sizeof(z->buffer) - z->z.avail_out;
		if (out)
			z->error = z->out.write(z->out.arg, z->buffer, out);
		if (did == Z_STREAM_END || did == Z_BUF_ERROR ||
		    (z->z.avail_out && flush == Z_NO_FLUSH))
			break;
		if (did != Z_OK)
			z->error = error_of(did);
	}
	return z->error;
}

static int gzip_write(void *arg, const void *bytes, size_t n)
{
	enum { PIECE = 1 << 30 }; // zlib counts in unsigned int
	const uint8_t *at = bytes;
	int error = 0;
	for (size_t piece; n && !error; at += piece, n -= piece) {
		piece = n < PIECE ? n : PIECE;
		error = deflate_all(arg, at, piece, Z_NO_FLUSH);
	}
	return error;
}

struct wire_sink wire_gzip_sink(struct wire_gzip *z)
{
	return (struct wire_sink){gzip_write, z};
}

int wire_gzip_finish(struct wire_gzip *z)
{
	return deflate_all(z, "", 0, Z_FINISH);
}

void wire_gzip_free(struct wire_gzip *z)
{
	if (z && z->open)
		deflateEnd(&z->z);
	mem_free(z);
}

struct wire_gunzip {
	struct wire_sink out;
	z_stream z;
	uint64_t left; // bytes that may still come out
	bool ended;    // between two members of the file
	int error;
	uint8_t buffer[4096];
};

struct wire_gunzip *wire_gunzip_new(const struct wire_sink *out, uint64_t out_max)
{
	struct wire_gunzip *z = mem_alloc(ACCOUNT_WIRE, sizeof(*z));
	if (!z)
		return NULL;
	z->out = *out;
	z->left = out_max;
	if (inflateInit2(&z->z, MAX_WBITS + ANY_HEADER) != Z_OK) {
		mem_free(z);
		return errno = ENOMEM, NULL;
	}
	return z;
}

static int inflate_all(struct wire_gunzip *z)
{
	while (z->z.avail_in || !z->z.avail_out) {
		if (z->ended && !z->z.avail_in)
			break;
		if (z->ended && inflateReset(&z->z) != Z_OK)
			return -EBADMSG;
		z->ended = false;
		z->z.next_out = z->buffer;
		z->z.avail_out = sizeof(z->buffer);
		int did = inflate(&z->z, Z_NO_FLUSH);
		size_t out = sizeof(z->buffer) - z->z.avail_out;
		if (did != Z_OK && did != Z_STREAM_END && did != Z_BUF_ERROR)
			return error_of(did);
		if (out > z->left)
			return -EFBIG;
		z->left -= out;
		int error = out ? z->out.write(z->out.arg, z->buffer, out) : 0;
		if (error)
			return error;
		z->ended = did == Z_STREAM_END;
	}
	return 0;
}

int wire_gunzip_feed(struct wire_gunzip *z, const void *bytes, size_t n)
{
	enum { PIECE = 1 << 30 };
	const uint8_t *at = bytes;
	for (size_t piece; n && !z->error; at += piece, n -= piece) {
		piece = n < PIECE ? n : PIECE;
		z->z.next_in = (Bytef *)at;
		z->z.avail_in = (uInt)piece;
		z->z.avail_out = sizeof(z->buffer);
		z->error = inflate_all(z);
	}
	return z->error;
}

int wire_gunzip_finish(struct wire_gunzip *z)
{
	if (!z->error && !z->ended)
		z->error = -EBADMSG;
	return z->error;
}

void wire_gunzip_free(struct wire_gunzip *z)
{
	if (z)
		inflateEnd(&z->z);
	mem_free(z);
}
