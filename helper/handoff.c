/* SPDX-License-Identifier: MIT */
#include "handoff.h"

#include "fdpass.h"
#include "storepath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <unistd.h>

int handoff(const struct console *console, const char *base)
{
	char toplevel[sizeof(STORE_DIR "/") + STOREPATH_BASE_SIZE];
	char *argv[] = {(char[]){"nixuser-launch"}, toplevel, NULL};
	char *env[] = {NULL};
	int fds[2] = {console->master_fd, -1};
	int r;

	(void)snprintf(toplevel, sizeof(toplevel), STORE_DIR "/%s", base);	/* sized for it */
	fds[1] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	if (fds[1] < 0)
		return -errno;
	r = fdpass_send(HANDOFF_SOCKET, "C", 1, fds, 2);
	if (r < 0)
		return r;
	if (console->devpts_fd != HANDOFF_DEVPTS && dup2(console->devpts_fd, HANDOFF_DEVPTS) < 0)
		return -errno;
	if (close_range(HANDOFF_DEVPTS + 1, UINT_MAX, 0) < 0)
		return -errno;
	/*
	 * A session of its own: the caller's ^C is for nixuser-boot, which ends
	 * the machine in order. EPERM cannot be: a fresh child leads no group.
	 */
	if (setsid() < 0)
		return -errno;
	execve(LAUNCH_PATH, argv, env);
	return -errno;
}
