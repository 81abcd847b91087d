/* SPDX-License-Identifier: MIT */
/* Names: security.md 5.6, cases 43 and 44. */
#include "unit.h"

#include "config.h"
#include "storepath.h"

/* All 32 digits of Nix base-32, once each. */
#define HASH "0123456789abcdfghijklmnpqrsvwxyz"
#define HASH_LESS_1 "0123456789abcdfghijklmnpqrsvwxy"
#define STORE STORE_DIR "/"

static const struct {
	const char *target;
	enum refusal expected;
} targets[] = {
	{STORE HASH "-a", REFUSED_NOT},
	{STORE HASH "-nixos-system-demo-25.05pre_git", REFUSED_NOT},
	{STORE HASH "-AZaz09+-._?=", REFUSED_NOT},
	{STORE "00000000000000000000000000000000-0", REFUSED_NOT},
	{STORE "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-z", REFUSED_NOT},

	/* the hash */
	{STORE HASH_LESS_1 "-a", REFUSED_TARGET_NAME},
	{STORE HASH "0-a", REFUSED_TARGET_NAME},
	{STORE HASH, REFUSED_TARGET_NAME},
	{STORE HASH "a", REFUSED_TARGET_NAME},
	{STORE HASH "_a", REFUSED_TARGET_NAME},
	{STORE "0", REFUSED_TARGET_NAME},
	{STORE "-a", REFUSED_TARGET_NAME},
	{STORE "e" HASH_LESS_1 "-a", REFUSED_TARGET_NAME},
	{STORE "o" HASH_LESS_1 "-a", REFUSED_TARGET_NAME},
	{STORE "t" HASH_LESS_1 "-a", REFUSED_TARGET_NAME},
	{STORE "u" HASH_LESS_1 "-a", REFUSED_TARGET_NAME},
	{STORE HASH_LESS_1 "e-a", REFUSED_TARGET_NAME},
	{STORE HASH_LESS_1 "Z-a", REFUSED_TARGET_NAME},
	{STORE "0123456789ABCDFGHIJKLMNPQRSVWXYZ-a", REFUSED_TARGET_NAME},
	{STORE HASH_LESS_1 "--a", REFUSED_TARGET_NAME},

	/* the name */
	{STORE HASH "-", REFUSED_TARGET_NAME},
	{STORE HASH "-.", REFUSED_TARGET_NAME},
	{STORE HASH "-..", REFUSED_TARGET_NAME},
	{STORE HASH "-.-", REFUSED_TARGET_NAME},
	{STORE HASH "-.-a", REFUSED_TARGET_NAME},
	{STORE HASH "-..-", REFUSED_TARGET_NAME},
	{STORE HASH "-..-a", REFUSED_TARGET_NAME},
	{STORE HASH "-...", REFUSED_NOT},
	{STORE HASH "-.a", REFUSED_NOT},
	{STORE HASH "-..a", REFUSED_NOT},
	{STORE HASH "-a..", REFUSED_NOT},
	{STORE HASH "--", REFUSED_NOT},
	{STORE HASH "-a\n", REFUSED_TARGET_NAME},
	{STORE HASH "-a\nb", REFUSED_TARGET_NAME},
	{STORE HASH "-\033[2Ja", REFUSED_TARGET_NAME},
	{STORE HASH "-a b", REFUSED_TARGET_NAME},
	{STORE HASH "-a ", REFUSED_TARGET_NAME},
	{STORE HASH "-%s", REFUSED_TARGET_NAME},
	{STORE HASH "-a%n", REFUSED_TARGET_NAME},
	{STORE HASH "-\303\251", REFUSED_TARGET_NAME},
	{STORE HASH "-a (deleted)", REFUSED_TARGET_NAME},	/* what /proc appends */
	{STORE HASH "-a\\b", REFUSED_TARGET_NAME},
	{STORE HASH "-a:b", REFUSED_TARGET_NAME},

	/* what is in the store and no output */
	{STORE HASH "-a.drv", REFUSED_TARGET_DERIVATION},
	{STORE HASH "-.drv", REFUSED_TARGET_DERIVATION},
	{STORE HASH "-a.lock.drv", REFUSED_TARGET_DERIVATION},
	{STORE HASH "-a.drv-b", REFUSED_NOT},
	{STORE HASH "-drv", REFUSED_NOT},
	{STORE HASH "-a.lock", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.drv.lock", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.chroot", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.drv.chroot", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.check", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.tmp", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-.lock", REFUSED_TARGET_TEMPORARY},
	{STORE HASH "-a.lock-b", REFUSED_NOT},
	{STORE HASH "-lock", REFUSED_NOT},
	{STORE ".links", REFUSED_TARGET_NAME},

	/* inside a store path, or round it */
	{STORE HASH "-a/init", REFUSED_TARGET_INSIDE},
	{STORE HASH "-a/", REFUSED_TARGET_INSIDE},
	{STORE HASH "-a//", REFUSED_TARGET_INSIDE},
	{STORE HASH "-a/.", REFUSED_TARGET_INSIDE},
	{STORE HASH "-a/..", REFUSED_TARGET_INSIDE},
	{STORE "/" HASH "-a", REFUSED_TARGET_INSIDE},
	{STORE "./" HASH "-a", REFUSED_TARGET_INSIDE},
	{STORE "../store/" HASH "-a", REFUSED_TARGET_INSIDE},
	{STORE "../../etc", REFUSED_TARGET_INSIDE},
	{STORE ".links/" HASH "-a", REFUSED_TARGET_INSIDE},
	{STORE "..", REFUSED_TARGET_NAME},
	{STORE ".", REFUSED_TARGET_NAME},
	{STORE, REFUSED_TARGET_NAME},

	/* elsewhere */
	{STORE_DIR, REFUSED_TARGET_NOT_STORE},
	{STORE_DIR "x/" HASH "-a", REFUSED_TARGET_NOT_STORE},
	{STORE_DIR "-" HASH "-a", REFUSED_TARGET_NOT_STORE},
	{"/" STORE HASH "-a", REFUSED_TARGET_NOT_STORE},
	{"/." STORE HASH "-a", REFUSED_TARGET_NOT_STORE},
	{"/tmp" STORE HASH "-a", REFUSED_TARGET_NOT_STORE},
	{" " STORE HASH "-a", REFUSED_TARGET_NOT_STORE},
	{HASH "-a", REFUSED_TARGET_NOT_STORE},
	{"result-1", REFUSED_TARGET_NOT_STORE},
	{"/etc/shadow", REFUSED_TARGET_NOT_STORE},
	{"/", REFUSED_TARGET_NOT_STORE},
	{"", REFUSED_TARGET_NOT_STORE},
};

/* Parses a copy of just the right size: a read past its end is for ASan to see. */
static enum refusal parse_copy(const char *target, char ret[static STOREPATH_BASE_SIZE])
{
	char *copy = strdup(target);
	enum refusal r;

	ck_assert_ptr_nonnull(copy);
	memset(ret, '#', STOREPATH_BASE_SIZE);
	r = storepath_parse(copy, ret);
	free(copy);
	return r;
}

START_TEST(storepath_parse_knows_the_grammar)
{
	const char *target = targets[_i].target;
	char base[STOREPATH_BASE_SIZE];
	enum refusal r = parse_copy(target, base);

	ck_assert_msg(r == targets[_i].expected, "%s: %d", target, r);
	if (r == REFUSED_NOT) {
		ck_assert_str_eq(base, target + strlen(STORE));
		return;
	}
	for (size_t i = 0; i < sizeof(base); i++)
		ck_assert_int_eq(base[i], '#');
}
END_TEST

static const struct {
	size_t len;
	enum refusal expected;
} lengths[] = {
	{1, REFUSED_NOT},
	{210, REFUSED_NOT},
	{211, REFUSED_NOT},
	{212, REFUSED_TARGET_NAME},
	{255, REFUSED_TARGET_NAME},
	{4000, REFUSED_TARGET_NAME},
	{65536, REFUSED_TARGET_NAME},
};

START_TEST(storepath_parse_bounds_the_name)
{
	size_t len = lengths[_i].len;
	char *target = malloc(strlen(STORE HASH "-") + len + 1);
	char base[STOREPATH_BASE_SIZE];

	ck_assert_ptr_nonnull(target);
	memcpy(target, STORE HASH "-", strlen(STORE HASH "-"));
	memset(target + strlen(STORE HASH "-"), 'n', len);
	target[strlen(STORE HASH "-") + len] = '\0';
	ck_assert_int_eq(parse_copy(target, base), lengths[_i].expected);
	if (lengths[_i].expected == REFUSED_NOT)
		ck_assert_str_eq(base, target + strlen(STORE));
	free(target);
}
END_TEST

static bool is_between(int c, int first, int last)
{
	return first <= c && c <= last;
}

START_TEST(storepath_check_base_allows_these_bytes_in_a_name)
{
	bool fine = is_between(_i, 'a', 'z') || is_between(_i, 'A', 'Z') ||
		    is_between(_i, '0', '9') || _i == '+' || _i == '-' || _i == '.' ||
		    _i == '_' || _i == '?' || _i == '=';
	char base[] = HASH "-a?b";

	base[33 + 1] = (char)_i;
	ck_assert_int_eq(storepath_check_base(base), fine ? REFUSED_NOT : REFUSED_TARGET_NAME);
}
END_TEST

START_TEST(storepath_check_base_allows_these_bytes_in_a_hash)
{
	bool fine = is_between(_i, '0', '9') ||
		    (is_between(_i, 'a', 'z') && _i != 'e' && _i != 'o' && _i != 't' && _i != 'u');

	for (size_t at = 0; at < 32; at++) {
		char base[] = HASH "-a";

		base[at] = (char)_i;
		ck_assert_int_eq(storepath_check_base(base),
				 fine ? REFUSED_NOT : REFUSED_TARGET_NAME);
	}
}
END_TEST

/*
 * Made with Nix 2.8: nix-hash --type sha1 --base32 --flat, of a file that holds
 * the path; the first one also by 'nix-store --add-root', as it lay in gcroots.
 */
static const struct {
	const char *link, *name;
} roots[] = {
	{"/home/tester/result", "xvqdm3brxhnbhb0fxbwnib6jzhxnvf5h"},
	{"/home/alice/result", "x6xcakh6pmsprh9372j47cndyciwzqqy"},
	{"/tmp/result", "g2xrwb4h5qd18ndrzrgyp3lsmjbw4dks"},
	{"/home/bob/with space/result", "3j81186q6mljra06snhln904257lmwdj"},
	{"/home/\303\274/r\303\251sultat", "rj55az0lp5adl3msi94vxmlrhlgcg2nf"},
	{"/home/a\nb", "fqib39hn0mixw3jb1pbp6jdkd1vsk6ci"},
	{"/", "m3zy7hnpd0jnq1afzpc3zr91y159n2a2"},
	{"", "143xibwh31h9bvxzalr0sjvbbvpa6ffs"},
};

static void assert_root_name(const char *link, const char *expected)
{
	struct {
		char before[8], name[STOREPATH_ROOT_SIZE], after[8];
	} f;

	memset(&f, '#', sizeof(f));
	storepath_root_name(link, f.name);
	ck_assert_str_eq(f.name, expected);
	ck_assert_mem_eq(f.before, "########", 8);
	ck_assert_mem_eq(f.after, "########", 8);
}

START_TEST(storepath_root_name_is_that_of_nix)
{
	assert_root_name(roots[_i].link, roots[_i].name);
}
END_TEST

START_TEST(storepath_root_name_takes_the_longest_path)
{
	char link[4096] = "/";

	memset(link + 1, 'a', sizeof(link) - 2);
	link[sizeof(link) - 1] = '\0';
	assert_root_name(link, "911nvsqix2bx08hlldhifhh3xl90kx2f");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("storepath");
	TCase *grammar = tcase_create("grammar"), *root = tcase_create("root");

	tcase_add_loop_test(grammar, storepath_parse_knows_the_grammar, 0, ROWS(targets));
	tcase_add_loop_test(grammar, storepath_parse_bounds_the_name, 0, ROWS(lengths));
	tcase_add_loop_test(grammar, storepath_check_base_allows_these_bytes_in_a_name, 1, 256);
	tcase_add_loop_test(grammar, storepath_check_base_allows_these_bytes_in_a_hash, 1, 256);
	suite_add_tcase(suite, grammar);

	tcase_add_loop_test(root, storepath_root_name_is_that_of_nix, 0, ROWS(roots));
	tcase_add_test(root, storepath_root_name_takes_the_longest_path);
	suite_add_tcase(suite, root);
	return unit_run(suite);
}
