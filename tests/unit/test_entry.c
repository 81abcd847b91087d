/* SPDX-License-Identifier: MIT */
/*
 * entry_clean() closes what Check itself needs, so each test forks once more:
 * the child makes a mess, cleans, and writes what is left into shared memory.
 */
#include "unit.h"

#include "entry.h"

#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#define FDS 256	/* as far as the tests look, and open */

struct seen {
	int result;			/* of entry_clean() */
	int fd_flags[FDS];		/* F_GETFD; -1 if closed */
	struct stat std[3];
	ino_t mess_ino;			/* of what the mess had at 0, 1 and 2 */
	unsigned int mask;
	char cwd[64];
	char env[4][64];
	int env_count;
	int dumpable;
	struct rlimit core;
	int blocked;			/* how many signals */
	sighandler_t actions[NSIG];
	struct itimerval timers[3];
	int child_status;		/* as waitpid(2) saw it after the cleaning */
};

/* Regular, so that it cannot be taken for /dev/null. */
static int make_file(struct seen *seen)
{
	int fd = memfd_create("mess", 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		_exit(10);
	seen->mess_ino = st.st_ino;
	return fd;
}

static void fill_fds(struct seen *seen)
{
	int fd = make_file(seen);

	for (int to = 0; to < FDS; to++) {
		if (to != fd && dup2(fd, to) < 0)
			_exit(11);
	}
}

static void observe_fds(struct seen *seen)
{
	for (int fd = 0; fd < FDS; fd++)
		seen->fd_flags[fd] = fcntl(fd, F_GETFD);
	for (int fd = 0; fd <= 2; fd++)
		(void)fstat(fd, &seen->std[fd]);	/* of a closed one all is zero */
}

static void observe_signals(struct seen *seen)
{
	sigset_t set;

	(void)sigprocmask(SIG_BLOCK, NULL, &set);
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction action = {.sa_handler = SIG_DFL};

		(void)sigaction(sig, NULL, &action);	/* EINVAL: one that libc keeps */
		seen->actions[sig] = action.sa_handler;
		seen->blocked += sigismember(&set, sig) == 1;
	}
	(void)getitimer(ITIMER_REAL, &seen->timers[0]);
	(void)getitimer(ITIMER_VIRTUAL, &seen->timers[1]);
	(void)getitimer(ITIMER_PROF, &seen->timers[2]);
}

static void observe_environment(struct seen *seen)
{
	for (char **p = environ; *p; p++) {
		if (seen->env_count < ROWS(seen->env))
			(void)snprintf(seen->env[seen->env_count], sizeof(seen->env[0]), "%s", *p);
		seen->env_count++;
	}
	if (!getcwd(seen->cwd, sizeof(seen->cwd)))
		_exit(12);
	seen->mask = umask(0);
	seen->dumpable = prctl(PR_GET_DUMPABLE);
	(void)getrlimit(RLIMIT_CORE, &seen->core);
}

/* An ignored SIGCHLD would make this ECHILD. */
static void observe_child(struct seen *seen)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(7);
	if (waitpid(pid, &seen->child_status, 0) != pid)
		seen->child_status = -errno;
}

static const struct seen *clean_after(void (*mess)(struct seen *seen, int i), int i, int last_fd)
{
	struct seen *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	ck_assert_ptr_ne(seen, MAP_FAILED);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		mess(seen, i);
		seen->result = entry_clean(last_fd);
		if (seen->result < 0)
			_exit(0);
		observe_fds(seen);
		observe_signals(seen);
		observe_environment(seen);
		observe_child(seen);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
	return seen;
}

static void close_some(struct seen *seen, int i)
{
	fill_fds(seen);
	for (int fd = 0; fd <= 2; fd++) {
		if (i >> fd & 1)
			(void)close(fd);
	}
}

/* Attack 14: fds 0 to 2 closed in all eight combinations. */
START_TEST(entry_clean_fills_the_standard_fds)
{
	const struct seen *seen = clean_after(close_some, _i, 3);

	ck_assert_int_eq(seen->result, 0);
	for (int fd = 0; fd <= 2; fd++) {
		const struct stat *st = &seen->std[fd];

		ck_assert_int_eq(seen->fd_flags[fd], 0);	/* open, and not close-on-exec */
		if (_i >> fd & 1)
			ck_assert(S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
		else
			ck_assert(S_ISREG(st->st_mode) && st->st_ino == seen->mess_ino);
	}
	for (int fd = 3; fd < FDS; fd++)
		ck_assert_int_eq(seen->fd_flags[fd] >= 0, fd == 3);
}
END_TEST

static void open_all(struct seen *seen, int i)
{
	(void)i;
	fill_fds(seen);
}

static const int last[] = {2, 3, 4, 5, 10, 100, FDS - 2, FDS - 1};

/* Attack 18. */
START_TEST(entry_clean_closes_all_above_the_last)
{
	const struct seen *seen = clean_after(open_all, 0, last[_i]);

	ck_assert_int_eq(seen->result, 0);
	for (int fd = 3; fd < FDS; fd++)
		ck_assert_msg((seen->fd_flags[fd] >= 0) == (fd <= last[_i]), "fd %d", fd);
}
END_TEST

static void lower_limit(struct seen *seen, int i)
{
	const struct rlimit limit = {(rlim_t)i, (rlim_t)i};

	fill_fds(seen);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(13);
}

/* Attack 21: a descriptor may be above the limit, which bounds new ones only. */
START_TEST(entry_clean_closes_above_the_limit)
{
	const struct seen *seen = clean_after(lower_limit, _i, 3);

	ck_assert_int_eq(seen->result, 0);
	for (int fd = 3; fd < FDS; fd++)
		ck_assert_msg((seen->fd_flags[fd] >= 0) == (fd == 3), "fd %d", fd);
}
END_TEST

static void lower_limit_and_close(struct seen *seen, int i)
{
	lower_limit(seen, i);
	(void)close(2);
}

START_TEST(entry_clean_fails_if_it_cannot_fill)
{
	ck_assert_int_lt(clean_after(lower_limit_and_close, _i, 2)->result, 0);
}
END_TEST

static void replace_null(struct seen *seen, int i)
{
	(void)i;
	fill_fds(seen);
	if (unit_unshare() < 0 || mount("/dev/zero", "/dev/null", NULL, MS_BIND, NULL) < 0)
		_exit(14);
	(void)close(1);
}

START_TEST(entry_clean_refuses_another_dev_null)
{
	ck_assert_int_eq(clean_after(replace_null, 0, 2)->result, -ENODEV);
}
END_TEST

static void block_all(struct seen *seen, int i)
{
	sigset_t all;

	(void)seen;
	for (int sig = 1; sig < NSIG && i == 1; sig++)
		(void)signal(sig, SIG_IGN);	/* EINVAL: one that cannot be ignored */
	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
}

/* Attack 23: blocked SIGALRM and SIGCHLD (0), all of them ignored too (1). */
START_TEST(entry_clean_resets_signals)
{
	const struct seen *seen = clean_after(block_all, _i, 2);

	ck_assert_int_eq(seen->result, 0);
	ck_assert_int_eq(seen->blocked, 0);
	for (int sig = 1; sig < NSIG; sig++) {
		if (sig == SIGPIPE)
			ck_assert(seen->actions[sig] == SIG_IGN);
		else
			ck_assert_msg(seen->actions[sig] == SIG_DFL, "signal %d", sig);
	}
	ck_assert_int_eq(seen->child_status, 7 << 8);
}
END_TEST

static void start_timers(struct seen *seen, int i)
{
	const struct itimerval hour = {{3600, 0}, {3600, 0}};

	(void)seen;
	(void)i;
	if (setitimer(ITIMER_REAL, &hour, NULL) < 0 || setitimer(ITIMER_VIRTUAL, &hour, NULL) < 0 ||
	    setitimer(ITIMER_PROF, &hour, NULL) < 0)
		_exit(15);
}

/* What is left is the watchdog: once, in 30 seconds at most. */
START_TEST(entry_clean_stops_timers)
{
	const struct seen *seen = clean_after(start_timers, 0, 2);

	ck_assert_int_eq(seen->result, 0);
	ck_assert_int_gt(seen->timers[0].it_value.tv_sec, 20);
	ck_assert_int_le(seen->timers[0].it_value.tv_sec, 30);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(seen->timers[i].it_interval.tv_sec, 0);
		ck_assert_int_eq(seen->timers[i].it_interval.tv_usec, 0);
	}
	for (int i = 1; i < 3; i++) {
		ck_assert_int_eq(seen->timers[i].it_value.tv_sec, 0);
		ck_assert_int_eq(seen->timers[i].it_value.tv_usec, 0);
	}
}
END_TEST

static void pollute(struct seen *seen, int i)
{
	struct rlimit core;

	(void)seen;
	(void)umask((mode_t)i);
	if (getrlimit(RLIMIT_CORE, &core) < 0)
		_exit(16);
	core.rlim_cur = core.rlim_max;
	if (setrlimit(RLIMIT_CORE, &core) < 0 || chdir("/proc/self") < 0 ||
	    setenv("LD_PRELOAD", "/tmp/x.so", 1) < 0 || setenv("PATH", "/tmp", 1) < 0 ||
	    setenv("GLIBC_TUNABLES", "x", 1) < 0 || setenv("LC_ALL", "xx_XX", 1) < 0 ||
	    prctl(PR_SET_DUMPABLE, 1) < 0)
		_exit(16);
}

static const int masks[] = {0, 0022, 0777};

/* Attacks 5 and 27. */
START_TEST(entry_clean_makes_all_else_constant)
{
	const struct seen *seen = clean_after(pollute, masks[_i], 2);

	ck_assert_int_eq(seen->result, 0);
	ck_assert_uint_eq(seen->mask, 077);
	ck_assert_str_eq(seen->cwd, "/");
	ck_assert_int_eq(seen->dumpable, 0);
	ck_assert_uint_eq(seen->core.rlim_cur, 0);
	ck_assert_int_eq(seen->env_count, 2);
	ck_assert_str_eq(seen->env[0], "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	ck_assert_str_eq(seen->env[1], "LC_ALL=C");
}
END_TEST

static void drop_environment(struct seen *seen, int i)
{
	(void)seen;
	(void)i;
	environ = NULL;
}

START_TEST(entry_clean_bears_no_environment)
{
	const struct seen *seen = clean_after(drop_environment, 0, 2);

	ck_assert_int_eq(seen->result, 0);
	ck_assert_int_eq(seen->env_count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("entry");
	TCase *fds = tcase_create("fds"), *signals = tcase_create("signals");
	TCase *rest = tcase_create("rest");

	tcase_add_loop_test(fds, entry_clean_fills_the_standard_fds, 0, 8);
	tcase_add_loop_test(fds, entry_clean_closes_all_above_the_last, 0, ROWS(last));
	tcase_add_loop_test(fds, entry_clean_closes_above_the_limit, 0, 5);
	tcase_add_loop_test(fds, entry_clean_fails_if_it_cannot_fill, 0, 3);
	if (unit_have_namespaces("entry"))
		tcase_add_test(fds, entry_clean_refuses_another_dev_null);
	suite_add_tcase(suite, fds);

	tcase_add_loop_test(signals, entry_clean_resets_signals, 0, 2);
	tcase_add_test(signals, entry_clean_stops_timers);
	suite_add_tcase(suite, signals);

	tcase_add_loop_test(rest, entry_clean_makes_all_else_constant, 0, ROWS(masks));
	tcase_add_test(rest, entry_clean_bears_no_environment);
	suite_add_tcase(suite, rest);
	return unit_run(suite);
}
