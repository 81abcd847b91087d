/* SPDX-License-Identifier: MIT */
/*
 * The user database is faked at link time; libsubid is the real one. The files of
 * /etc are real ones, on a tmpfs over /etc in namespaces of each test's own, and
 * read without capabilities. Attacks 37 to 40.
 */
#include "unit.h"

#include "subid.h"

#include <limits.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <sys/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define USER "alice"
#define UID 1000
#define SELF 1234	/* not the uid, so that a test sees which of the two is meant */

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
}

/* As the lookup child is: without capabilities, so that modes count for root too. */
static enum refusal find(void)
{
	const struct subid_user user = {.name = USER, .uid = UID, .self = {SELF, SELF}};
	struct id_range got[SUBID_KINDS] = {{7, 7}, {7, 7}};
	cap_t none = cap_init();
	enum refusal r;

	ck_assert_int_eq(cap_set_proc(none), 0);
	(void)cap_free(none);
	r = subid_find(&user, got);
	for (int kind = 0; r == REFUSED_NOT && kind < SUBID_KINDS; kind++) {
		ck_assert_uint_eq(got[kind].start, 100000);
		ck_assert_uint_eq(got[kind].count, 65536);
	}
	return r;
}

START_TEST(subid_find_keeps_the_kinds_apart)
{
	ck_assert_int_eq(unit_write_text("/etc/subuid", "alice:100000:65536\nbob:100000:1\n"), 0);
	ck_assert_int_eq(find(), REFUSED_RANGE_SHARED);
	ck_assert_int_eq(unit_write_text("/etc/subuid", "alice:100000:65536\n"), 0);
	ck_assert_int_eq(find(), REFUSED_NOT);
	ck_assert_int_eq(unit_write_text("/etc/subgid", "alice:100000:65536\nbob:100000:1\n"), 0);
	ck_assert_int_eq(find(), REFUSED_RANGE_SHARED);
}
END_TEST

START_TEST(subid_range_must_not_include_the_caller)
{
	struct subid_user user = {.name = USER, .uid = UID, .self = {SELF, SELF}};
	struct id_range got[SUBID_KINDS];
	uint64_t id = (uint64_t[]){99999, 100000, 165535, 165536}[_i / 2];

	user.self[_i % 2] = id;
	ck_assert_int_eq(subid_find(&user, got), _i / 2 == 1 || _i / 2 == 2 ? REFUSED_RANGE_CALLER
									    : REFUSED_NOT);
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

/* Alice's ranges, in a file with nobody else's. */
static const struct {
	const char *text;
	enum refusal expected;
} ranges[] = {
	{"", REFUSED_RANGE_NONE},
	{"bob:300000:65536\n", REFUSED_RANGE_NONE},
	{"alice:100000:65536\n", REFUSED_NOT},
	{"alice:100000:65536", REFUSED_NOT},
	{"1000:100000:65536\n", REFUSED_NOT},
	{"alias:100000:65536\n", REFUSED_RANGE_NONE},	/* as libsubid has it */
	{"01000:100000:65536\n", REFUSED_RANGE_NONE},
	{"alice2:100000:65536\n", REFUSED_RANGE_NONE},
	{"Alice:100000:65536\n", REFUSED_RANGE_NONE},
	{"alice:100000:0\n", REFUSED_RANGE_EMPTY},
	{"alice:100000:65535\n", REFUSED_RANGE_SMALL},
	{"alice:100000:131072\n", REFUSED_NOT},
	{"alice:4294967290:60\n", REFUSED_RANGE_WRAPS},
	{"alice:4294967295:65536\n", REFUSED_RANGE_WRAPS},
	{"alice:4295067296:65536\n", REFUSED_RANGE_WRAPS},	/* 100000 in 32 bit */
	{"alice:100000:9223372036854775807\n", REFUSED_RANGE_WRAPS},
	{"alice:0:65536\n", REFUSED_RANGE_ROOT},
	{"alice:1:65536\n", REFUSED_RANGE_SYSTEM},
	{"alice:65535:65536\n", REFUSED_RANGE_SYSTEM},
	{"alice:100000:1\nalice:100000:65536\n", REFUSED_NOT},
	{"alice:100000:65536\nalice:300000:0\n", REFUSED_RANGE_EMPTY},
	{"1000:0:1\nalice:100000:65536\n", REFUSED_RANGE_ROOT},
	{"alice:100000:32768\nalice:132768:32768\n", REFUSED_RANGE_SMALL},
	{"alice:300000:65535\n1000:400000:1\nalice:100000:65536\n", REFUSED_NOT},
	{"alice:-5:65536\n", REFUSED_SUBID_FILE},
	{"alice:010:65536\n", REFUSED_SUBID_FILE},
	{"alice:18446744073709551611:3\n", REFUSED_SUBID_FILE},
};

START_TEST(subid_ranges_are_checked)
{
	ck_assert_int_eq(unit_write_text("/etc/subuid", ranges[_i].text), 0);
	ck_assert_int_eq(find(), ranges[_i].expected);
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
	static const char line[] = "alice:100000:65536\n";
	char text[32 * (sizeof(line) - 1) + 1] = "";

	for (int i = 0; i < counts[_i].n; i++)
		memcpy(text + (size_t)i * (sizeof(line) - 1), line, sizeof(line));
	ck_assert_int_eq(unit_write_text("/etc/subuid", text), 0);
	ck_assert_int_eq(find(), counts[_i].expected);
}
END_TEST

/*
 * After alice's own line, 100000 to 165535. A line may hold a NUL, hence the length.
 */
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
	{LINE("alice:200000:4294000000\n"), REFUSED_NOT},
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
	static const char own[] = "alice:100000:65536\n";
	char text[256];

	ck_assert_uint_lt(sizeof(own) + files[_i].len, sizeof(text));
	memcpy(text, own, sizeof(own));
	memcpy(text + sizeof(own) - 1, files[_i].text, files[_i].len);
	ck_assert_int_eq(unit_write("/etc/subuid", text, sizeof(own) - 1 + files[_i].len), 0);
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
	static const char first[] = "alice:100000:65536\n", last[] = "bob:165535:1\n";
	size_t size = 1 << 20;
	char *text = malloc(size + sizeof(last));

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < size; i += 16)
		memcpy(text + i, _i == 0 ? "bob:300000:6553\n" : "################", 16);
	memcpy(text, first, sizeof(first) - 1);
	text[sizeof(first) - 1] = '#';	/* what is left of another line */
	text[size - 1] = '\n';
	memcpy(text + size, last, sizeof(last));
	ck_assert_int_eq(unit_write("/etc/subuid", text, size), 0);
	ck_assert_int_eq(find(), REFUSED_NOT);
	ck_assert_int_eq(unit_write_text("/etc/subuid", text), 0);
	ck_assert_int_eq(find(), REFUSED_RANGE_SHARED);
	free(text);
}
END_TEST

static void add_sources(Suite *suite)
{
	TCase *tc = tcase_create("source");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, subid_find_keeps_the_kinds_apart);
	tcase_add_loop_test(tc, subid_source_without_a_plugin, 0, ROWS(sources));
	tcase_add_test(tc, subid_source_must_be_readable);
	tcase_add_test(tc, subid_source_must_be_a_file);
	tcase_add_test(tc, subid_source_survives_a_limit_on_descriptors);
	suite_add_tcase(suite, tc);
}

static void add_ranges(Suite *suite)
{
	TCase *tc = tcase_create("ranges");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, subid_ranges_are_checked, 0, ROWS(ranges));
	tcase_add_loop_test(tc, subid_range_must_not_include_the_caller, 0, 8);
	tcase_add_loop_test(tc, subid_ranges_are_sixteen_at_most, 0, ROWS(counts));
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
