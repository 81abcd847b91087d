/* SPDX-License-Identifier: MIT */
#include "lookup.h"

#include "auto.h"
#include "caps.h"
#include "gcroot.h"
#include "subid.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_MAGIC UINT32_C(0x4e6c6b31)
#define LOOKUP_TIMEOUT_MS 10000

static enum refusal find_ranges(struct caller caller, struct lookup *ret)
{
	const struct passwd *pw = getpwuid(caller.uid);
	char name[256];	/* LOGIN_NAME_MAX; getpwnam(3) below reuses *pw */
	struct subid_user user = {
		.name = name, .uid = caller.uid,
		.self = {[SUBID_UID] = caller.uid, [SUBID_GID] = caller.gid},
	};

	if (!pw || strlcpy(name, pw->pw_name, sizeof(name)) >= sizeof(name))
		return REFUSED_CALLER_UNKNOWN;
	return subid_find(&user, ret->ranges);
}

/*
 * Should: hold no capability and be undumpable (inherited) before the first
 * byte of @link is looked at.
 * Mustn't: say anything but one struct lookup.
 */
_Noreturn static void run_child(int fd, pid_t parent, const char *link, struct caller caller)
{
	struct lookup found = {.magic = LOOKUP_MAGIC};
	enum refusal r;

	if (caps_drop() < 0)
		_exit(1);
	/* If the parent is gone already, the signal never comes. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	r = gcroot_check(link, caller.uid, found.base);
	if (r == REFUSED_NOT)
		r = find_ranges(caller, &found);
	found.refusal = (uint32_t)r;
	_exit(write(fd, &found, sizeof(found)) == (ssize_t)sizeof(found) ? 0 : 1);
}

/* The whole record or nothing; the pipe takes it in one piece (PIPE_BUF). */
static enum refusal read_answer(int fd, struct lookup *ret)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;
	int r;

	r = poll(&p, 1, LOOKUP_TIMEOUT_MS);
	if (r == 0)
		return REFUSED_LOOKUP_SLOW;
	if (r < 0)
		return REFUSED_LOOKUP_DIED;
	n = read(fd, ret, sizeof(*ret));
	return n == (ssize_t)sizeof(*ret) ? REFUSED_NOT : REFUSED_LOOKUP_DIED;
}

/* Nothing in the record is taken for granted: libsubid and NSS ran over there. */
static enum refusal check_answer(const struct lookup *found, struct caller caller)
{
	if (found->magic != LOOKUP_MAGIC || found->refusal >= REFUSED_COUNT)
		return REFUSED_LOOKUP_GARBLED;
	if (found->refusal != REFUSED_NOT)
		return (enum refusal)found->refusal;
	if (!memchr(found->base, '\0', sizeof(found->base)) ||
	    storepath_check_base(found->base) != REFUSED_NOT)
		return REFUSED_LOOKUP_GARBLED;
	if (found->ranges[SUBID_UID].count != RANGE_COUNT || found->ranges[SUBID_GID].count != RANGE_COUNT ||
	    range_check(found->ranges[SUBID_UID], caller.uid) != REFUSED_NOT ||
	    range_check(found->ranges[SUBID_GID], caller.gid) != REFUSED_NOT)
		return REFUSED_LOOKUP_GARBLED;
	return REFUSED_NOT;
}

int lookup_start(const char *link, struct caller caller, struct lookup_child *ret)
{
	pid_t self = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_child(fds[1], self, link, caller);
	if (pid < 0) {
		int r = -errno;

		(void)close(fds[0]);
		(void)close(fds[1]);
		return r;
	}
	(void)close(fds[1]);	/* so that its death reads as EOF */
	*ret = (struct lookup_child){.pid = pid, .answer_fd = fds[0]};
	return 0;
}

enum refusal lookup_finish(struct lookup_child *child, struct caller caller, struct lookup *ret)
{
	struct lookup found = {0};
	enum refusal r = read_answer(child->answer_fd, &found);

	auto_close_fd(&child->answer_fd);
	(void)kill(child->pid, SIGKILL);	/* ours and not reaped: the pid cannot be another's */
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r == REFUSED_NOT)
		r = check_answer(&found, caller);
	if (r == REFUSED_NOT)
		*ret = found;
	return r;
}
