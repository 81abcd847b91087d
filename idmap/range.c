/* SPDX-License-Identifier: MIT */
#include "range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum refusal range_check(struct id_range range, uint64_t self)
{
	if (range.count == 0)
		return REFUSED_RANGE_EMPTY;
	if (range.start > RANGE_LAST || range.count - 1 > RANGE_LAST - range.start)
		return REFUSED_RANGE_WRAPS;
	if (range.start == 0)
		return REFUSED_RANGE_ROOT;
	if (range.start < RANGE_FLOOR)
		return REFUSED_RANGE_SYSTEM;
	if (self >= range.start && self - range.start < range.count)
		return REFUSED_RANGE_CALLER;
	return REFUSED_NOT;
}

bool range_overlaps(struct id_range a, struct id_range b)
{
	if (a.count == 0 || b.count == 0)
		return false;
	if (a.start <= b.start)
		return b.start - a.start < a.count;
	return a.start - b.start < b.count;
}

enum refusal range_choose(const struct id_range *ranges, size_t n, uint64_t self,
			  struct id_range *ret)
{
	const struct id_range *chosen = NULL;

	if (n == 0)
		return REFUSED_RANGE_NONE;
	for (size_t i = 0; i < n; i++) {
		enum refusal r = range_check(ranges[i], self);

		if (r != REFUSED_NOT)
			return r;
		if (!chosen && ranges[i].count >= RANGE_COUNT)
			chosen = &ranges[i];
	}
	if (!chosen)
		return REFUSED_RANGE_SMALL;
	*ret = (struct id_range){.start = chosen->start, .count = RANGE_COUNT};
	return REFUSED_NOT;
}

ssize_t range_map(struct id_range range, uint64_t self, char ret[static RANGE_MAP_SIZE])
{
	int len;

	if (range.count != RANGE_COUNT || self == 0 || self > RANGE_LAST ||
	    range_check(range, self) != REFUSED_NOT)
		return -EINVAL;
	len = snprintf(ret, RANGE_MAP_SIZE,
		       "0 %" PRIu64 " %" PRIu64 "\n%" PRIu64 " %" PRIu64 " 1\n",
		       range.start, range.count, RANGE_INSIDE_CALLER, self);
	if (len < 0 || len >= RANGE_MAP_SIZE)
		return -EINVAL;
	return len;
}
