/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "range.h"

#include <inttypes.h>

#define LAST RANGE_LAST
#define MAX32 UINT64_C(4294967295)
#define MAX64 UINT64_MAX

static const struct {
	struct id_range range;
	uint64_t self;
	enum refusal expected;
} checks[] = {
	/* count */
	{{100000, 0}, 1000, REFUSED_RANGE_EMPTY},
	{{0, 0}, 1000, REFUSED_RANGE_EMPTY},
	{{MAX64, 0}, 1000, REFUSED_RANGE_EMPTY},
	{{100000, 1}, 1000, REFUSED_NOT},
	{{100000, 65535}, 1000, REFUSED_NOT},
	{{100000, 65536}, 1000, REFUSED_NOT},
	/* root and the floor */
	{{0, 1}, 1000, REFUSED_RANGE_ROOT},
	{{0, 65536}, 1000, REFUSED_RANGE_ROOT},
	{{0, LAST + 1}, 1000, REFUSED_RANGE_ROOT},
	{{1, 1}, 1000, REFUSED_RANGE_SYSTEM},
	{{1000, 65536}, 1, REFUSED_RANGE_SYSTEM},
	{{65534, 1}, 1000, REFUSED_RANGE_SYSTEM},
	{{65535, 1}, 1000, REFUSED_RANGE_SYSTEM},
	{{65535, 65536}, 1000, REFUSED_RANGE_SYSTEM},
	{{65536, 1}, 1000, REFUSED_NOT},
	{{65536, 65536}, 1000, REFUSED_NOT},
	{{65537, 1}, 1000, REFUSED_NOT},
	/* the last id; (uid_t)-1 is none */
	{{LAST - 1, 1}, 1000, REFUSED_NOT},
	{{LAST - 1, 2}, 1000, REFUSED_NOT},
	{{LAST - 1, 3}, 1000, REFUSED_RANGE_WRAPS},
	{{LAST, 1}, 1000, REFUSED_NOT},
	{{LAST, 2}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX32, 1}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX32 + 1, 1}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX32 + 1 + 100000, 65536}, 1000, REFUSED_RANGE_WRAPS},
	{{65536, LAST - 65535}, 1000, REFUSED_NOT},
	{{65536, LAST - 65534}, 1000, REFUSED_RANGE_WRAPS},
	{{LAST - 65535, 65536}, 1000, REFUSED_NOT},
	{{LAST - 65534, 65536}, 1000, REFUSED_RANGE_WRAPS},
	{{0, LAST + 2}, 1000, REFUSED_RANGE_WRAPS},
	/* sums that wrap at 2^32 and at 2^64 */
	{{100000, MAX32}, 1000, REFUSED_RANGE_WRAPS},
	{{100000, MAX32 + 1}, 1000, REFUSED_RANGE_WRAPS},
	{{100000, MAX64 - 100000}, 1000, REFUSED_RANGE_WRAPS},
	{{100000, MAX64 - 99999}, 1000, REFUSED_RANGE_WRAPS},
	{{100000, MAX64}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX64, 1}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX64, 2}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX64, MAX64}, 1000, REFUSED_RANGE_WRAPS},
	{{MAX64 - 2, 3}, 1000, REFUSED_RANGE_WRAPS},	/* what libsubid makes of "-3" */
	/* the caller */
	{{100000, 65536}, 99999, REFUSED_NOT},
	{{100000, 65536}, 100000, REFUSED_RANGE_CALLER},
	{{100000, 65536}, 100001, REFUSED_RANGE_CALLER},
	{{100000, 65536}, 165534, REFUSED_RANGE_CALLER},
	{{100000, 65536}, 165535, REFUSED_RANGE_CALLER},
	{{100000, 65536}, 165536, REFUSED_NOT},
	{{100000, 1}, 100000, REFUSED_RANGE_CALLER},
	{{LAST, 1}, LAST, REFUSED_RANGE_CALLER},
	{{100000, 65536}, 0, REFUSED_NOT},
	{{100000, 65536}, MAX64, REFUSED_NOT},
	{{100000, 65536}, MAX32 + 1 + 100000, REFUSED_NOT},	/* no alias in 32 bit */
};

START_TEST(range_check_knows_every_bound)
{
	ck_assert_int_eq(range_check(checks[_i].range, checks[_i].self), checks[_i].expected);
}
END_TEST

static const struct {
	struct id_range a, b;
	bool expected;
} overlaps[] = {
	{{100000, 65536}, {100000, 65536}, true},
	{{100000, 65536}, {165535, 1}, true},
	{{100000, 65536}, {165536, 1}, false},
	{{100000, 65536}, {99999, 1}, false},
	{{100000, 65536}, {99999, 2}, true},
	{{100000, 65536}, {120000, 1}, true},
	{{100000, 65536}, {1, LAST}, true},
	{{100000, 65536}, {100000, 0}, false},
	{{100000, 65536}, {120000, 0}, false},
	{{0, 0}, {0, 0}, false},
	{{0, 1}, {0, 1}, true},
	{{0, 1}, {1, 1}, false},
	{{LAST, 1}, {LAST, 1}, true},
	{{LAST, 1}, {LAST - 1, 1}, false},
	/* one that wraps goes to the end, and does not come round */
	{{MAX64, 2}, {MAX64, 1}, true},
	{{MAX64, 2}, {0, 1}, false},
	{{100000, MAX64}, {MAX64, 1}, true},
	{{100000, MAX64}, {0, 65536}, false},
	{{100000, MAX64}, {0, 100000}, false},
	{{100000, MAX64}, {0, 100001}, true},
	{{0, MAX64}, {MAX64, 1}, false},
	{{1, MAX64}, {MAX64, 1}, true},
	/* no alias in 32 bit */
	{{100000, 65536}, {MAX32 + 1 + 100000, 65536}, false},
	{{100000, 65536}, {100000, MAX32 + 1}, true},
	{{200000, 65536}, {100000, MAX32 + 1}, true},
};

START_TEST(range_overlaps_by_one_either_side)
{
	struct id_range a = overlaps[_i].a, b = overlaps[_i].b;

	ck_assert_int_eq(range_overlaps(a, b), overlaps[_i].expected);
	ck_assert_int_eq(range_overlaps(b, a), overlaps[_i].expected);
}
END_TEST

static const struct {
	size_t n;
	struct id_range ranges[3];
	enum refusal expected;
	uint64_t start;
} choices[] = {
	{0, {{0}}, REFUSED_RANGE_NONE, 0},
	{1, {{100000, 65536}}, REFUSED_NOT, 100000},
	{1, {{100000, 65537}}, REFUSED_NOT, 100000},
	{1, {{100000, 65535}}, REFUSED_RANGE_SMALL, 0},
	{1, {{100000, 1}}, REFUSED_RANGE_SMALL, 0},
	{1, {{70002, LAST - 70001}}, REFUSED_NOT, 70002},
	{1, {{LAST - 65535, 65536}}, REFUSED_NOT, LAST - 65535},
	/* the first that suffices, in the order given */
	{2, {{100000, 65535}, {200000, 65536}}, REFUSED_NOT, 200000},
	{2, {{300000, 65536}, {200000, 65536}}, REFUSED_NOT, 300000},
	{3, {{100000, 1}, {200000, 65535}, {300000, 65536}}, REFUSED_NOT, 300000},
	/* two small ones that touch are still two */
	{2, {{100000, 32768}, {132768, 32768}}, REFUSED_RANGE_SMALL, 0},
	/* one bad range spoils all, wherever it stands */
	{2, {{100000, 65536}, {200000, 0}}, REFUSED_RANGE_EMPTY, 0},
	{2, {{100000, 65536}, {0, 65536}}, REFUSED_RANGE_ROOT, 0},
	{2, {{100000, 65536}, {1000, 1}}, REFUSED_RANGE_SYSTEM, 0},
	{2, {{100000, 65536}, {LAST, 2}}, REFUSED_RANGE_WRAPS, 0},
	{3, {{100000, 65536}, {200000, 65536}, {70000, 2}}, REFUSED_RANGE_CALLER, 0},
	{2, {{0, 65536}, {100000, 65536}}, REFUSED_RANGE_ROOT, 0},
};

START_TEST(range_choose_takes_the_first_that_suffices)
{
	struct id_range got = {7, 7};
	enum refusal r = range_choose(choices[_i].ranges, choices[_i].n, 70001, &got);

	ck_assert_int_eq(r, choices[_i].expected);
	if (r != REFUSED_NOT) {
		ck_assert_uint_eq(got.start, 7);
		ck_assert_uint_eq(got.count, 7);
		return;
	}
	ck_assert_uint_eq(got.start, choices[_i].start);
	ck_assert_uint_eq(got.count, RANGE_COUNT);
}
END_TEST

static const struct {
	struct id_range range;
	uint64_t self;
	const char *text;	/* NULL: refused */
} maps[] = {
	{{100000, 65536}, 1000, "0 100000 65536\n65536 1000 1\n"},
	{{65536, 65536}, 1, "0 65536 65536\n65536 1 1\n"},
	{{100000, 65536}, 65536, "0 100000 65536\n65536 65536 1\n"},
	{{100000, 65536}, 99999, "0 100000 65536\n65536 99999 1\n"},
	{{100000, 65536}, 165536, "0 100000 65536\n65536 165536 1\n"},
	/* the longest there is */
	{{4294901759, 65536}, 4294901758, "0 4294901759 65536\n65536 4294901758 1\n"},
	{{100000, 65536}, LAST, "0 100000 65536\n65536 4294967294 1\n"},
	/* the caller */
	{{100000, 65536}, 0, NULL},
	{{100000, 65536}, MAX32, NULL},
	{{100000, 65536}, MAX32 + 1, NULL},
	{{100000, 65536}, MAX32 + 1 + 1000, NULL},
	{{100000, 65536}, MAX64, NULL},
	{{100000, 65536}, 100000, NULL},
	{{100000, 65536}, 165535, NULL},
	/* the count */
	{{100000, 0}, 1000, NULL},
	{{100000, 65535}, 1000, NULL},
	{{100000, 65537}, 1000, NULL},
	{{100000, MAX32 + 1 + 65536}, 1000, NULL},
	/* the range */
	{{0, 65536}, 1000, NULL},
	{{1, 65536}, 1000, NULL},
	{{65535, 65536}, 1000, NULL},
	{{4294901760, 65536}, 1000, NULL},
	{{MAX32 + 1 + 100000, 65536}, 1000, NULL},
	{{MAX64, 65536}, 1000, NULL},
};

/* What range_map() writes to, between two that it must not touch. */
struct fenced {
	char before[64];
	char map[RANGE_MAP_SIZE];
	char after[64];
};

static void assert_untouched(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(bytes[i], '#');
}

START_TEST(range_map_writes_exactly_this)
{
	const char *text = maps[_i].text;
	struct fenced f;
	ssize_t len;

	memset(&f, '#', sizeof(f));
	len = range_map(maps[_i].range, maps[_i].self, f.map);
	assert_untouched(f.before, sizeof(f.before));
	assert_untouched(f.after, sizeof(f.after));
	if (!text) {
		ck_assert_int_eq(len, -EINVAL);
		assert_untouched(f.map, sizeof(f.map));
		return;
	}
	ck_assert_int_eq(len, (ssize_t)strlen(text));
	ck_assert_mem_eq(f.map, text, (size_t)len + 1);
	assert_untouched(f.map + len + 1, sizeof(f.map) - (size_t)len - 1);
}
END_TEST

/*
 * The oracle: the same rules over again in 128 bit, where nothing wraps, from
 * the header and not from the source.
 */
__extension__ typedef __int128 wide;

static wide last_of(struct id_range range)
{
	return (wide)range.start + (wide)range.count - 1;
}

static enum refusal oracle_check(struct id_range range, uint64_t self)
{
	if (last_of(range) < (wide)range.start)
		return REFUSED_RANGE_EMPTY;
	if (last_of(range) > (wide)MAX32 - 1)
		return REFUSED_RANGE_WRAPS;
	if (range.start < 65536)
		return range.start == 0 ? REFUSED_RANGE_ROOT : REFUSED_RANGE_SYSTEM;
	if ((wide)self >= (wide)range.start && (wide)self <= last_of(range))
		return REFUSED_RANGE_CALLER;
	return REFUSED_NOT;
}

static bool oracle_overlaps(struct id_range a, struct id_range b)
{
	wide first = a.start > b.start ? a.start : b.start;
	wide last = last_of(a) < last_of(b) ? last_of(a) : last_of(b);

	return first <= last;
}

static enum refusal oracle_choose(const struct id_range *ranges, size_t n, uint64_t self,
				  uint64_t *ret_start)
{
	enum refusal r = n == 0 ? REFUSED_RANGE_NONE : REFUSED_RANGE_SMALL;

	for (size_t i = n; i-- > 0;) {
		if (last_of(ranges[i]) - (wide)ranges[i].start >= 65535) {
			*ret_start = ranges[i].start;
			r = REFUSED_NOT;
		}
	}
	for (size_t i = n; i-- > 0;) {
		enum refusal bad = oracle_check(ranges[i], self);

		if (bad != REFUSED_NOT)
			r = bad;
	}
	return r;
}

/* splitmix64: the same numbers in every run. */
static uint64_t random64(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Mostly within three of a number where something changes. */
static uint64_t clustered(uint64_t *state)
{
	static const uint64_t bounds[] = {
		0, 1000, 65536, 100000, 100000 + 65536, 200000, UINT64_C(1) << 31,
		LAST - 65536, LAST, MAX32 + 1, MAX32 + 1 + 100000, UINT64_C(1) << 63, MAX64,
		MAX64 - 65536, MAX64 - 100000, LAST - 100000,
	};
	uint64_t r = random64(state);
	uint64_t near = bounds[r % ROWS(bounds)] + (r >> 8) % 7 - 3;

	switch ((r >> 16) % 16) {
	case 0:
		return random64(state) & MAX32;
	case 1:
		return random64(state);
	case 2:
		return near + 65536;
	default:
		return near;
	}
}

/* As near to a valid one as not. */
static struct id_range clustered_range(uint64_t *state)
{
	struct id_range range = {clustered(state), clustered(state)};

	if (random64(state) % 2)
		range.count = 65533 + random64(state) % 7;
	if (random64(state) % 2)
		range.start = 65536 + random64(state) % 200000;
	return range;
}

#define CASES 250000

START_TEST(range_check_agrees_with_the_oracle)
{
	uint64_t state = 1;
	int accepted = 0;

	for (int i = 0; i < CASES; i++) {
		struct id_range range = clustered_range(&state);
		uint64_t edge = range.start + range.count - 2 + (uint64_t)i % 5;
		uint64_t self = i % 2 ? clustered(&state) : edge;
		enum refusal got = range_check(range, self);

		accepted += got == REFUSED_NOT;
		if (got != oracle_check(range, self))
			ck_abort_msg("%" PRIu64 " + %" PRIu64 ", self %" PRIu64 ": %d",
				     range.start, range.count, self, got);
	}
	/* A comparison of refusals only would prove little. */
	ck_assert_int_gt(accepted, CASES / 10);
	ck_assert_int_lt(accepted, CASES - CASES / 10);
}
END_TEST

START_TEST(range_overlaps_agrees_with_the_oracle)
{
	uint64_t state = 2;
	int yes = 0;

	for (int i = 0; i < CASES; i++) {
		struct id_range a = clustered_range(&state), b = clustered_range(&state);
		bool got = range_overlaps(a, b);

		yes += got;
		if (got != oracle_overlaps(a, b) || got != range_overlaps(b, a))
			ck_abort_msg("%" PRIu64 " + %" PRIu64 " and %" PRIu64 " + %" PRIu64 ": %d",
				     a.start, a.count, b.start, b.count, got);
	}
	ck_assert_int_gt(yes, CASES / 10);
	ck_assert_int_lt(yes, CASES - CASES / 10);
}
END_TEST

START_TEST(range_choose_agrees_with_the_oracle)
{
	uint64_t state = 3;
	int accepted = 0;

	for (int i = 0; i < CASES; i++) {
		struct id_range ranges[4], chosen = {0};
		size_t n = random64(&state) % 5;
		uint64_t self = clustered(&state), start = 0;
		enum refusal got;

		for (size_t k = 0; k < n; k++)
			ranges[k] = clustered_range(&state);
		got = range_choose(ranges, n, self, &chosen);
		accepted += got == REFUSED_NOT;
		if (got != oracle_choose(ranges, n, self, &start))
			ck_abort_msg("case %d: %d", i, got);
		if (got == REFUSED_NOT && (chosen.start != start || chosen.count != 65536))
			ck_abort_msg("case %d: %" PRIu64, i, chosen.start);
	}
	ck_assert_int_gt(accepted, CASES / 20);
}
END_TEST

/* Digits by hand, so that nothing is shared with snprintf(3). */
static char *put_number(char *p, uint64_t n, char end)
{
	char digits[20];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len > 0)
		*p++ = digits[--len];
	*p++ = end;
	return p;
}

START_TEST(range_map_agrees_with_the_oracle)
{
	uint64_t state = 4;
	int accepted = 0;

	for (int i = 0; i < CASES; i++) {
		struct id_range range = clustered_range(&state);
		uint64_t self = clustered(&state);
		bool fine = range.count == 65536 && oracle_check(range, self) == REFUSED_NOT &&
			    self >= 1 && self <= MAX32 - 1;
		char got[RANGE_MAP_SIZE], expected[128], *p = expected;
		ssize_t len = range_map(range, self, got);

		accepted += fine;
		p = put_number(put_number(put_number(p, 0, ' '), range.start, ' '), 65536, '\n');
		p = put_number(put_number(put_number(p, 65536, ' '), self, ' '), 1, '\n');
		*p = '\0';
		if (fine ? len != p - expected || strcmp(got, expected) != 0 : len != -EINVAL)
			ck_abort_msg("%" PRIu64 " + %" PRIu64 ", self %" PRIu64 ": %zd",
				     range.start, range.count, self, len);
	}
	ck_assert_int_gt(accepted, CASES / 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("range");
	TCase *table = tcase_create("table"), *oracle = tcase_create("oracle");

	tcase_add_loop_test(table, range_check_knows_every_bound, 0, ROWS(checks));
	tcase_add_loop_test(table, range_overlaps_by_one_either_side, 0, ROWS(overlaps));
	tcase_add_loop_test(table, range_choose_takes_the_first_that_suffices, 0, ROWS(choices));
	tcase_add_loop_test(table, range_map_writes_exactly_this, 0, ROWS(maps));
	suite_add_tcase(suite, table);

	tcase_add_test(oracle, range_check_agrees_with_the_oracle);
	tcase_add_test(oracle, range_overlaps_agrees_with_the_oracle);
	tcase_add_test(oracle, range_choose_agrees_with_the_oracle);
	tcase_add_test(oracle, range_map_agrees_with_the_oracle);
	suite_add_tcase(suite, oracle);
	return unit_run(suite);
}
