/* SPDX-License-Identifier: MIT */
#include "ownroot.h"

#include "auto.h"
#include "start.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

static const char *home(void)
{
	const char *dir = getenv("HOME");
	const struct passwd *pw = dir ? NULL : getpwuid(getuid());

	return dir ? dir : pw ? pw->pw_dir : "";
}

/* XDG Base Directory Specification. */
static int state_home(char *ret, size_t size)
{
	const char *dir = getenv("XDG_STATE_HOME");
	int len = dir && dir[0] == '/' ? snprintf(ret, size, "%s", dir)
				       : snprintf(ret, size, "%s/.local/state", home());

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

/* As mkdir -p, with 0700 for what is new. */
static int make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		if (r < 0)
			return r;
	}
	return 0;
}

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

int ownroot_make(const char *name, struct closure *closure)
{
	char state[PATH_MAX];
	pid_t pid;
	int r, len;

	r = state_home(state, sizeof(state));
	if (r < 0)
		return r;
	len = snprintf(closure->link, sizeof(closure->link), "%s/nixuser/%s/system", state, name);
	if (len < 0 || (size_t)len >= sizeof(closure->link))
		return -ENAMETOOLONG;
	r = make_parents(closure->link);
	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		run_nix_store(closure->toplevel, closure->link);
	if (pid < 0)
		return -errno;
	return start_reap(pid) == EX_OK ? 0 : -EIO;
}

void ownroot_remove(const struct closure *closure)
{
	char path[PATH_MAX];

	(void)unlink(closure->link);	/* what is left says so at the next start */
	(void)strlcpy(path, closure->link, sizeof(path));
	(void)rmdir(dirname(path));
	(void)rmdir(dirname(path));
}
