/* SPDX-License-Identifier: MIT */
/* What a machine needs on the host, and must not leave there. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "machine.h"
#include "plan.h"
#include "start.h"

struct footprint {
	struct runtime runtime;
	int cgroup_fd;	/* "nixuser-NAME" */
};

/**
 * footprint_make() - lock the runtime directory, make the cgroups
 * @plan:  its name is used; its runtime_path is filled in
 * @start: the programs, which have to be heard first, and moved along
 * @ret:   end it with footprint_remove(), also on failure
 *
 * Exits, with words, if there is no runtime directory or another machine has it.
 *
 * Return: EX_OK, or an exit status when it has said what is missing.
 */
int footprint_make(struct plan *plan, const struct start *start, struct footprint *ret);

/**
 * footprint_abandon() - the machine never came to life
 * @start: nixuser-launch, without a plan, is ended
 *
 * What is there is the caller's still, and emptied.
 */
void footprint_abandon(const struct footprint *footprint, struct start *start);

/**
 * footprint_empty_as_root() - nixuser-launch was killed
 * @userns_fd: the outer namespace
 *
 * In a child that is root of the outer namespace instead, since what the machine
 * leaves is not the caller's.
 */
void footprint_empty_as_root(const struct footprint *footprint, int userns_fd);

/* footprint_remove() - remove it, empty as it is by now, or say what stays */
void footprint_remove(struct footprint *footprint, const struct plan *plan);
