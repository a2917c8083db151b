// SPDX-License-Identifier: Apache-2.0
// What a sample of a file tells apart, how much of a large one, and that files which lie cost no
// more than others.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../modules/elf/sample.c"
#include "elf_image.h"

#include <errno.h>

#define LARGE (8u << 20)
#define SYMBOLS (1u << 20) // where its tables lie; each is so long
#define STRINGS (3u << 20)
#define TABLE (1u << 20)
#define FRAMES (5u << 20)

static struct image m;
static const struct elf_secret secret = {0x0123456789abcdef, 0xfedcba9876543210};

static uint64_t sum_with(int fd, uint64_t size, const struct elf_secret *of)
{
	uint64_t sum;
	assert_int_equal(elf_sample(fd, size, of, &sum), 0);
	return sum;
}

static uint64_t sum_of_image(void)
{
	int fd = image_fd(&m, m.size);
	assert_true(fd >= 0);
	uint64_t sum = sum_with(fd, m.size, &secret);
	close(fd);
	return sum;
}

static void small_image(void)
{
	image_begin(&m);
	image_function(&m, "alpha", TEXT_ADDRESS, 16);
	image_function(&m, "beta", TEXT_ADDRESS + 16, 16);
	image_table(&m, SHT_SYMTAB);
	image_end(&m);
}

static struct elf_secret secret_of(uint64_t n)
{
	return (struct elf_secret){hash_mix(n), hash_mix(n + 1000000)};
}

static void any_byte_of_a_small_file_counts(void **state)
{
	(void)state;
	small_image();
	uint64_t sum = sum_of_image();
	assert_int_equal(sum_of_image(), sum); // of another file with the same bytes
	for (size_t i = 0; i < m.size; i += 5) {
		m.at[i] ^= 0x20;
		assert_int_not_equal(sum_of_image(), sum);
		m.at[i] ^= 0x20;
	}
	m.at[m.size++] = 0;
	assert_int_not_equal(sum_of_image(), sum);
	m.size--;
	// Nobody can know the sum, nor make two files that have one with every secret.
	int fd = image_fd(&m, m.size);
	for (uint64_t n = 0; n < 50; n++) {
		struct elf_secret other = secret_of(n);
		assert_int_not_equal(sum_with(fd, m.size, &other), sum);
		assert_true(sum_with(fd, m.size, &other) < PRIME);
	}
	close(fd);
}

// Each word counts by its place, also in another lane, and zeros do too.
static void words_that_change_places_are_seen(void **state)
{
	(void)state;
	uint64_t sums[40];
	for (unsigned i = 0; i < 40; i++) {
		uint8_t bytes[40 * WORD + BLOCK + 1] = {};
		bytes[i * WORD] = 1;
		struct sample s = {
		    .power = 3}; // 3 to the 40th is larger than the prime: no small sums
		absorb(&s, 0, bytes, 40 * WORD);
		sums[i] = 0;
		for (int k = 0; k < LANES; k++)
			sums[i] = sums[i] * 1000003 + s.lane[k];
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(sums[i], sums[k]);
	}
	struct sample a = {.power = 3}, b = {.power = 3};
	uint8_t none[100 + BLOCK + 1] = {};
	absorb(&a, 0, none, 99);
	absorb(&b, 0, none, 100);
	assert_memory_not_equal(a.lane, b.lane, sizeof(a.lane));
	assert_int_equal(multiply(PRIME - 1, PRIME - 1) % PRIME, 1);
	assert_true(multiply((1ull << 63) - 1, PRIME + 7) < PRIME + 8);
}

// A file of LARGE bytes with symbols, their strings and .eh_frame.
static int large_file(void)
{
	static const char names[] = "\0.eh_frame\0.shstrtab";
	struct {
		Elf64_Ehdr e;
		Elf64_Shdr h[5];
		char names[sizeof(names)];
	} head = {.e = {.e_shoff = sizeof(Elf64_Ehdr),
		      .e_shentsize = sizeof(Elf64_Shdr),
		      .e_shnum = 5,
		      .e_shstrndx = 4},
	    .h = {{0},
		{.sh_type = SHT_SYMTAB, .sh_offset = SYMBOLS, .sh_size = TABLE, .sh_link = 2},
		{.sh_type = SHT_STRTAB, .sh_offset = STRINGS, .sh_size = TABLE},
		{.sh_type = SHT_PROGBITS, .sh_name = 1, .sh_offset = FRAMES, .sh_size = TABLE},
		{.sh_type = SHT_STRTAB,
		    .sh_offset = offsetof(__typeof__(head), names),
		    .sh_size = sizeof(names)}}};
	memcpy(head.names, names, sizeof(names));
	int fd = memfd_create("large", 0);
	assert_int_equal(ftruncate(fd, LARGE), 0);
	assert_int_equal(pwrite(fd, &head, sizeof(head), 0), sizeof(head));
	return fd;
}

// In how many of a hundred runs a change of SIZE bytes at OFFSET is seen.
static unsigned seen(uint64_t offset, uint64_t size)
{
	static uint8_t other[TABLE];
	unsigned count = 0;
	int fd = large_file(), forged = large_file();
	memset(other, 1, sizeof(other));
	assert_int_equal(pwrite(forged, other, size, (off_t)offset), size);
	for (uint64_t n = 0; n < 100; n++) {
		struct elf_secret s = secret_of(n);
		count += sum_with(fd, LARGE, &s) != sum_with(forged, LARGE, &s);
	}
	close(fd);
	close(forged);
	return count;
}

static void a_large_change_is_seen_and_a_small_one_at_times(void **state)
{
	(void)state;
	assert_int_equal(seen(STRINGS, TABLE), 100);
	assert_int_equal(seen(STRINGS + TABLE / 4, TABLE / 4), 100); // holds a whole part of eight
	assert_int_equal(seen(SYMBOLS, TABLE / 2), 100);
	assert_int_equal(seen(FRAMES, TABLE), 100);
	assert_int_equal(seen(64 + 3 * 64, 64), 100); // the section table
	// A hundredth of the strings: 8 pages of 256, of which 3 or 4 are changed.
	unsigned some = seen(STRINGS + 77777, TABLE / 100);
	assert_true(some > 2 && some < 30);
	// The part of the file that no table tells of, by which code can be told apart.
	some = seen(LARGE - TABLE, TABLE);
	assert_int_equal(some, 100);
}

static void what_is_cut_off_or_cannot_be_read(void **state)
{
	(void)state;
	uint64_t sum;
	int fd = large_file(), pipes[2];
	assert_int_equal(ftruncate(fd, STRINGS), 0); // meanwhile
	assert_int_equal(elf_sample(fd, LARGE, &secret, &sum), -EBADMSG);
	for (off_t size = 64 + 5 * 64 + 20; size >= 0; size -= 7) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(elf_sample(fd, LARGE, &secret, &sum), -EBADMSG);
		int error = elf_sample(fd, (uint64_t)size, &secret, &sum);
		assert_int_equal(error, size < 64 ? -EBADMSG : 0);
	}
	close(fd);
	assert_int_equal(elf_sample(-1, LARGE, &secret, &sum), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(elf_sample(pipes[0], LARGE, &secret, &sum), -ESPIPE);
	close(pipes[0]), close(pipes[1]);
}

static void lies_cost_no_more(void **state)
{
	(void)state;
	struct sample s = {.view = {.size = LARGE}, .secret = &secret};
	// Tables without end: the pages all over the file were chosen before.
	choose(&s, 0, LARGE, PAGES_ALL_OVER);
	Elf64_Shdr all[2] = {{.sh_offset = 5, .sh_size = LARGE - 5}, {.sh_link = 0}};
	for (uint32_t i = 0; i < 1000; i++) {
		all[1] = (Elf64_Shdr){
		    .sh_type = i % 2 ? SHT_SYMTAB : SHT_DYNSYM, .sh_offset = i, .sh_size = i * 99};
		choose_of_section(&s, all, 2, 1, "");
	}
	assert_true(s.count <= PAGES_MAX && s.count > PAGES_MAX - 10);
	for (uint32_t i = 0; i < s.count; i++)
		assert_true(s.pages[i] < LARGE && s.pages[i] % PAGE == 0);
	s.count = 0;
	choose(&s, LARGE, 1, 3);
	choose(&s, 1, LARGE, 3);
	choose(&s, 5, UINT64_MAX, 3);
	choose(&s, UINT64_MAX, 1, 3);
	choose(&s, 7, 0, 3);
	assert_int_equal(s.count, 0);
	choose(&s, LARGE - 1, 1, 3);
	assert_int_equal(s.count, 1);

	static const uint64_t wrong[] = {0, 1, 0xffff, 1ull << 40, UINT64_MAX};
	small_image();
	Elf64_Ehdr *e = image_header(&m), good = *e;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		*e = good, e->e_shoff = wrong[i];
		sum_of_image();
		*e = good, e->e_shnum = (Elf64_Half)wrong[i];
		sum_of_image();
		*e = good, e->e_shstrndx = (Elf64_Half)wrong[i];
		sum_of_image();
		*e = good, e->e_shentsize = (Elf64_Half)wrong[i];
		sum_of_image();
		*e = good;
		for (unsigned k = 0; k < e->e_shnum; k++) {
			Elf64_Shdr *h = (Elf64_Shdr *)(m.at + e->e_shoff) + k, was = *h;
			h->sh_name = (Elf64_Word)wrong[i];
			sum_of_image();
			*h = was, h->sh_offset = wrong[i];
			sum_of_image();
			*h = was, h->sh_size = wrong[i];
			sum_of_image();
			*h = was, h->sh_link = (Elf64_Word)wrong[i];
			sum_of_image();
			*h = was;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(any_byte_of_a_small_file_counts),
	    cmocka_unit_test(words_that_change_places_are_seen),
	    cmocka_unit_test(a_large_change_is_seen_and_a_small_one_at_times),
	    cmocka_unit_test(what_is_cut_off_or_cannot_be_read),
	    cmocka_unit_test(lies_cost_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
