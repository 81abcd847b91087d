/* SPDX-License-Identifier: MIT */
#include "plugin.h"

#include "auto.h"

#include <link.h>
#include <shadow/subid.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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

static enum refusal choose(const struct subid_user *user, enum subid_kind kind,
			   struct id_range *ret)
{
	auto_free struct subid_range *found = NULL;
	struct id_range ranges[SUBID_RANGES_MAX];
	int n = kind == SUBID_UID ? subid_get_uid_ranges(user->name, &found)
				  : subid_get_gid_ranges(user->name, &found);

	/* libsubid has one -1 for "unknown user" and for "failed". */
	if (n < 0 || (n > 0 && !found))
		return REFUSED_SUBID_LOOKUP;
	if (n > SUBID_RANGES_MAX)
		return REFUSED_RANGE_MANY;
	for (int i = 0; i < n; i++)
		ranges[i] = (struct id_range){.start = found[i].start, .count = found[i].count};
	return range_choose(ranges, (size_t)n, user->self[kind], ret);
}

/*
 * A plugin is asked for the owners of the two ends: that is all its interface
 * has. One that cannot say, as sssd's, is believed: its directory allocates
 * ranges in one place.
 */
static enum refusal check_owners(const struct subid_user *user, enum subid_kind kind,
				 struct id_range range)
{
	const uint64_t ends[] = {range.start, range.start + range.count - 1};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		auto_free uid_t *owners = NULL;
		int n = kind == SUBID_UID ? subid_get_uid_owners((uid_t)ends[i], &owners)
					  : subid_get_gid_owners((gid_t)ends[i], &owners);

		if (n > 0 && !owners)
			return REFUSED_SUBID_LOOKUP;
		for (int k = 0; k < n; k++) {
			if (owners[k] != user->uid)
				return REFUSED_RANGE_SHARED;
		}
	}
	return REFUSED_NOT;
}

enum refusal plugin_find(const char *source, const struct subid_user *user, enum subid_kind kind,
			 struct id_range *ret)
{
	struct id_range range;
	enum refusal r;

	if (!subid_init("nixuser-helper", NULL))
		return REFUSED_SUBID_LOOKUP;
	r = choose(user, kind, &range);
	if (!plugin_answered(source))
		return REFUSED_SUBID_PLUGIN;
	if (r == REFUSED_NOT)
		r = check_owners(user, kind, range);
	if (r == REFUSED_NOT)
		*ret = range;
	return r;
}
