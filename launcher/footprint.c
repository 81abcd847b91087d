/* SPDX-License-Identifier: MIT */
#include "footprint.h"

#include "auto.h"
#include "cgroup.h"
#include "cleanup.h"
#include "module.h"
#include "start.h"
#include "words.h"

#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void footprint_lock(struct plan *plan, struct footprint *ret)
{
	pid_t pid = 0;

	*ret = (struct footprint){.cgroup_fd = -1};
	switch (runtime_acquire(plan->name, &ret->runtime, &pid)) {
	case RUNTIME_OK:
		(void)strlcpy(plan->runtime_path, ret->runtime.path, sizeof(plan->runtime_path));
		return;
	case RUNTIME_NONE:
		errx(EX_UNAVAILABLE, "no runtime directory: XDG_RUNTIME_DIR must name a directory of "
		     "yours with mode 0700; log in through PAM, or 'loginctl enable-linger'");
	case RUNTIME_HELD:
		errx(EX_UNAVAILABLE, "machine '%s' runs already (nixuser-boot has pid %d); "
		     "give this one another --name", plan->name, pid);
	case RUNTIME_FAILED:
		break;
	}
	err(EX_OSERR, "cannot make the runtime directory of machine '%s'", plan->name);
}

/* Is there a user manager at all? Cheap: an access(2) or two. */
static bool scope_is_possible(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[4096];

	if (getenv("DBUS_SESSION_BUS_ADDRESS"))
		return true;
	if (!dir)
		return false;
	(void)snprintf(path, sizeof(path), "%s/bus", dir);	/* cut off, it does not exist */
	if (access(path, R_OK | W_OK) == 0)
		return true;
	(void)snprintf(path, sizeof(path), "%s/systemd/private", dir);
	return access(path, R_OK | W_OK) == 0;
}

/*
 * A cgroup that systemd has delegated; else a scope of our own; else, where
 * there is no user manager, one that we may write.
 *
 * Return: a descriptor, or -EX_... when it has said what is missing.
 */
static int find_cgroup(const struct plan *plan, sd_bus **ret_bus)
{
	auto_close int own_fd = cgroup_open_own();
	const struct module *module;
	int r;

	if (own_fd < 0)
		return -words_warn(EX_UNAVAILABLE, own_fd,
				   "find our cgroup: cgroup v2 must be mounted on /sys/fs/cgroup");
	if (!cgroup_is_delegated(own_fd) && scope_is_possible()) {
		module = module_load();
		if (!module)
			return -EX_UNAVAILABLE;
		r = module->scope_enter(plan->name, ret_bus);
		if (r < 0 && !cgroup_is_writable(own_fd))
			return -words_warn(EX_UNAVAILABLE, r,
					   "get a scope from the user manager; try 'systemd-run "
					   "--user --scope -p Delegate=yes nixuser-boot ...'");
		if (r >= 0) {
			auto_close_fd(&own_fd);
			own_fd = cgroup_open_own();
		}
	}
	if (own_fd < 0 || !cgroup_is_writable(own_fd)) {
		warnx("no delegated cgroup and no user manager to ask for one; "
		      "log in through PAM ('loginctl enable-linger' for services), "
		      "or start it in a unit with Delegate=yes");
		return -EX_UNAVAILABLE;
	}
	return fd_steal(&own_fd);
}

int footprint_make_cgroup(const struct plan *plan, struct footprint *footprint)
{
	auto_close int own_fd = find_cgroup(plan, &footprint->bus);

	if (own_fd < 0)
		return -own_fd;
	footprint->cgroup_fd = cgroup_make(own_fd, plan->name);
	if (footprint->cgroup_fd < 0)
		return words_warn(EX_OSERR, footprint->cgroup_fd, "make the machine's cgroups");
	return EX_OK;
}

void footprint_empty(const struct footprint *footprint)
{
	/* What stays, footprint_remove() says. */
	(void)cleanup_payload(footprint->cgroup_fd, footprint->runtime.dir_fd);
}

/* Room to work, if it was a lack of descriptors that brought us here. */
static void close_others(int a, int b, int c)
{
	for (int fd = 3; fd < 64; fd++) {
		if (fd != a && fd != b && fd != c)
			(void)close(fd);
	}
}

void footprint_empty_as_root(const struct footprint *footprint, int userns_fd)
{
	int cgroup_fd = footprint->cgroup_fd, runtime_fd = footprint->runtime.dir_fd;
	pid_t pid = fork();

	if (pid == 0) {
		close_others(userns_fd, cgroup_fd, runtime_fd);
		_exit(setns(userns_fd, CLONE_NEWUSER) == 0 &&
		      cleanup_payload(cgroup_fd, runtime_fd) == 0 ? EX_OK : EX_OSERR);
	}
	if (pid > 0)
		(void)start_reap(&pid);	/* what stays, footprint_remove() says */
}

void footprint_remove(struct footprint *footprint, const struct plan *plan)
{
	int r = cleanup_machine(footprint->cgroup_fd, footprint->runtime.dir_fd, plan->name);

	if (r < 0) {
		errno = -r;
		warn("cannot remove everything of machine '%s'", plan->name);
	}
	runtime_release(&footprint->runtime);
	auto_close_fd(&footprint->cgroup_fd);
}
