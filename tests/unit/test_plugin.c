/* SPDX-License-Identifier: MIT */
/*
 * libsubid is faked at link time; that a real one is loaded when it is wanted, and
 * what it says without a plugin, test_subid shows. Attacks 37 to 40.
 */
#include "unit.h"

#include "plugin.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <shadow/subid.h>

#define USER "alice"
#define UID 1000
#define SELF 1234	/* not the uid, so that a test sees which of the two is meant */

/* What the fakes answer. */
static struct {
	int n;
	const struct subid_range *ranges;
	bool is_null;			/* no array, whatever n is */
	bool is_broken;			/* cannot even be initialized */
	int owners[2];			/* how many of the first id, and of the last */
	uid_t owner[2];			/* the last of them; those before are UID */
	unsigned int uid_calls, gid_calls;
} fake;

static const struct subid_range usual[] = {{100000, 65536}};

static int fake_ranges(const char *user, struct subid_range **ret)
{
	size_t n = fake.n > 0 ? (size_t)fake.n : 0;

	ck_assert_str_eq(user, USER);
	*ret = NULL;
	if (fake.is_null || n == 0)
		return fake.n;
	*ret = malloc(n * sizeof(**ret));
	ck_assert_ptr_nonnull(*ret);
	memcpy(*ret, fake.ranges, n * sizeof(**ret));
	return fake.n;
}

bool subid_init(const char *progname, FILE *log)
{
	(void)progname;
	(void)log;
	return !fake.is_broken;
}

int subid_get_uid_ranges(const char *user, struct subid_range **ret)
{
	fake.uid_calls++;
	return fake_ranges(user, ret);
}

int subid_get_gid_ranges(const char *user, struct subid_range **ret)
{
	fake.gid_calls++;
	return fake_ranges(user, ret);
}

static int fake_owners(unsigned int id, uid_t **ret)
{
	int at = id == 100000 ? 0 : 1;

	ck_assert_msg(id == 100000 || id == 165535, "owner of %u", id);
	*ret = NULL;
	if (fake.owners[at] <= 0)
		return fake.owners[at];
	*ret = calloc((size_t)fake.owners[at], sizeof(**ret));
	ck_assert_ptr_nonnull(*ret);
	for (int i = 0; i < fake.owners[at]; i++)
		(*ret)[i] = i == fake.owners[at] - 1 ? fake.owner[at] : UID;
	return fake.owners[at];
}

int subid_get_uid_owners(uid_t uid, uid_t **ret)
{
	fake.uid_calls++;
	return fake_owners(uid, ret);
}

int subid_get_gid_owners(gid_t gid, uid_t **ret)
{
	fake.gid_calls++;
	return fake_owners(gid, ret);
}

static void setup(void)
{
	fake.n = ROWS(usual);
	fake.ranges = usual;
	fake.owners[0] = fake.owners[1] = 1;
	fake.owner[0] = fake.owner[1] = UID;
}

static enum refusal ask(const char *source, enum subid_kind kind, uint64_t self)
{
	struct subid_user user = {.name = USER, .uid = UID, .self = {7, 7}};
	struct id_range got = {7, 7};
	enum refusal r;

	user.self[kind] = self;
	r = plugin_find(source, &user, kind, &got);
	ck_assert_uint_eq(got.start, r == REFUSED_NOT ? 100000 : 7);
	ck_assert_uint_eq(got.count, r == REFUSED_NOT ? 65536 : 7);
	return r;
}

/* Beside this program; libsubid would find it in the loader's path. */
static void *load_plugin(void)
{
	char self[PATH_MAX], path[PATH_MAX + sizeof("/libsubid_zzz.so")];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	void *plugin;

	ck_assert_int_gt(len, 0);
	self[len] = '\0';
	(void)snprintf(path, sizeof(path), "%s/libsubid_zzz.so", dirname(self));	/* fits */
	plugin = dlopen(path, RTLD_LAZY);
	ck_assert_msg(plugin != NULL, "%s", dlerror());
	return plugin;
}

static enum refusal find(void)
{
	(void)load_plugin();
	return ask("zzz", SUBID_UID, SELF);
}

START_TEST(plugin_keeps_the_kinds_apart)
{
	(void)load_plugin();
	ck_assert_int_eq(ask("zzz", SUBID_UID, SELF), REFUSED_NOT);
	ck_assert_uint_eq(fake.gid_calls, 0);
	ck_assert_uint_gt(fake.uid_calls, 0);
	fake.uid_calls = 0;
	ck_assert_int_eq(ask("zzz", SUBID_GID, SELF), REFUSED_NOT);
	ck_assert_uint_eq(fake.uid_calls, 0);
	ck_assert_uint_gt(fake.gid_calls, 0);
}
END_TEST

START_TEST(plugin_must_be_initialized)
{
	fake.is_broken = true;
	ck_assert_int_eq(find(), REFUSED_SUBID_LOOKUP);
	ck_assert_uint_eq(fake.uid_calls, 0);
}
END_TEST

static const struct {
	const char *source;
	enum refusal expected;
} loaded[] = {
	{"zzz", REFUSED_NOT},
	{"yyy", REFUSED_SUBID_PLUGIN},
	{"zz", REFUSED_SUBID_PLUGIN},
	{"zzzz", REFUSED_SUBID_PLUGIN},
	{"ZZZ", REFUSED_SUBID_PLUGIN},
	{"", REFUSED_SUBID_PLUGIN},
	{"../../tmp/x", REFUSED_SUBID_PLUGIN},
	{"%s%n", REFUSED_SUBID_PLUGIN},
	{"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567", REFUSED_SUBID_PLUGIN},
};

START_TEST(plugin_must_be_the_one_that_is_named)
{
	ck_assert_int_eq(ask(loaded[_i].source, SUBID_UID, SELF), REFUSED_SUBID_PLUGIN);
	(void)load_plugin();
	ck_assert_int_eq(ask(loaded[_i].source, SUBID_UID, SELF), loaded[_i].expected);
}
END_TEST

/* So libsubid treats one that lacks a function: it was there, and did not answer. */
START_TEST(plugin_that_was_unloaded)
{
	ck_assert_int_eq(dlclose(load_plugin()), 0);
	ck_assert_int_eq(ask("zzz", SUBID_UID, SELF), REFUSED_SUBID_PLUGIN);
}
END_TEST

static const struct {
	int owners[2];
	uid_t owner[2];
	enum refusal expected;
} plugin_owners[] = {
	{{1, 1}, {UID, UID}, REFUSED_NOT},
	{{0, 0}, {0, 0}, REFUSED_NOT},
	{{3, 2}, {UID, UID}, REFUSED_NOT},
	{{1, 1}, {1001, UID}, REFUSED_RANGE_SHARED},
	{{1, 1}, {UID, 1001}, REFUSED_RANGE_SHARED},
	{{2, 1}, {1001, UID}, REFUSED_RANGE_SHARED},
	{{1, 3}, {UID, 0}, REFUSED_RANGE_SHARED},
	/* one that cannot say, as sssd's: its directory allocates in one place */
	{{-1, 1}, {UID, UID}, REFUSED_NOT},
	{{1, -1}, {UID, UID}, REFUSED_NOT},
	{{-1, 1}, {UID, 1001}, REFUSED_RANGE_SHARED},
};

START_TEST(plugin_owners_are_asked_for)
{
	memcpy(fake.owners, plugin_owners[_i].owners, sizeof(fake.owners));
	memcpy(fake.owner, plugin_owners[_i].owner, sizeof(fake.owner));
	ck_assert_int_eq(find(), plugin_owners[_i].expected);
}
END_TEST

/* What libsubid gives, good and bad. */
static const struct {
	int n;
	struct subid_range ranges[3];
	enum refusal expected;
} answers[] = {
	{0, {{0}}, REFUSED_RANGE_NONE},
	{-1, {{0}}, REFUSED_SUBID_LOOKUP},
	{INT_MIN, {{0}}, REFUSED_SUBID_LOOKUP},
	{1, {{100000, 65536}}, REFUSED_NOT},
	{1, {{100000, 0}}, REFUSED_RANGE_EMPTY},
	{1, {{100000, 65535}}, REFUSED_RANGE_SMALL},
	{1, {{4294967290, 60}}, REFUSED_RANGE_WRAPS},
	{1, {{4294967295, 65536}}, REFUSED_RANGE_WRAPS},
	{1, {{18446744073709551611u, 3}}, REFUSED_RANGE_WRAPS},	/* of "-5" */
	{1, {{100000, 18446744073709551615u}}, REFUSED_RANGE_WRAPS},
	{1, {{4294967296 + 100000, 65536}}, REFUSED_RANGE_WRAPS},	/* 100000 in 32 bit */
	{1, {{0, 65536}}, REFUSED_RANGE_ROOT},
	{1, {{1, 65536}}, REFUSED_RANGE_SYSTEM},
	{1, {{8, 65536}}, REFUSED_RANGE_SYSTEM},	/* of "010" */
	{1, {{65535, 65536}}, REFUSED_RANGE_SYSTEM},
	{2, {{100000, 1}, {100000, 65536}}, REFUSED_NOT},
	{2, {{100000, 65536}, {300000, 0}}, REFUSED_RANGE_EMPTY},
	{2, {{100000, 65536}, {0, 1}}, REFUSED_RANGE_ROOT},
	{3, {{300000, 65535}, {400000, 1}, {100000, 65536}}, REFUSED_NOT},
	{2, {{100000, 32768}, {132768, 32768}}, REFUSED_RANGE_SMALL},
};

START_TEST(plugin_ranges_are_checked)
{
	fake.n = answers[_i].n;
	fake.ranges = answers[_i].ranges;
	ck_assert_int_eq(find(), answers[_i].expected);
}
END_TEST

START_TEST(plugin_ranges_must_not_include_the_caller)
{
	const struct subid_range self[] = {{100000, 65536}};
	uint64_t id = _i == 0 ? 99999 : _i == 1 ? 100000 : _i == 2 ? 165535 : 165536;

	fake.ranges = self;
	(void)load_plugin();
	ck_assert_int_eq(ask("zzz", SUBID_UID, id),
			 _i == 1 || _i == 2 ? REFUSED_RANGE_CALLER : REFUSED_NOT);
}
END_TEST

static const struct {
	int n;
	enum refusal expected;
} counts[] = {
	{15, REFUSED_NOT},
	{16, REFUSED_NOT},
	{17, REFUSED_RANGE_MANY},
	{32, REFUSED_RANGE_MANY},
};

START_TEST(plugin_ranges_are_sixteen_at_most)
{
	struct subid_range many[32];

	for (int i = 0; i < ROWS(many); i++)
		many[i] = (struct subid_range){100000, 65536};
	fake.n = counts[_i].n;
	fake.ranges = many;
	ck_assert_int_eq(find(), counts[_i].expected);
}
END_TEST

static const struct {
	int n;
	enum refusal expected;
} nulls[] = {
	{0, REFUSED_RANGE_NONE},
	{1, REFUSED_SUBID_LOOKUP},
	{16, REFUSED_SUBID_LOOKUP},
	{INT_MAX, REFUSED_SUBID_LOOKUP},
};

START_TEST(plugin_ranges_may_be_missing)
{
	fake.n = nulls[_i].n;
	fake.is_null = true;
	ck_assert_int_eq(find(), nulls[_i].expected);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plugin");
	TCase *tc = tcase_create("plugin");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, plugin_keeps_the_kinds_apart);
	tcase_add_test(tc, plugin_must_be_initialized);
	tcase_add_loop_test(tc, plugin_must_be_the_one_that_is_named, 0, ROWS(loaded));
	tcase_add_test(tc, plugin_that_was_unloaded);
	tcase_add_loop_test(tc, plugin_owners_are_asked_for, 0, ROWS(plugin_owners));
	tcase_add_loop_test(tc, plugin_ranges_are_checked, 0, ROWS(answers));
	tcase_add_loop_test(tc, plugin_ranges_must_not_include_the_caller, 0, 4);
	tcase_add_loop_test(tc, plugin_ranges_are_sixteen_at_most, 0, ROWS(counts));
	tcase_add_loop_test(tc, plugin_ranges_may_be_missing, 0, ROWS(nulls));
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
