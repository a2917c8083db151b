// SPDX-License-Identifier: Apache-2.0
// Protobuf out: against bytes worked out by hand, nesting, sticky errors; and what goes out is read
// back.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/wire/out.c"

struct place {
	uint8_t bytes[100000];
	size_t len;
	size_t refuse_after; // bytes; 0: never
	int writes;
};

static int keep(void *arg, const void *bytes, size_t n)
{
	struct place *p = arg;
	if (p->refuse_after && p->len + n > p->refuse_after)
		return -ENOSPC;
	assert_true(p->len + n <= sizeof(p->bytes));
	memcpy(p->bytes + p->len, bytes, n);
	p->len += n;
	p->writes++;
	return 0;
}

static uint64_t nth(const void *arg, uint32_t i)
{
	return ((const uint64_t *)arg)[i];
}

static int fills;
static void leaf(struct wire_out *o, const void *arg)
{
	fills++;
	wire_varint(o, 1, *(const uint64_t *)arg);
}
static void middle(struct wire_out *o, const void *arg)
{
	wire_message(o, 2, leaf, arg);
	wire_bytes(o, 3, "x", 1);
}
static void top(struct wire_out *o, const void *arg)
{
	wire_message(o, 1, middle, arg);
}

static void fields_are_as_the_format_says(void **state)
{
	(void)state;
	static struct place p;
	struct wire_out *o = wire_out_new(&(struct wire_sink){keep, &p});
	wire_varint(o, 1, 150);
	wire_varint(o, 2, 0); // left out
	wire_bytes(o, 3, "hi", 2);
	wire_bytes(o, 6, NULL, 0); // there, though empty
	uint64_t list[] = {3, 270, 86942}, number = 300;
	wire_packed(o, 4, 3, nth, list);
	wire_packed(o, 4, 0, nth, list);
	assert_int_equal(p.writes, 4);
	wire_message(o, 5, top, &number);
	assert_int_equal(p.writes, 5);
	static const uint8_t want[] = {0x08, 0x96, 0x01, 0x1a, 2, 'h', 'i', 0x32, 0, 0x22, 6, 3,
	    0x8e, 2, 0x9e, 0xa7, 5, 0x2a, 10, 0x0a, 8, 0x12, 3, 0x08, 0xac, 2, 0x1a, 1, 'x'};
	assert_int_equal(wire_out_error(o), 0);
	assert_int_equal(p.len, sizeof(want));
	assert_memory_equal(p.bytes, want, sizeof(want));
	assert_int_equal(fills, 4); // depth 3: not two to the power of it
	wire_out_free(o);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
}

static void numbers_of_other_kinds(void **state)
{
	(void)state;
	static struct place p;
	struct wire_out *o = wire_out_new(&(struct wire_sink){keep, &p});
	uint64_t list[] = {1, 0x0807060504030201};
	wire_number(o, 1, 0); // written, unlike wire_varint's
	wire_number(o, 2, 300);
	wire_fixed64(o, 3, 0);
	wire_fixed64(o, 3, 0x0807060504030201);
	wire_double(o, 4, 1.5);
	wire_packed_fixed64(o, 5, 2, nth, list);
	wire_packed_fixed64(o, 5, 0, nth, list); // left out
	static const uint8_t want[] = {0x08, 0, 0x10, 0xac, 2, 0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x19,
	    1, 2, 3, 4, 5, 6, 7, 8, 0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x2a, 16, 1, 0, 0, 0, 0, 0,
	    0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
	assert_int_equal(wire_out_error(o), 0);
	assert_int_equal(p.len, sizeof(want));
	assert_memory_equal(p.bytes, want, sizeof(want));
	wire_out_free(o);
}

static void inner(struct wire_out *o, const void *arg)
{
	uint64_t list[] = {1, 2, 3};
	wire_varint(o, 1, *(const uint64_t *)arg);
	wire_number(o, 2, 0);
	wire_fixed64(o, 3, 7);
	wire_double(o, 4, 0.25);
	wire_packed_fixed64(o, 5, 3, nth, list);
	wire_packed(o, 6, 3, nth, list);
	wire_head(o, 7, 2);
	wire_number(o, 1, 1);
	wire_message(o, 8, leaf, arg);
}

// A message whose head is written first is the same as one that is filled at one go.
static void a_long_message_is_measured_first(void **state)
{
	(void)state;
	static struct place p, q;
	uint64_t number = 1 << 20, empty = 0;
	struct wire_out *o = wire_out_new(&(struct wire_sink){keep, &p}),
			*measure = wire_out_new(&(struct wire_sink){0}); // writes nowhere
	uint64_t size = wire_size(measure, inner, &number);
	wire_head(o, 9, size);
	assert_int_equal(p.len, 2);
	inner(o, &number);
	assert_int_equal(p.len, 2 + size);
	assert_int_equal(wire_message_size(9, size), p.len);
	assert_int_equal(wire_size(o, inner, &number), size);
	assert_int_equal(p.len, 2 + size); // only measured
	assert_int_equal(wire_out_error(o), 0);
	wire_out_free(o);
	o = wire_out_new(&(struct wire_sink){keep, &q});
	wire_message(o, 9, inner, &number);
	assert_int_equal(q.len, p.len);
	assert_memory_equal(p.bytes, q.bytes, p.len);
	q.len = 0;
	wire_head(o, 1, 0);
	wire_head(o, 2, 128);
	wire_head(o, 16, 1ull << 35);
	static const uint8_t want[] = {
	    0x0a, 0, 0x12, 0x80, 1, 0x82, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
	assert_int_equal(q.len, sizeof(want));
	assert_memory_equal(q.bytes, want, sizeof(want));
	assert_int_equal(wire_message_size(1, 0), 2);
	assert_int_equal(wire_message_size(2, 128), 3 + 128);
	assert_int_equal(wire_message_size(16, 1ull << 35), 8 + (1ull << 35));
	assert_int_equal(wire_size(o, leaf, &empty), 0);
	wire_out_free(o);
	wire_out_free(measure);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
}

static void long_things_pass(void **state)
{
	(void)state;
	static struct place p;
	static char text[70000]; // more than nanopb's 16-bit sizes
	static uint64_t list[9000];
	for (size_t i = 0; i < 9000; i++)
		list[i] = i * 1000003;
	memset(text, 'a', sizeof(text));
	struct wire_out *o = wire_out_new(&(struct wire_sink){keep, &p});
	wire_bytes(o, 1, text, sizeof(text));
	p.len = 0;
	wire_packed(o, 2, 9000, nth, list);
	struct wire_in in = {p.bytes, p.bytes + p.len};
	struct wire_field f;
	assert_int_equal(wire_next(&in, &f), 1);
	for (size_t i = 0; i < 9000; i++) {
		uint64_t v;
		assert_int_equal(wire_next_varint(&f.bytes, &v), 1);
		assert_int_equal(v, list[i]);
	}
	assert_int_equal(wire_next(&in, &f), 0);
	wire_out_free(o);
}

static void changes(struct wire_out *o, const void *arg)
{
	(void)arg;
	static uint64_t v = 1;
	wire_varint(o, 1, v <<= 7);
}

static void errors_stick(void **state)
{
	(void)state;
	static struct place p = {.refuse_after = 10};
	struct wire_out *o = wire_out_new(&(struct wire_sink){keep, &p});
	wire_bytes(o, 1, "12345678", 8);
	wire_bytes(o, 1, "12345678", 8);
	assert_int_equal(wire_out_error(o), -ENOSPC);
	wire_varint(o, 1, 1);
	wire_message(o, 1, top, &(uint64_t){1});
	wire_packed(o, 1, 1, nth, &(uint64_t){1});
	wire_number(o, 1, 1);
	wire_fixed64(o, 1, 1);
	wire_double(o, 1, 1);
	wire_packed_fixed64(o, 1, 1, nth, &(uint64_t){1});
	wire_head(o, 1, 1);
	assert_int_equal(p.len, 10);
	wire_out_free(o);
	p = (struct place){0};
	o = wire_out_new(&(struct wire_sink){keep, &p});
	wire_message(o, 1, changes, NULL);
	assert_int_equal(wire_out_error(o), -EIO);
	wire_out_free(o);
	mem_fail_at(1);
	assert_null(wire_out_new(&(struct wire_sink){keep, &p}));
	mem_fail_at(0);
	assert_int_equal(mem_used(ACCOUNT_WIRE), 0);
}

static int read_all(const char *bytes, size_t n)
{
	struct wire_in in = {(const uint8_t *)bytes, (const uint8_t *)bytes + n};
	struct wire_field f;
	int got, count = 0;
	while ((got = wire_next(&in, &f)) == 1)
		count++;
	return got ? got : count;
}
#define READ(s) read_all(s, sizeof(s) - 1)

static void what_is_not_protobuf_is_refused(void **state)
{
	(void)state;
	assert_int_equal(READ(""), 0);
	assert_int_equal(READ("\x08\x01\x11"
			      "12345678"
			      "\x1d"
			      "1234"
			      "\x22\x00"),
	    4);
	assert_int_equal(READ("\x08"), -EBADMSG);				   // no value
	assert_int_equal(READ("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1); // -1
	assert_int_equal(READ("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), -EBADMSG);
	assert_int_equal(READ("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), -EBADMSG);
	assert_int_equal(READ("\x0a\x05"
			      "1234"),
	    -EBADMSG); // cut
	assert_int_equal(READ("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG);
	assert_int_equal(READ("\x11"
			      "1234567"),
	    -EBADMSG);
	assert_int_equal(READ("\x0b\x0c"), -EBADMSG);		      // a group
	assert_int_equal(READ("\x00\x01"), -EBADMSG);		      // field 0
	assert_int_equal(READ("\xff\xff\xff\xff\xff\x01"), -EBADMSG); // tag over 32 bits
	struct wire_in in = {(const uint8_t *)"\x1d\x01\x02\x03\x04", NULL};
	in.end = in.at + 5;
	struct wire_field f;
	assert_int_equal(wire_next(&in, &f), 1);
	assert_true(f.number == 3 && f.type == 5 && f.value == 0x04030201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fields_are_as_the_format_says),
	    cmocka_unit_test(numbers_of_other_kinds),
	    cmocka_unit_test(a_long_message_is_measured_first),
	    cmocka_unit_test(long_things_pass),
	    cmocka_unit_test(errors_stick),
	    cmocka_unit_test(what_is_not_protobuf_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
