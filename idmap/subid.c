/* SPDX-License-Identifier: MIT */
#include "subid.h"

#include "auto.h"

#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <pwd.h>
#include <shadow/subid.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NSSWITCH "/etc/nsswitch.conf"
#define RANGES_MAX 16	/* nobody has more; see range_choose() */

static const char *const subid_files[] = {
	[SUBID_UID] = "/etc/subuid",
	[SUBID_GID] = "/etc/subgid",
};

/* The first word after "subid:" is the one libsubid looks at; none means files. */
static enum refusal find_source(char *ret, size_t size)
{
	auto_free char *line = NULL;
	size_t room = 0;
	enum refusal r = REFUSED_NOT;
	FILE *f = fopen(NSSWITCH, "re");

	(void)strlcpy(ret, "files", size);	/* fits every caller's buffer */
	if (!f)
		return errno == ENOENT ? REFUSED_NOT : REFUSED_SUBID_SOURCE;
	while (getline(&line, &room, f) >= 0) {
		char *rest = line, *word;

		if (strncasecmp(line, "subid:", 6) != 0)
			continue;
		rest += 6;
		do
			word = strsep(&rest, " \t\n");
		while (word && *word == '\0');
		if (!word)
			continue;	/* libsubid goes on to the next such line, too */
		if (strlcpy(ret, word, size) >= size)
			r = REFUSED_SUBID_PLUGIN;
		break;
	}
	if (ferror(f))
		r = REFUSED_SUBID_SOURCE;
	(void)fclose(f);	/* only read */
	return r;
}

static int is_plugin(struct dl_phdr_info *info, size_t size, void *wanted)
{
	const char *base = strrchr(info->dlpi_name, '/');

	(void)size;
	return strcmp(base ? base + 1 : info->dlpi_name, wanted) == 0;
}

/* libsubid unloads a plugin it does not use: one that is mapped has answered. */
static bool plugin_answered(const char *source)
{
	char name[64];
	int len = snprintf(name, sizeof(name), "libsubid_%s.so", source);

	return len > 0 && (size_t)len < sizeof(name) && dl_iterate_phdr(is_plugin, name) != 0;
}

static bool is_own(const char *owner, const char *user, uid_t uid)
{
	const struct passwd *pw;
	char number[16];

	if (strcmp(owner, user) == 0)
		return true;
	/* Two names may share a uid, and then their ranges; a name may be a number. */
	pw = getpwnam(owner);
	if (pw)
		return pw->pw_uid == uid;
	(void)snprintf(number, sizeof(number), "%u", uid);	/* ten digits at most */
	return strcmp(owner, number) == 0;
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
static bool parse_line(char *line, char **ret_owner, struct id_range *ret)
{
	const char *start, *count;

	*ret_owner = strsep(&line, ":");
	start = strsep(&line, ":");
	count = strsep(&line, ":");
	if (!start || !count || line || **ret_owner == '\0')
		return false;
	return parse_number(start, &ret->start) && parse_number(count, &ret->count);
}

/*
 * libsubid can name the owners of one id, but not of a range: another user's
 * range in the middle of ours would go unseen. So the file is read whole. A
 * line that cannot be understood could be such a range, and is an error.
 */
static enum refusal check_files(enum subid_kind kind, const char *user, uid_t uid,
				struct id_range range)
{
	auto_free char *line = NULL;
	size_t room = 0;
	ssize_t len;
	enum refusal r = REFUSED_NOT;
	FILE *f = fopen(subid_files[kind], "re");

	if (!f)
		return REFUSED_SUBID_FILE;
	while (r == REFUSED_NOT && (len = getline(&line, &room, f)) >= 0) {
		struct id_range other;
		char *owner;

		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (len == 0 || line[0] == '#')
			continue;
		if (strlen(line) != (size_t)len || !parse_line(line, &owner, &other))
			r = REFUSED_SUBID_FILE;
		else if (range_overlaps(range, other) && !is_own(owner, user, uid))
			r = REFUSED_RANGE_SHARED;
	}
	if (ferror(f))
		r = REFUSED_SUBID_FILE;
	(void)fclose(f);	/* only read */
	return r;
}

/*
 * A plugin is asked for the owners of the two ends: that is all its interface
 * has. One that cannot say, as sssd's, is believed: its directory allocates
 * ranges in one place.
 */
static enum refusal check_plugin(enum subid_kind kind, uid_t uid, struct id_range range)
{
	const uint64_t ends[] = {range.start, range.start + range.count - 1};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		auto_free uid_t *owners = NULL;
		int n = kind == SUBID_UID ? subid_get_uid_owners((uid_t)ends[i], &owners)
					  : subid_get_gid_owners((gid_t)ends[i], &owners);

		if (n > 0 && !owners)
			return REFUSED_SUBID_LOOKUP;
		for (int k = 0; k < n; k++) {
			if (owners[k] != uid)
				return REFUSED_RANGE_SHARED;
		}
	}
	return REFUSED_NOT;
}

static enum refusal choose(enum subid_kind kind, const char *user, uint64_t self,
			   struct id_range *ret)
{
	auto_free struct subid_range *found = NULL;
	struct id_range ranges[RANGES_MAX];
	int n = kind == SUBID_UID ? subid_get_uid_ranges(user, &found)
				  : subid_get_gid_ranges(user, &found);

	/* libsubid has one -1 for "unknown user" and for "failed". */
	if (n < 0)
		return REFUSED_SUBID_LOOKUP;
	if (n > RANGES_MAX)
		return REFUSED_RANGE_MANY;
	if (n > 0 && !found)
		return REFUSED_SUBID_LOOKUP;
	for (int i = 0; i < n; i++)
		ranges[i] = (struct id_range){.start = found[i].start, .count = found[i].count};
	return range_choose(ranges, (size_t)n, self, ret);
}

enum refusal subid_find(enum subid_kind kind, const char *user, uid_t uid, uint64_t self,
			struct id_range *ret)
{
	struct id_range range;
	char source[32];
	bool files;
	enum refusal r;

	r = find_source(source, sizeof(source));
	if (r != REFUSED_NOT)
		return r;
	files = strcmp(source, "files") == 0;
	r = choose(kind, user, self, &range);
	if (!files && !plugin_answered(source))
		return REFUSED_SUBID_PLUGIN;
	if (r != REFUSED_NOT)
		return r;
	r = files ? check_files(kind, user, uid, range) : check_plugin(kind, uid, range);
	if (r == REFUSED_NOT)
		*ret = range;
	return r;
}
