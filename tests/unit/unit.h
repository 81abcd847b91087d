/* SPDX-License-Identifier: MIT */
/* What the unit tests share: a runner, and namespaces of their own. */
/* Used by: tests/unit. Privilege: none; the namespaces are made without any. */
#pragma once

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* The end of a tcase_add_loop_test() over a table. */
#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* Runs one suite; the exit status of main(). Check's closing line comes last. */
static inline int unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	/* The tests change their process for good: never without a fork. */
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline int unit_write(const char *path, const void *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0)
		r = -errno;
	else if ((size_t)n != len)
		r = -EIO;
	(void)close(fd);
	return r;
}

static inline int unit_write_text(const char *path, const char *text)
{
	return unit_write(path, text, strlen(text));
}

/*
 * A user and mount namespace of the test's own. Every id keeps its number, so
 * that root stays root and anybody else who he is.
 */
static inline int unit_unshare(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char uid_map[32], gid_map[32];
	int r;

	(void)snprintf(uid_map, sizeof(uid_map), "%u %u 1\n", uid, uid);
	(void)snprintf(gid_map, sizeof(gid_map), "%u %u 1\n", gid, gid);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	r = unit_write_text("/proc/self/setgroups", "deny");
	if (r == 0)
		r = unit_write_text("/proc/self/uid_map", uid_map);
	if (r == 0)
		r = unit_write_text("/proc/self/gid_map", gid_map);
	if (r < 0)
		return r;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/*
 * May this user have namespaces here, and mount in them? If not, @name's tests
 * that need them are not added: Check's count shows it and this line says why.
 * With UNIT_NEED_ALL in the environment (CI) they are, and fail.
 */
static inline bool unit_have_namespaces(const char *name)
{
	int status = 0, r;
	pid_t pid = fork();

	if (pid == 0) {
		r = unit_unshare();
		if (r == 0 && mount("none", "/etc", "tmpfs", 0, NULL) < 0)
			r = -errno;
		_exit(-r);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		status = 0xff << 8;
	r = WEXITSTATUS(status);
	if (r != 0)
		fprintf(stderr, "test_%s: left out what needs a user namespace: %s\n", name,
			strerror(r));
	return r == 0 || getenv("UNIT_NEED_ALL");
}
