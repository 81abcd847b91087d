/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "refusal.h"

#include <limits.h>
#include <sysexits.h>

START_TEST(refusal_text_is_one_line_for_people)
{
	const char *text = refusal_text((enum refusal)_i);
	size_t len;

	ck_assert_msg(text != NULL, "%d has no text", _i);
	len = strlen(text);
	ck_assert_msg(len >= 10 && len < 200, "%zu bytes: %s", len, text);
	ck_assert_msg(text[len - 1] != '.' && text[len - 1] != ' ', "ends in '%c': %s",
		      text[len - 1], text);
	ck_assert_msg(text[0] != ' ' && (text[0] < 'A' || text[0] > 'Z'), "begins: %s", text);
	for (size_t i = 0; i < len; i++)
		ck_assert_msg(text[i] >= ' ' && text[i] <= '~', "byte %zu: %s", i, text);
	/* It goes through "%s", but a sentence with a percent sign would be odd. */
	ck_assert_ptr_null(strchr(text, '%'));
	ck_assert_ptr_null(strstr(text, "error"));
}
END_TEST

START_TEST(refusal_text_is_its_own)
{
	for (int other = 0; other < _i; other++)
		ck_assert_str_ne(refusal_text((enum refusal)_i), refusal_text((enum refusal)other));
}
END_TEST

/* Where there is nothing to advise, or where what is wrong says it. */
static bool is_plain(int r)
{
	static const enum refusal plain[] = {
		REFUSED_LINK_LONG, REFUSED_TARGET_NAME, REFUSED_TARGET_TEMPORARY, REFUSED_STORE,
		REFUSED_CALLER_UNKNOWN, REFUSED_SUBID_SOURCE, REFUSED_SUBID_FILE,
		REFUSED_LOOKUP_DIED, REFUSED_LOOKUP_GARBLED,
	};

	for (int i = 0; i < ROWS(plain); i++) {
		if ((int)plain[i] == r)
			return true;
	}
	return false;
}

START_TEST(refusal_text_says_what_to_do)
{
	const char *text = refusal_text((enum refusal)_i);
	const char *advice = strstr(text, "; ");

	if (!is_plain(_i))
		ck_assert_msg(advice && strlen(advice) > 10, "no advice: %s", text);
}
END_TEST

static const struct {
	enum refusal first, last;
	int status;
} classes[] = {
	{REFUSED_LINK_ABSOLUTE, REFUSED_TARGET_TEMPORARY, EX_DATAERR},
	{REFUSED_STORE, REFUSED_STORE, EX_UNAVAILABLE},
	{REFUSED_PATH_MISSING, REFUSED_ROOT_OTHER, EX_DATAERR},
	{REFUSED_CALLER_ROOT, REFUSED_CALLER_UNKNOWN, EX_NOPERM},
	{REFUSED_SUBID_SOURCE, REFUSED_SUBID_LOOKUP, EX_OSERR},
	{REFUSED_RANGE_NONE, REFUSED_RANGE_SMALL, EX_NOPERM},
	{REFUSED_LOOKUP_DIED, REFUSED_LOOKUP_GARBLED, EX_OSERR},
	{REFUSED_CAPS_NONE, REFUSED_USERNS_FORBIDDEN, EX_UNAVAILABLE},
};

/* Every value is in exactly one class, so a new one has to be put somewhere here. */
START_TEST(refusal_status_is_that_of_its_class)
{
	int found = 0;

	for (int i = 0; i < ROWS(classes); i++) {
		if (_i < (int)classes[i].first || _i > (int)classes[i].last)
			continue;
		found++;
		ck_assert_int_eq(refusal_status((enum refusal)_i), classes[i].status);
	}
	ck_assert_int_eq(found, 1);
	ck_assert_int_ge(refusal_status((enum refusal)_i), EX__BASE);
	ck_assert_int_le(refusal_status((enum refusal)_i), EX__MAX);
}
END_TEST

static const int strangers[] = {REFUSED_COUNT, REFUSED_COUNT + 1, INT_MAX, INT_MIN, -1};

START_TEST(refusal_takes_any_value)
{
	enum refusal r = (enum refusal)strangers[_i];

	ck_assert_int_eq(refusal_status(r), EX_SOFTWARE);
	ck_assert_ptr_nonnull(strstr(refusal_text(r), "bug"));
}
END_TEST

/* Whoever exits with the status of "not refused" has a bug, and no success. */
START_TEST(refusal_not_is_no_success)
{
	ck_assert_int_eq(REFUSED_NOT, 0);
	ck_assert_int_eq(refusal_status(REFUSED_NOT), EX_SOFTWARE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("refusal");
	TCase *text = tcase_create("text"), *status = tcase_create("status");

	tcase_add_loop_test(text, refusal_text_is_one_line_for_people, 0, REFUSED_COUNT);
	tcase_add_loop_test(text, refusal_text_is_its_own, 0, REFUSED_COUNT);
	tcase_add_loop_test(text, refusal_text_says_what_to_do, 1, REFUSED_COUNT);
	suite_add_tcase(suite, text);

	tcase_add_loop_test(status, refusal_status_is_that_of_its_class, 1, REFUSED_COUNT);
	tcase_add_loop_test(status, refusal_takes_any_value, 0, ROWS(strangers));
	tcase_add_test(status, refusal_not_is_no_success);
	suite_add_tcase(suite, status);
	return unit_run(suite);
}
