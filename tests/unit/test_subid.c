/* SPDX-License-Identifier: MIT */
/*
 * libsubid and the user database are faked at link time. The files of /etc are
 * real ones, on a tmpfs over /etc in namespaces of each test's own, and read
 * without capabilities. Attacks 37 to 40.
 */
#include "unit.h"

#include "subid.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define USER "alice"
#define UID 1000
#define SELF 1234	/* not the uid, so that a test sees which of the two is meant */

/* What the fakes answer. */
static struct {
	int n;
	const struct subid_range *ranges;
	bool is_null;			/* no array, whatever n is */
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

/*
 * "alias" is a second name of alice's uid. She herself is not found: her own
 * lines are hers by name and by number, whatever the database says by then.
 */
struct passwd *getpwnam(const char *name)
{
	static struct passwd pw;

	if (strcmp(name, "alias") == 0)
		pw.pw_uid = UID;
	else if (strcmp(name, "bob") == 0)
		pw.pw_uid = 1001;
	else
		return NULL;
	return &pw;
}

/* An /etc in which all is well: no plugin, and ranges that touch alice's on both sides. */
static void setup(void)
{
	static const char ranges[] =
		"# of the test\n"
		"\n"
		"bob:34464:65536\n"
		"alice:100000:65536\n"
		"bob:165536:65536\n";

	ck_assert_int_eq(unit_unshare(), 0);
	ck_assert_int_eq(mount("none", "/etc", "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", "passwd: files\n"), 0);
	ck_assert_int_eq(unit_write_text("/etc/subuid", ranges), 0);
	ck_assert_int_eq(unit_write_text("/etc/subgid", ranges), 0);
	fake.n = ROWS(usual);
	fake.ranges = usual;
	fake.owners[0] = fake.owners[1] = 1;
	fake.owner[0] = fake.owner[1] = UID;
}

/* As the lookup child is: without capabilities, so that modes count for root too. */
static enum refusal find_as(enum subid_kind kind)
{
	struct id_range got = {7, 7};
	cap_t none = cap_init();
	enum refusal r;

	ck_assert_int_eq(cap_set_proc(none), 0);
	(void)cap_free(none);
	r = subid_find(kind, USER, UID, SELF, &got);
	if (r == REFUSED_NOT) {
		ck_assert_uint_eq(got.count, 65536);
	} else {
		ck_assert_uint_eq(got.start, 7);
		ck_assert_uint_eq(got.count, 7);
	}
	return r;
}

static enum refusal find(void)
{
	return find_as(SUBID_UID);
}

START_TEST(subid_find_accepts_the_usual)
{
	struct id_range got;

	ck_assert_int_eq(subid_find(SUBID_UID, USER, UID, SELF, &got), REFUSED_NOT);
	ck_assert_uint_eq(got.start, 100000);
	ck_assert_uint_eq(got.count, 65536);
	ck_assert_uint_eq(fake.gid_calls, 0);
	ck_assert_uint_gt(fake.uid_calls, 0);
}
END_TEST

START_TEST(subid_find_keeps_the_kinds_apart)
{
	ck_assert_int_eq(unit_write_text("/etc/subuid", "bob:100000:1\n"), 0);
	ck_assert_int_eq(find_as(SUBID_GID), REFUSED_NOT);
	ck_assert_uint_eq(fake.uid_calls, 0);
	ck_assert_uint_gt(fake.gid_calls, 0);
	ck_assert_int_eq(find_as(SUBID_UID), REFUSED_RANGE_SHARED);
}
END_TEST

/* nsswitch.conf, with no plugin loaded: who is it that libsubid would ask? */
static const struct {
	const char *text;	/* NULL: no such file */
	enum refusal expected;
} sources[] = {
	{NULL, REFUSED_NOT},
	{"", REFUSED_NOT},
	{"passwd: files\n", REFUSED_NOT},
	{"subid: files\n", REFUSED_NOT},
	{"subid:files\n", REFUSED_NOT},
	{"subid:\tfiles\n", REFUSED_NOT},
	{"subid: \t files\n", REFUSED_NOT},
	{"subid:\t\t\tfiles\t# only\n", REFUSED_NOT},
	{"SubID: files\n", REFUSED_NOT},
	{"subid: files", REFUSED_NOT},
	{"subid: files zzz\n", REFUSED_NOT},	/* the first word is all that counts */
	{"subid: files\nsubid: zzz\n", REFUSED_NOT},
	{"#subid: zzz\n", REFUSED_NOT},
	{" subid: zzz\n", REFUSED_NOT},
	{"subids: zzz\n", REFUSED_NOT},
	/* no word: libsubid goes on to the next such line, and then to the files */
	{"subid:\n", REFUSED_NOT},
	{"subid: \t\n", REFUSED_NOT},
	{"subid:", REFUSED_NOT},
	{"subid:\nsubid: files\n", REFUSED_NOT},
	{"subid:\nsubid: zzz\n", REFUSED_SUBID_PLUGIN},
	{"subid: \t \nsubid: zzz\n", REFUSED_SUBID_PLUGIN},
	/* a plugin that is not there: libsubid falls back to the files, we do not */
	{"subid: zzz\n", REFUSED_SUBID_PLUGIN},
	{"subid: zzz", REFUSED_SUBID_PLUGIN},
	{"subid:zzz\n", REFUSED_SUBID_PLUGIN},
	{"subid:\tzzz\n", REFUSED_SUBID_PLUGIN},
	{"SUBID: zzz\n", REFUSED_SUBID_PLUGIN},
	{"subid: zzz files\n", REFUSED_SUBID_PLUGIN},
	{"subid: Files\n", REFUSED_SUBID_PLUGIN},
	{"subid: files\r\n", REFUSED_SUBID_PLUGIN},
	{"subid: #files\n", REFUSED_SUBID_PLUGIN},
	{"subid: [SUCCESS=return] files\n", REFUSED_SUBID_PLUGIN},
	{"subid: ../../tmp/x\n", REFUSED_SUBID_PLUGIN},
	{"subid: /tmp/x\n", REFUSED_SUBID_PLUGIN},
	{"subid: %s%n\n", REFUSED_SUBID_PLUGIN},
	{"subid: abcdefghijklmnopqrstuvwxyz01234\n", REFUSED_SUBID_PLUGIN},
	{"subid: abcdefghijklmnopqrstuvwxyz012345\n", REFUSED_SUBID_PLUGIN},
	{"subid: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567\n",
		REFUSED_SUBID_PLUGIN},
	{"passwd: files\nsubid: zzz\ngroup: files\n", REFUSED_SUBID_PLUGIN},
};

START_TEST(subid_source_without_a_plugin)
{
	const char *text = sources[_i].text;

	if (text)
		ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", text), 0);
	else
		ck_assert_int_eq(unlink("/etc/nsswitch.conf"), 0);
	ck_assert_int_eq(find(), sources[_i].expected);
}
END_TEST

START_TEST(subid_source_must_be_readable)
{
	ck_assert_int_eq(chmod("/etc/nsswitch.conf", 0), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_SOURCE);
}
END_TEST

START_TEST(subid_source_must_be_a_file)
{
	ck_assert_int_eq(unlink("/etc/nsswitch.conf"), 0);
	ck_assert_int_eq(mkdir("/etc/nsswitch.conf", 0755), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_SOURCE);
}
END_TEST

/* The caller sets the limit (prlimit(2), at any time): that must not mean "files". */
START_TEST(subid_source_survives_a_limit_on_descriptors)
{
	struct rlimit old, limit;
	enum refusal r;

	ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", "subid: zzz\n"), 0);
	while (dup(0) >= 0 && dup(0) < 64)
		;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = (struct rlimit){3, old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	r = find();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);	/* for Check and sanitizers */
	ck_assert_int_eq(r, REFUSED_SUBID_SOURCE);
}
END_TEST

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

static const struct {
	const char *text;
	enum refusal expected;
} loaded[] = {
	{"subid: zzz\n", REFUSED_NOT},
	{"subid:\tzzz files\n", REFUSED_NOT},
	{"subid: files\n", REFUSED_NOT},
	{"subid: yyy\n", REFUSED_SUBID_PLUGIN},
	{"subid: zz\n", REFUSED_SUBID_PLUGIN},
	{"subid: zzzz\n", REFUSED_SUBID_PLUGIN},
	{"subid: ZZZ\n", REFUSED_SUBID_PLUGIN},
};

START_TEST(subid_source_with_a_plugin)
{
	ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", loaded[_i].text), 0);
	(void)load_plugin();
	ck_assert_int_eq(find(), loaded[_i].expected);
}
END_TEST

/* So libsubid treats one that lacks a function: it was there, and did not answer. */
START_TEST(subid_source_with_a_plugin_that_was_unloaded)
{
	ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", "subid: zzz\n"), 0);
	ck_assert_int_eq(dlclose(load_plugin()), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_PLUGIN);
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

/* A plugin's own files do not exist: those of /etc must not be asked. */
START_TEST(subid_owners_of_a_plugin)
{
	ck_assert_int_eq(unit_write_text("/etc/nsswitch.conf", "subid: zzz\n"), 0);
	ck_assert_int_eq(unlink("/etc/subuid"), 0);
	(void)load_plugin();
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

START_TEST(subid_ranges_are_checked)
{
	fake.n = answers[_i].n;
	fake.ranges = answers[_i].ranges;
	ck_assert_int_eq(find(), answers[_i].expected);
}
END_TEST

START_TEST(subid_ranges_must_not_include_the_caller)
{
	const struct subid_range self[] = {{100000, 65536}};
	struct id_range got;
	uint64_t id = _i == 0 ? 99999 : _i == 1 ? 100000 : _i == 2 ? 165535 : 165536;

	fake.ranges = self;
	ck_assert_int_eq(subid_find(SUBID_UID, USER, UID, id, &got),
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

START_TEST(subid_ranges_are_sixteen_at_most)
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
	{INT_MAX, REFUSED_RANGE_MANY},
};

START_TEST(subid_ranges_may_be_missing)
{
	fake.n = nulls[_i].n;
	fake.is_null = true;
	ck_assert_int_eq(find(), nulls[_i].expected);
}
END_TEST

/* /etc/subuid; alice has 100000 to 165535. A line may hold a NUL, hence the length. */
#define LINE(text) text, sizeof(text) - 1

static const struct {
	const char *text;
	size_t len;
	enum refusal expected;
} files[] = {
	/* by one at either end */
	{LINE("bob:99999:1\n"), REFUSED_NOT},
	{LINE("bob:99999:2\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:165536:1\n"), REFUSED_NOT},
	{LINE("bob:165535:1\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:100000:1\n"), REFUSED_RANGE_SHARED},
	/* inside, covering, the same, and none at all */
	{LINE("bob:120000:5\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:1:4294967294\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:120000:0\n"), REFUSED_NOT},
	{LINE("bob:99999:9223372036854775807\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:9223372036854775807:65536\n"), REFUSED_NOT},
	{LINE("bob:4295067296:65536\n"), REFUSED_NOT},	/* 100000 in 32 bit */
	/* whose it is */
	{LINE("alice:100000:65536\n"), REFUSED_NOT},
	{LINE("alice:1:4294967294\n"), REFUSED_NOT},
	{LINE("1000:100000:65536\n"), REFUSED_NOT},
	{LINE("alias:100000:65536\n"), REFUSED_NOT},
	{LINE("1001:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("01000:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("nobody-knows:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("Alice:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("alice2:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("alic:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("alice :100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("j\303\266rg:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("root:0:4294967295\n"), REFUSED_RANGE_SHARED},
	/* where it stands */
	{LINE(""), REFUSED_NOT},
	{LINE("\n\n\n"), REFUSED_NOT},
	{LINE("alice:100000:65536"), REFUSED_NOT},
	{LINE("alice:100000:65536\nbob:100000:1"), REFUSED_RANGE_SHARED},
	{LINE("bob:100000:1\nalice:100000:65536\n"), REFUSED_RANGE_SHARED},
	{LINE("bob:300000:1\nbob:100000:1\nbob:300000:1\n"), REFUSED_RANGE_SHARED},
	{LINE("#bob:100000:65536\n"), REFUSED_NOT},
	{LINE("# a comment: of: three colons\n"), REFUSED_NOT},
	/* what cannot be understood, and could therefore be anything */
	{LINE("bob\n"), REFUSED_SUBID_FILE},
	{LINE("bob:\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:\n"), REFUSED_SUBID_FILE},
	{LINE("bob::65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob::\n"), REFUSED_SUBID_FILE},
	{LINE(":300000:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536:\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536:x\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536 \n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536 # bob\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000 :65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:0x186a0:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:0x10000\n"), REFUSED_SUBID_FILE},
	{LINE("bob:-5:3\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:-1\n"), REFUSED_SUBID_FILE},
	{LINE("bob:1e9:1\n"), REFUSED_SUBID_FILE},
	{LINE("bob:9223372036854775808:1\n"), REFUSED_SUBID_FILE},
	{LINE("bob:0:18446744073709551615\n"), REFUSED_SUBID_FILE},
	{LINE("bob:99999999999999999999999:1\n"), REFUSED_SUBID_FILE},
	{LINE("alice:100000:65536\r\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536\r\n"), REFUSED_SUBID_FILE},
	{LINE("bob\0:300000:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:65536\0junk\n"), REFUSED_SUBID_FILE},
	{LINE("\0bob:100000:65536\n"), REFUSED_SUBID_FILE},
	/*
	 * What strtonum(3) forgives and libsubid reads as well, or otherwise: with a
	 * leading zero it is octal to libsubid, and this one is 100000.
	 */
	{LINE("bob:0303240:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000:01\n"), REFUSED_SUBID_FILE},
	{LINE("bob: 300000:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:300000: 65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:\t300000:65536\n"), REFUSED_SUBID_FILE},
	{LINE("bob:+300000:65536\n"), REFUSED_SUBID_FILE},
	/* which a mistake anywhere in the file makes of all of it */
	{LINE("alice:100000:65536\nbob\n"), REFUSED_SUBID_FILE},
};

START_TEST(subid_files_are_read_whole)
{
	ck_assert_int_eq(unit_write("/etc/subuid", files[_i].text, files[_i].len), 0);
	ck_assert_int_eq(find(), files[_i].expected);
}
END_TEST

START_TEST(subid_files_must_exist)
{
	ck_assert_int_eq(unlink("/etc/subuid"), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_FILE);
}
END_TEST

START_TEST(subid_files_must_be_readable)
{
	ck_assert_int_eq(chmod("/etc/subuid", 0), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_FILE);
}
END_TEST

START_TEST(subid_files_must_be_files)
{
	ck_assert_int_eq(unlink("/etc/subuid"), 0);
	ck_assert_int_eq(mkdir("/etc/subuid", 0755), 0);
	ck_assert_int_eq(find(), REFUSED_SUBID_FILE);
}
END_TEST

/* Longer than any buffer that libsubid has: the lines, and the file. */
START_TEST(subid_files_may_be_long)
{
	static const char last[] = "bob:165535:1\n";
	size_t size = 1 << 20;
	char *text = malloc(size + sizeof(last));

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < size; i += 16)
		memcpy(text + i, _i == 0 ? "bob:300000:6553\n" : "################", 16);
	text[size - 1] = '\n';
	memcpy(text + size, last, sizeof(last));
	ck_assert_int_eq(unit_write("/etc/subuid", text, size), 0);
	ck_assert_int_eq(find_as(SUBID_UID), REFUSED_NOT);
	ck_assert_int_eq(unit_write_text("/etc/subuid", text), 0);
	ck_assert_int_eq(find_as(SUBID_UID), REFUSED_RANGE_SHARED);
	free(text);
}
END_TEST

static void add_sources(Suite *suite)
{
	TCase *tc = tcase_create("source");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, subid_find_accepts_the_usual);
	tcase_add_test(tc, subid_find_keeps_the_kinds_apart);
	tcase_add_loop_test(tc, subid_source_without_a_plugin, 0, ROWS(sources));
	tcase_add_loop_test(tc, subid_source_with_a_plugin, 0, ROWS(loaded));
	tcase_add_test(tc, subid_source_with_a_plugin_that_was_unloaded);
	tcase_add_test(tc, subid_source_must_be_readable);
	tcase_add_test(tc, subid_source_must_be_a_file);
	tcase_add_test(tc, subid_source_survives_a_limit_on_descriptors);
	tcase_add_loop_test(tc, subid_owners_of_a_plugin, 0, ROWS(plugin_owners));
	suite_add_tcase(suite, tc);
}

static void add_ranges(Suite *suite)
{
	TCase *tc = tcase_create("ranges");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, subid_ranges_are_checked, 0, ROWS(answers));
	tcase_add_loop_test(tc, subid_ranges_must_not_include_the_caller, 0, 4);
	tcase_add_loop_test(tc, subid_ranges_are_sixteen_at_most, 0, ROWS(counts));
	tcase_add_loop_test(tc, subid_ranges_may_be_missing, 0, ROWS(nulls));
	suite_add_tcase(suite, tc);
}

static void add_files(Suite *suite)
{
	TCase *tc = tcase_create("files");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, subid_files_are_read_whole, 0, ROWS(files));
	tcase_add_test(tc, subid_files_must_exist);
	tcase_add_test(tc, subid_files_must_be_readable);
	tcase_add_test(tc, subid_files_must_be_files);
	tcase_add_loop_test(tc, subid_files_may_be_long, 0, 2);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("subid");

	if (unit_have_namespaces("subid")) {
		add_sources(suite);
		add_ranges(suite);
		add_files(suite);
	}
	return unit_run(suite);
}
