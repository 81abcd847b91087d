/* SPDX-License-Identifier: MIT */
#include "ownroot.h"

#include "cleanup.h"
#include "start.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* Its output is the path, which nobody asked for; its complaints are for the user. */
_Noreturn static void run_nix_store(const char *toplevel, const char *link)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)dup2(fd, STDOUT_FILENO);	/* failing, it only prints a path */
	execlp("nix-store", "nix-store", "--realise", toplevel, "--add-root", link, (char *)NULL);
	warn("cannot run nix-store to make a gc root; install Nix, or name a 'result' link");
	_exit(EX_UNAVAILABLE);
}

int ownroot_make(const struct runtime *runtime, struct closure *closure)
{
	int len = snprintf(closure->link, sizeof(closure->link), "%s/" CLEANUP_ROOT, runtime->path);
	int status;
	pid_t pid;

	if (len < 0 || (size_t)len >= sizeof(closure->link))
		return -ENAMETOOLONG;
	/* nix-store would not replace one that a crash has left. */
	(void)unlinkat(runtime->dir_fd, CLEANUP_ROOT, 0);
	pid = fork();
	if (pid == 0)
		run_nix_store(closure->toplevel, closure->link);
	if (pid < 0)
		return -errno;
	status = start_reap(&pid);
	return status == EX_OK ? 0 : -EIO;
}
