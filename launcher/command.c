/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "auto.h"
#include "payload.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What a shell says of a command that it cannot execute, or find. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127
/* All that a message can hold. */
#define STRINGS_MAX 4096

struct strings {
	char *argv[STRINGS_MAX + 1];
	char *env[STRINGS_MAX + 1];
};

/* Points into @word; false if it is not what it says. */
static bool parse(const struct run_word *word, size_t len, struct strings *ret)
{
	char *p = (char *)(uintptr_t)(word + 1), *end = (char *)(uintptr_t)word + len;
	size_t argc = 0, envc = 0;

	if (p >= end || end[-1] != '\0' || word->argc == 0)
		return false;
	for (; p < end; p += strlen(p) + 1) {
		if (argc < word->argc && argc < STRINGS_MAX)
			ret->argv[argc++] = p;
		else if (envc < STRINGS_MAX)
			ret->env[envc++] = p;
	}
	ret->argv[argc] = NULL;
	ret->env[envc] = NULL;
	return argc == word->argc;
}

/* Where PID 1 is: systemd's own is a leaf, and only a leaf may have processes. */
static int open_leaf(int payload_fd)
{
	int fd = openat(payload_fd, "init.scope", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? fcntl(payload_fd, F_DUPFD_CLOEXEC, 3) : fd;
}

/* On the machine's own devpts, through the mount that we made, not through a path of its. */
static int open_terminal(int devpts_fd, int *ret_master, int *ret_slave)
{
	auto_close int master = openat(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	*ret_slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_slave < 0)
		return -errno;
	*ret_master = fd_steal(&master);
	return 0;
}

static int enter(const struct pid1 *pid1)
{
	/* A fork of ours must not be looked into from the other side. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    setns(pid1->pidfd, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
			       CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return -errno;
	return payload_become_ordinary();
}

static int take_streams(const int streams[static 3], bool terminal)
{
	if (setsid() < 0)
		return -errno;
	for (int i = 0; i <= 2; i++) {
		if (dup2(streams[i], i) < 0)
			return -errno;
	}
	return terminal && ioctl(0, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

/* The child: where it is when it fails, and what for, its streams say. */
_Noreturn static void become(const struct pid1 *pid1, const struct strings *strings,
			     const int streams[static 3], bool terminal)
{
	const char *home;
	static char name[] = "nixuserctl";	/* who reads it thinks of that one */
	int r = take_streams(streams, terminal);

	program_invocation_short_name = name;
	if (r == 0)
		r = enter(pid1);
	if (r < 0) {
		errno = -r;
		warn("cannot enter the machine");
		_exit(EXIT_NOT_EXECUTABLE);
	}
	environ = (char **)(uintptr_t)strings->env;
	home = getenv("HOME");
	(void)umask(0022);	/* always succeeds */
	if (!home || chdir(home) < 0)
		(void)!chdir("/");	/* it is where we are */
	(void)close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);	/* all are already */
	execvp(strings->argv[0], strings->argv);
	r = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	warn("cannot execute %s", strings->argv[0]);
	_exit(r);
}

static int clone_command(const struct machine *machine, const struct pid1 *pid1,
			 const struct strings *strings, const int streams[static 3], bool terminal,
			 struct command *ret)
{
	auto_close int leaf_fd = open_leaf(machine->payload_fd);
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
		.pidfd = (uintptr_t)&ret->pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned int)leaf_fd,
	};

	/* Only our children are meant; we stay where we are. */
	if (leaf_fd < 0 || setns(pid1->pidfd, CLONE_NEWPID) < 0)
		return -errno;
	ret->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (ret->pid == 0)
		become(pid1, strings, streams, terminal);
	return ret->pid < 0 ? -errno : 0;
}

int command_start(const struct machine *machine, const struct pid1 *pid1,
		  const struct run_word *word, size_t len, const int pipes[static 3],
		  struct commands *commands, int *ret_master)
{
	static struct strings strings;	/* too large for a stack; one at a time */
	struct command command = {.id = word->id, .pidfd = -1};
	auto_close int master = -1, slave = -1;
	int r;

	if (!parse(word, len, &strings))
		return -EPROTO;
	if (commands->n == COMMANDS_MAX)
		return -EMFILE;
	if (word->terminal) {
		r = open_terminal(machine->ns_fds[WORD_DEVPTS_FD], &master, &slave);
		if (r < 0)
			return r;
	}
	r = clone_command(machine, pid1, &strings,
			  word->terminal ? (int[]){slave, slave, slave} : pipes, word->terminal,
			  &command);
	if (r < 0)
		return r;
	*ret_master = fd_steal(&master);
	commands->list[commands->n] = command;
	return (int)commands->n++;
}

void command_reap(struct commands *commands, size_t i, siginfo_t *ret_end)
{
	struct command *command = &commands->list[i];

	while (waitid(P_PID, (id_t)command->pid, ret_end, WEXITED) < 0 && errno == EINTR)
		;
	auto_close_fd(&command->pidfd);
	*command = commands->list[--commands->n];
}
