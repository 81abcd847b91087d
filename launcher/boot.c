/* SPDX-License-Identifier: MIT */
/*
 * nixuser-boot: the supervisor
 *
 *  1. Which closure, and can it boot? Open it: closure.c.
 *  2. Who is this machine? A name, an id, a locked runtime directory: machine.c.
 *  3. Start nixuser-helper. While it works: ask the daemon for a temporary root
 *     (pin.c), find or make a delegated cgroup (cgroup.c, scope.c).
 *  4. Receive the console; send nixuser-launch, which the helper's child has
 *     become, the plan.
 *  5. Carry the console until the machine ends: supervise.c, terminal.c.
 *  6. Leave nothing behind, and return its exit status.
 *
 * It is the caller's own process: no capability, no privilege, in the host's
 * namespaces. All it can do to the machine any process of the caller's can.
 */
#include "auto.h"
#include "cgroup.h"
#include "cleanup.h"
#include "closure.h"
#include "config.h"
#include "dryrun.h"
#include "machine.h"
#include "options.h"
#include "pin.h"
#include "plan.h"
#include "scope.h"
#include "start.h"
#include "supervise.h"
#include "terminal.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <vis.h>

/* What of the machine is on the host, and must not stay. */
struct traces {
	struct runtime runtime;
	int cgroup_fd;
};

/* A path as typed, made safe for a terminal. */
static const char *safe(const char *path)
{
	static char buf[4 * PATH_MAX + 1];

	if (strlen(path) >= PATH_MAX)
		return "(a very long path)";
	(void)strnvis(buf, path, sizeof(buf), VIS_CSTYLE | VIS_NL | VIS_TAB);	/* sized for it */
	return buf;
}

_Noreturn static void fail(int status, int r, const char *what)
{
	errno = -r;
	err(status, "cannot %s", what);
}

static void locate(const struct options *options, struct closure *closure)
{
	enum closure_failure failure;
	int r = closure_locate(options->closure, closure);

	if (r == -ENAMETOOLONG)
		errx(EX_DATAERR, "%s: the path is too long", safe(options->closure));
	if (r < 0) {
		/* One judge of links, with one set of words. */
		int status = start_check(closure->link);

		if (status == EX_UNAVAILABLE)
			fail(status, -errno, "run " HELPER_PATH);
		exit(status == EX_OK ? EX_DATAERR : status);
	}
	failure = closure_open(closure);
	if (failure != CLOSURE_OK) {
		int status = start_check(closure->link);

		if (status == EX_OK)
			errx(EX_DATAERR, "%s: %s", safe(options->closure),
			     closure_failure_text(failure));
		exit(status);
	}
	if (!closure_has_console(closure) && !options->quiet)
		warnx("no login prompt on the console: the closure masks console-getty.service; "
		      "set console.enable = true");
}

static void identify(const struct options *options, const struct closure *closure,
		     struct plan *plan)
{
	char name[NAME_MAX + 1];

	if (options->name)
		(void)strlcpy(name, options->name, sizeof(name));	/* valid, so it fits */
	else
		closure_name(closure, name, sizeof(name));
	if (!machine_name_is_valid(name))
		errx(EX_USAGE, "'%s' cannot be the name of a machine; give one with --name", safe(name));
	(void)strlcpy(plan->name, name, sizeof(plan->name));
	machine_id(plan->name, plan->machine_id);
}

/* The environment of PID 1: Container Interface, "Environment Variables". */
static void make_environment(struct plan *plan, const struct options *options)
{
	static char uuid[sizeof("container_uuid=") + PLAN_ID_SIZE];
	static char term[64];
	const char *t = getenv("TERM");
	size_t n = 0;

	(void)snprintf(uuid, sizeof(uuid), "container_uuid=%s", plan->machine_id);
	plan->env[n++] = (char[]){"container=nixuser-boot"};
	plan->env[n++] = uuid;
	plan->env[n++] = (char[]){"NOTIFY_SOCKET=/run/host/notify"};
	if (t && strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") ==
		 strlen(t) && (size_t)snprintf(term, sizeof(term), "TERM=%s", t) < sizeof(term))
		plan->env[n++] = term;
	plan->env[n] = NULL;
	for (n = 0; options->args[n]; n++) {
		if (n == PLAN_STRINGS_MAX)
			errx(EX_USAGE, "more than %d arguments for init", PLAN_STRINGS_MAX);
		plan->args[n] = options->args[n];
	}
	plan->args[n] = NULL;
}

static void acquire(struct plan *plan, struct traces *traces)
{
	pid_t pid = 0;

	switch (runtime_acquire(plan->name, &traces->runtime, &pid)) {
	case RUNTIME_OK:
		(void)strlcpy(plan->runtime_path, traces->runtime.path, sizeof(plan->runtime_path));
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

static int warn_status(int status, int r, const char *what)
{
	errno = -r;
	warn("cannot %s", what);
	return status;
}

/*
 * A cgroup that systemd has delegated; else a scope of our own; else, where
 * there is no user manager, one that we may write.
 *
 * Return: a descriptor, or -EX_... when it has said what is missing.
 */
static int find_cgroup(const struct plan *plan)
{
	auto_close int own_fd = cgroup_open_own();
	int r;

	if (own_fd < 0)
		return -warn_status(EX_UNAVAILABLE, own_fd,
				    "find our cgroup: cgroup v2 must be mounted on /sys/fs/cgroup");
	if (!cgroup_is_delegated(own_fd) && scope_is_possible()) {
		r = scope_enter(plan->name);
		if (r < 0 && !cgroup_is_writable(own_fd))
			return -warn_status(EX_UNAVAILABLE, r,
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

static int make_cgroup(struct plan *plan, struct traces *traces)
{
	auto_close int own_fd = find_cgroup(plan);

	if (own_fd < 0)
		return -own_fd;
	traces->cgroup_fd = cgroup_make(own_fd, plan->name);
	if (traces->cgroup_fd < 0)
		return warn_status(EX_OSERR, traces->cgroup_fd, "make the machine's cgroups");
	return EX_OK;
}

/* In a child that is root of the outer namespace: what is there is not the caller's. */
static void clean_as_root(const struct start *start, const struct traces *traces)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(setns(start->userns_fd, CLONE_NEWUSER) == 0 &&
		      cleanup_payload(traces->cgroup_fd, traces->runtime.dir_fd) == 0 ? 0 : 1);
}

static void clean(const struct traces *traces, const struct plan *plan)
{
	int r = cleanup_machine(traces->cgroup_fd, traces->runtime.dir_fd, plan->name);

	if (r < 0) {
		errno = -r;
		warn("cannot remove everything of machine '%s'", plan->name);
	}
}

static int make_notify_socket(void)
{
	const int on = 1;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		fail(EX_OSERR, -errno, "make the notification socket");
	return fd;
}

static int check_pin(int pin_fd, const struct closure *closure)
{
	int r = pin_finish(pin_fd);

	if (r == -ENOENT)
		warnx("%s is not valid in Nix's database; 'nix-store --verify' the store",
		      closure->toplevel);
	else if (r < 0) {
		errno = -r;
		warn("the nix daemon gave no temporary root for the closure");
	}
	return r;
}

/* Stages 4 to 6, when the namespace is there. Returns the exit status. */
static int run(const struct options *options, struct plan *plan, const struct traces *traces,
	       const struct start *start)
{
	struct terminal terminal = {.master_fd = -1};
	struct supervision supervision = {
		.options = options, .name = plan->name, .terminal = &terminal,
		.sock = start->sock, .notify_fd = make_notify_socket(),
	};
	const int fds[PLAN_FDS] = {
		[PLAN_CGROUP_FD] = traces->cgroup_fd,
		[PLAN_RUNTIME_FD] = traces->runtime.dir_fd,
		[PLAN_NOTIFY_FD] = supervision.notify_fd,
	};
	enum supervision_end end = SUPERVISION_ABANDONED;
	int status = EX_OSERR;
	int r = terminal_open(options->console, start->master_fd, &terminal);

	if (r >= 0)
		r = plan_send(start->sock, plan, fds);
	if (r >= 0 && terminal.interactive && !options->quiet)
		fprintf(stderr, "Booting %s. Press ^] three times within a second to kill it.\r\n",
			plan->name);
	if (r >= 0)
		r = supervise(&supervision, &status, &end);
	terminal_close(&terminal);
	if (r < 0) {
		errno = -r;
		warn(r == -ENOTTY ? "--console=interactive needs a terminal" : "cannot run the machine");
	}
	(void)close(start->sock);	/* if it is still there, nixuser-launch ends now */
	if (end == SUPERVISION_ABANDONED) {
		int reaped = start_reap();

		status = r < 0 ? (r == -ENOTTY ? EX_USAGE : EX_OSERR) : reaped;
		clean_as_root(start, traces);
	}
	(void)start_reap();
	return status;
}

int main(int argc, char **argv)
{
	struct traces traces = {.cgroup_fd = -1};
	struct plan plan = {0};
	struct options options;
	struct closure closure;
	struct start start;
	int sock, pin_fd, r, status;

	options_parse(argc, argv, &options);
	locate(&options, &closure);
	identify(&options, &closure, &plan);
	make_environment(&plan, &options);
	if (options.dry_run) {
		status = start_check(closure.link);
		if (status == EX_OK)
			dryrun_print(&closure, &plan);
		return status;
	}

	supervise_block_signals();
	r = start_helper(closure.link, &sock);
	if (r < 0)
		fail(EX_UNAVAILABLE, r, "run " HELPER_PATH "; is nixuser-boot installed?");
	r = pin_start(closure.toplevel, &pin_fd);
	if (r < 0)
		fail(EX_UNAVAILABLE, r, "reach the nix daemon");
	acquire(&plan, &traces);
	status = make_cgroup(&plan, &traces);

	r = start_receive(sock, &start);
	if (r < 0)
		status = start_reap();
	else if (status == EX_OK && check_pin(pin_fd, &closure) < 0)
		status = EX_UNAVAILABLE;
	else if (status == EX_OK)
		status = run(&options, &plan, &traces, &start);
	clean(&traces, &plan);
	return status;
}
