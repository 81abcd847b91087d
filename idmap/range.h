/* SPDX-License-Identifier: MIT */
/* Ranges of subordinate ids and id maps, as pure data. */
/* Used by: nixuser-helper (both sides of its lookup). Privilege: none. */
#pragma once

#include "refusal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A machine sees the ids 0 to 65535, as every Linux system expects. */
#define RANGE_COUNT UINT64_C(65536)
/* The caller himself, one above: root of the outer namespace may chown to him. */
#define RANGE_INSIDE_CALLER RANGE_COUNT
/* Below are accounts, systemd's dynamic users, nobody and 65535. */
#define RANGE_FLOOR UINT64_C(65536)
/* The last id that exists; (uid_t)-1 means "unchanged" to the kernel. */
#define RANGE_LAST UINT64_C(4294967294)
/* Two lines of three numbers of at most ten digits, with what separates them. */
#define RANGE_MAP_SIZE 80

/* Ids outside, from @start on, @count of them. 64 bit, so that sums do not wrap. */
struct id_range {
	uint64_t start;
	uint64_t count;
};

/**
 * range_check() - may this range be used at all?
 * @range: as some database has it; nothing is taken for granted
 * @self:  the caller's own uid or gid, which must not be in it
 *
 * Return: REFUSED_NOT, or REFUSED_RANGE_EMPTY, _WRAPS, _ROOT, _SYSTEM, _CALLER.
 * Privilege: none. Source: user_namespaces(7), "Defining user and group ID
 * mappings"; subuid(5).
 */
enum refusal range_check(struct id_range range, uint64_t self);

/**
 * range_overlaps() - do two ranges have an id in common?
 *
 * Neither needs to have passed range_check(): an empty one overlaps nothing and
 * one that wraps goes to the end of all ids.
 */
bool range_overlaps(struct id_range a, struct id_range b);

/**
 * range_choose() - check all ranges of a user and take the first that suffices
 * @ranges: borrowed
 * @n:      how many
 * @self:   as for range_check()
 * @ret:    RANGE_COUNT ids of the first range that has as many
 *
 * One bad range spoils all: who delegated it made a mistake somebody must see.
 *
 * Return: REFUSED_NOT; what range_check() says; REFUSED_RANGE_NONE for none,
 * REFUSED_RANGE_SMALL if none is large enough.
 */
enum refusal range_choose(const struct id_range *ranges, size_t n, uint64_t self,
			  struct id_range *ret);

/**
 * range_map() - the text of the outer namespace's map
 * @range: has passed range_choose(): exactly RANGE_COUNT ids
 * @self:  the caller's uid or gid
 * @ret:   RANGE_MAP_SIZE bytes: "0 START 65536" and "65536 SELF 1"
 *
 * Return: the length in bytes; -EINVAL if @range fails range_check() or has
 * another count.
 * Privilege: none. Source: user_namespaces(7).
 */
ssize_t range_map(struct id_range range, uint64_t self, char ret[static RANGE_MAP_SIZE]);
