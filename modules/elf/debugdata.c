// SPDX-License-Identifier: Apache-2.0
// The .xz file format, one stream: header, blocks, index, footer. The index says how large all of
// it will be, so the memory is taken once, in that size; and a block's dictionary need not be
// larger than that, though its header usually asks for 8 MiB.
#include "debugdata.h"

#include "../base/base.h"

#include <errno.h>
#include <lzma.h>
#include <string.h>

#define IMAGE_MAX (16u << 20)
#define DECODER_MAX (IMAGE_MAX + (1u << 20))
#define INDEX_MAX (64u << 10) // a record of some ten bytes for every block
#define INPUT 4096
#define PIECE (16u << 10) // bytes unpacked between two looks at the clock, some 0.2 ms

struct debugdata {
	const struct view *view;
	uint64_t at, end; // of the input, in the file
	uint8_t *image;
	size_t size;
	lzma_allocator allocator;
	lzma_stream stream;
	lzma_check check;
	lzma_block block; // decoded now; the decoder keeps a pointer to it
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	bool in_block;
	uint8_t input[INPUT];
};

static void *allocate(void *opaque, size_t n, size_t size)
{
	(void)opaque;
	return size && n > SIZE_MAX / size ? NULL : mem_alloc(ACCOUNT_ELF, n * size);
}

static void release(void *opaque, void *p)
{
	(void)opaque;
	mem_free(p);
}

static int lzma_error(lzma_ret r)
{
	return r == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static int read_index(struct debugdata *d, uint64_t footer, uint64_t size)
{
	uint64_t limit = DECODER_MAX;
	size_t at = 0;
	lzma_index *index = NULL;
	uint8_t *bytes = mem_alloc(ACCOUNT_ELF, size);
	if (!bytes)
		return -ENOMEM;
	int err = view_read(d->view, footer - size, bytes, size);
	if (!err) {
		lzma_ret r =
		    lzma_index_buffer_decode(&index, &limit, &d->allocator, bytes, &at, size);
		if (r != LZMA_OK)
			err = lzma_error(r);
	}
	if (!err && (!lzma_index_uncompressed_size(index) ||
			lzma_index_uncompressed_size(index) > IMAGE_MAX))
		err = -EBADMSG;
	if (!err)
		d->size = lzma_index_uncompressed_size(index);
	lzma_index_end(index, &d->allocator);
	mem_free(bytes);
	return err;
}

static int read_frame(struct debugdata *d)
{
	uint8_t bytes[LZMA_STREAM_HEADER_SIZE];
	lzma_stream_flags header, footer;
	if (d->end - d->at < 2 * sizeof(bytes))
		return -EBADMSG;
	int err = view_read(d->view, d->at, bytes, sizeof(bytes));
	if (err)
		return err;
	if (lzma_stream_header_decode(&header, bytes) != LZMA_OK)
		return -EBADMSG;
	d->check = header.check;
	err = view_read(d->view, d->end - sizeof(bytes), bytes, sizeof(bytes));
	if (err)
		return err;
	if (lzma_stream_footer_decode(&footer, bytes) != LZMA_OK ||
	    lzma_stream_flags_compare(&header, &footer) != LZMA_OK ||
	    footer.backward_size > INDEX_MAX ||
	    footer.backward_size > d->end - d->at - 2 * sizeof(bytes))
		return -EBADMSG;
	err = read_index(d, d->end - sizeof(bytes), footer.backward_size);
	d->at += sizeof(bytes);
	d->end -= sizeof(bytes) + footer.backward_size;
	return err;
}

struct debugdata *debugdata_new(const struct view *view, const struct section *section)
{
	struct debugdata *d = mem_alloc(ACCOUNT_ELF, sizeof(*d));
	if (!d)
		return NULL;
	d->view = view;
	d->at = section->offset;
	d->end = section->offset + section->size;
	d->allocator = (lzma_allocator){.alloc = allocate, .free = release};
	d->stream = (lzma_stream)LZMA_STREAM_INIT;
	d->stream.allocator = &d->allocator;
	int err = read_frame(d);
	if (!err) {
		d->image = mem_alloc(ACCOUNT_ELF, d->size);
		err = d->image ? 0 : -ENOMEM;
	}
	if (err) {
		debugdata_free(d);
		return errno = -err, NULL;
	}
	d->stream.next_out = d->image;
	return d;
}

void debugdata_free(struct debugdata *d)
{
	if (!d)
		return;
	lzma_end(&d->stream);
	mem_free(d->image);
	mem_free(d);
}

static void shrink_dictionary(lzma_filter *filters, size_t size)
{
	for (; filters->id != LZMA_VLI_UNKNOWN; filters++) {
		lzma_options_lzma *lzma2 = filters->options;
		if (filters->id == LZMA_FILTER_LZMA2 && lzma2->dict_size > size)
			lzma2->dict_size =
			    size < LZMA_DICT_SIZE_MIN ? LZMA_DICT_SIZE_MIN : (uint32_t)size;
	}
}

static int begin_block(struct debugdata *d)
{
	uint8_t header[LZMA_BLOCK_HEADER_SIZE_MAX];
	int err = view_read(d->view, d->at, header, 1);
	if (err)
		return err;
	d->block = (lzma_block){.check = d->check,
	    .filters = d->filters,
	    .header_size = lzma_block_header_size_decode(header[0])};
	if (!header[0] || d->block.header_size > d->end - d->at)
		return -EBADMSG;
	err = view_read(d->view, d->at, header, d->block.header_size);
	if (err)
		return err;
	lzma_ret r = lzma_block_header_decode(&d->block, &d->allocator, header);
	if (r != LZMA_OK)
		return lzma_error(r);
	shrink_dictionary(d->filters, d->size);
	if (lzma_raw_decoder_memusage(d->filters) > DECODER_MAX)
		r = LZMA_MEMLIMIT_ERROR;
	if (r == LZMA_OK)
		r = lzma_block_decoder(&d->stream, &d->block);
	for (unsigned i = 0; d->filters[i].id != LZMA_VLI_UNKNOWN; i++)
		mem_free(d->filters[i].options); // needed to begin only
	if (r != LZMA_OK)
		return lzma_error(r);
	d->at += d->block.header_size;
	d->in_block = true;
	return 0;
}

// Unpacks one piece: 1 more, 0 all of it is there, -errno.
static int unpack(struct debugdata *d)
{
	lzma_stream *s = &d->stream;
	size_t done = (size_t)(s->next_out - d->image);
	if (!d->in_block) {
		if (d->at == d->end)
			return done == d->size ? 0 : -EBADMSG;
		s->avail_in = 0;
		int err = begin_block(d);
		return err ? err : 1;
	}
	if (!s->avail_in) {
		int64_t n = view_some(
		    d->view, d->at, d->input, d->end - d->at < INPUT ? d->end - d->at : INPUT);
		if (n <= 0)
			return n < 0 ? (int)n : -EBADMSG;
		s->next_in = d->input;
		s->avail_in = (size_t)n;
	}
	size_t before = s->avail_in;
	s->avail_out = d->size - done < PIECE ? d->size - done : PIECE;
	lzma_ret r = lzma_code(s, LZMA_RUN);
	d->at += before - s->avail_in;
	if (r == LZMA_STREAM_END)
		d->in_block = false;
	else if (r != LZMA_OK)
		return lzma_error(r);
	return 1;
}

int debugdata_step(struct debugdata *d, uint64_t deadline)
{
	for (;;) {
		int r = unpack(d);
		if (r != 1)
			return r;
		if (clock_now() >= deadline)
			return 1;
	}
}

void debugdata_image(const struct debugdata *d, struct view *image)
{
	view_memory(image, d->image, d->size);
}
