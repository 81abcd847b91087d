/* SPDX-License-Identifier: MIT */
/* What a machine needs on the host, and must not leave there. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "machine.h"
#include "plan.h"

#include <systemd/sd-bus.h>

#include <sys/types.h>

struct footprint {
	struct runtime runtime;
	int cgroup_fd;	/* "nixuser-NAME" */
	sd_bus *bus;	/* to the manager of our scope, if it made one */
};

/**
 * footprint_lock() - make and lock the runtime directory
 * @plan: its name is used; its runtime_path is filled in
 * @ret:  end it with footprint_remove()
 *
 * Exits, with words, if there is no runtime directory or another machine has it.
 */
void footprint_lock(struct plan *plan, struct footprint *ret);

/**
 * footprint_make_cgroup() - find a delegated cgroup, or a scope, and make ours in it
 *
 * Return: EX_OK, or an exit status when it has said what is missing.
 */
int footprint_make_cgroup(const struct plan *plan, struct footprint *footprint);

/* footprint_empty() - what is in there is the caller's still: remove it */
void footprint_empty(const struct footprint *footprint);

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
