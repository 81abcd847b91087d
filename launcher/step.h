/* SPDX-License-Identifier: MIT */
/* A story told as a table: each step has words for the case that it fails. */
/* Used by: nixuser-launch. Privilege: none. */
#pragma once

#include <stddef.h>

struct machine;

struct step {
	const char *what;	/* completes "cannot ..." */
	int (*run)(const struct machine *machine);	/* 0 or -errno */
};

/**
 * steps_run() - run the steps in order, until one fails
 * @ret_failed: which one, if any
 *
 * Return: 0, or -errno of the step.
 */
static inline int steps_run(const struct step *steps, size_t n, const struct machine *machine,
			    size_t *ret_failed)
{
	for (size_t i = 0; i < n; i++) {
		int r = steps[i].run(machine);

		if (r < 0) {
			*ret_failed = i;
			return r;
		}
	}
	return 0;
}
