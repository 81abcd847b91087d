/* SPDX-License-Identifier: MIT */
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

/* Longer than the lookup may take, so that a hang never keeps capabilities. */
#define WATCHDOG_SECONDS 30

static char *constant_environment[] = {
	(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
	(char[]){"LC_ALL=C"},
	NULL,
};

/*
 * A closed fd 0, 1 or 2 would be handed out for the next open, and messages
 * would then be written into it: into the uid_map, say.
 */
static int fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", O_RDWR) != fd)	/* not close-on-exec, by purpose */
			return -EBADF;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			return -ENODEV;
	}
	return 0;
}

/*
 * An ignored SIGCHLD loses the exit status of children, a blocked SIGALRM the
 * watchdog, and a running interval timer ends us at a time of the caller's choice.
 */
static int reset_signals(void)
{
	struct itimerval never = {0};
	sigset_t none;

	/* Timers first: their signals may be ignored until the loop below. */
	if (setitimer(ITIMER_REAL, &never, NULL) < 0 ||
	    setitimer(ITIMER_VIRTUAL, &never, NULL) < 0 ||
	    setitimer(ITIMER_PROF, &never, NULL) < 0)
		return -errno;
	for (int sig = 1; sig < NSIG; sig++) {
		/* EINVAL for SIGKILL, SIGSTOP and the two that libc keeps. */
		if (signal(sig, sig == SIGPIPE ? SIG_IGN : SIG_DFL) == SIG_ERR && errno != EINVAL)
			return -errno;
	}
	(void)alarm(WATCHDOG_SECONDS);	/* cannot fail; what was left is of no use */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

int entry_clean(int last_fd)
{
	const struct rlimit no_core = {0, 0};
	int r;

	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	r = fill_standard_fds();
	if (r < 0)
		return r;
	if (close_range((unsigned int)last_fd + 1, UINT_MAX, 0) < 0)
		return -errno;
	environ = constant_environment;
	(void)umask(077);	/* always succeeds */
	if (chdir("/") < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
		return -errno;
	return reset_signals();
}
