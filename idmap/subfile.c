/* SPDX-License-Identifier: MIT */
#include "subfile.h"

#include "auto.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const paths[] = {
	[SUBID_UID] = "/etc/subuid",
	[SUBID_GID] = "/etc/subgid",
};

struct entry {
	const char *owner;
	struct id_range range;
};

struct reading {
	const struct subid_user *user;
	struct id_range own[SUBID_RANGES_MAX];
	size_t n;
	const struct id_range *chosen;	/* at the second reading */
};

/* As libsubid lists them. */
static bool is_named(const struct entry *entry, const struct subid_user *user)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%u", user->uid);	/* ten digits at most */
	return strcmp(entry->owner, user->name) == 0 || strcmp(entry->owner, number) == 0;
}

/* Two names may share a uid, and then their ranges; a name may be a number. */
static bool is_own(const struct entry *entry, const struct subid_user *user)
{
	const struct passwd *pw;

	if (strcmp(entry->owner, user->name) == 0)
		return true;
	pw = getpwnam(entry->owner);
	return pw ? pw->pw_uid == user->uid : is_named(entry, user);
}

/*
 * Plain decimal. What strtonum(3) forgives (a space, a sign) and what libsubid
 * reads otherwise (a leading zero is octal there) could be a range we do not see.
 */
static bool parse_number(const char *s, uint64_t *ret)
{
	const char *wrong;

	if (s[strspn(s, "0123456789")] != '\0' || (s[0] == '0' && s[1] != '\0'))
		return false;
	*ret = (uint64_t)strtonum(s, 0, INT64_MAX, &wrong);
	return !wrong;
}

/* NAME:START:COUNT; false for anything else. @line is cut up. */
static bool parse_line(char *line, struct entry *ret)
{
	const char *start, *count;

	ret->owner = strsep(&line, ":");
	start = strsep(&line, ":");
	count = strsep(&line, ":");
	if (!start || !count || line || *ret->owner == '\0')
		return false;
	return parse_number(start, &ret->range.start) && parse_number(count, &ret->range.count);
}

/* First his own are collected; then one of them is compared with everybody's. */
static enum refusal take(struct reading *reading, const struct entry *entry)
{
	if (reading->chosen)
		return range_overlaps(*reading->chosen, entry->range) &&
		       !is_own(entry, reading->user) ? REFUSED_RANGE_SHARED : REFUSED_NOT;
	if (!is_named(entry, reading->user))
		return REFUSED_NOT;
	if (reading->n == SUBID_RANGES_MAX)
		return REFUSED_RANGE_MANY;
	reading->own[reading->n++] = entry->range;
	return REFUSED_NOT;
}

static enum refusal read_all(FILE *f, struct reading *reading)
{
	auto_free char *line = NULL;
	size_t room = 0;
	ssize_t len;
	enum refusal r = REFUSED_NOT;

	rewind(f);
	while (r == REFUSED_NOT && (len = getline(&line, &room, f)) >= 0) {
		struct entry entry;

		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (len == 0 || line[0] == '#')
			continue;
		r = strlen(line) == (size_t)len && parse_line(line, &entry)
			? take(reading, &entry) : REFUSED_SUBID_FILE;
	}
	return ferror(f) ? REFUSED_SUBID_FILE : r;
}

enum refusal subfile_find(const struct subid_user *user, enum subid_kind kind,
			  struct id_range *ret)
{
	struct reading reading = {.user = user};
	struct id_range chosen;
	enum refusal r;
	FILE *f = fopen(paths[kind], "re");

	if (!f)
		return REFUSED_SUBID_FILE;
	r = read_all(f, &reading);
	if (r == REFUSED_NOT)
		r = range_choose(reading.own, reading.n, user->self[kind], &chosen);
	reading.chosen = &chosen;
	if (r == REFUSED_NOT)
		r = read_all(f, &reading);
	(void)fclose(f);	/* only read */
	if (r == REFUSED_NOT)
		*ret = chosen;
	return r;
}
