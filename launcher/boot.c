/* SPDX-License-Identifier: MIT */
/*
 * nixuser-boot: the supervisor
 *
 *  1. Which closure, and can it boot? Open it: closure.c.
 *  2. Who is this machine? A name, an id, a locked runtime directory: machine.c.
 *  3. Start nixuser-helper and nixuser-launch: start.c. While they work: ask the
 *     daemon for a temporary root (pin.c), find or make a delegated cgroup
 *     (cgroup.c, scope.c).
 *  4. Receive the namespaces and the console from the helper; send nixuser-launch
 *     the plan.
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
#include "ownroot.h"
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

/* The exit status of one of our programs, as ours. */
static int translate(int status, const char *program)
{
	if (status != START_NOT_RUN)
		return status;
	warnx("cannot run %s; is nixuser-boot installed?", program);
	return EX_UNAVAILABLE;
}

/* One judge of links, with one set of words: what is wrong, nixuser-helper says. */
_Noreturn static void refuse_link(const struct closure *closure)
{
	int status = start_check(closure->link);

	if (status < 0)
		fail(EX_OSERR, status, "start nixuser-helper");
	if (status == EX_OK)
		errx(EX_DATAERR, "%s: the link changed while it was looked at; try again",
		     safe(closure->link));
	exit(translate(status, HELPER_PATH));
}

/* One complaint at a time: if nixuser-helper has one, it is said already. */
static void hear_helper(const struct start *start)
{
	int status = start ? translate(start_reap(start->helper_pid), HELPER_PATH) : EX_OK;

	if (status != EX_OK)
		exit(status);
}

static void locate(const struct options *options, struct closure *closure)
{
	int r = closure_locate(options->closure, closure);

	if (r == -ENAMETOOLONG)
		errx(EX_DATAERR, "%s: the path is too long", safe(options->closure));
	if (r < 0)
		refuse_link(closure);
}

/* A name that cannot be is refused before anything is started. */
static void check_name(const struct options *options, const struct closure *closure)
{
	const char *base = strrchr(closure->link, '/') + 1;

	if (!options->name && !closure->own_root && !machine_name_is_valid(base))
		errx(EX_USAGE, "'%s' cannot be the name of a machine; give one with --name", safe(base));
}

static void inspect(const struct options *options, const struct start *start,
		    struct closure *closure)
{
	enum closure_failure failure = closure_open(closure);

	if (failure != CLOSURE_OK) {
		hear_helper(start);
		errx(EX_DATAERR, "%s: %s", safe(options->closure), closure_failure_text(failure));
	}
	if (!closure_has_console(closure) && !options->quiet)
		warnx("no login prompt on the console: the closure masks console-getty.service; "
		      "set console.enable = true");
}

static void identify(const struct options *options, const struct closure *closure,
		     struct plan *plan)
{
	if (options->name)	/* valid, as is the link's, so it fits */
		(void)strlcpy(plan->name, options->name, sizeof(plan->name));
	else
		closure_name(closure, plan->name, sizeof(plan->name));
	machine_id(plan->name, plan->machine_id);
	(void)strlcpy(plan->toplevel, closure->toplevel, sizeof(plan->toplevel));	/* same size */
}

/* The environment of PID 1: Container Interface, "Environment Variables". */
static void make_environment(struct plan *plan, const struct options *options)
{
	/* They outlive this function, as the plan does. */
	static char container[] = "container=nixuser-boot";
	static char notify[] = "NOTIFY_SOCKET=/run/host/notify";
	static char uuid[sizeof("container_uuid=") + PLAN_ID_SIZE];
	static char term[64];
	const char *t = getenv("TERM");
	size_t n = 0;

	(void)snprintf(uuid, sizeof(uuid), "container_uuid=%s", plan->machine_id);
	plan->env[n++] = container;
	plan->env[n++] = uuid;
	plan->env[n++] = notify;
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

static void acquire(struct plan *plan, const struct start *start, struct traces *traces)
{
	pid_t pid = 0;
	enum runtime_failure failure = runtime_acquire(plan->name, &traces->runtime, &pid);
	int error = errno;

	(void)strlcpy(plan->runtime_path, traces->runtime.path, sizeof(plan->runtime_path));
	if (failure == RUNTIME_OK)
		return;
	hear_helper(start);
	errno = error;
	switch (failure) {
	case RUNTIME_OK:
	case RUNTIME_FAILED:
		break;
	case RUNTIME_NONE:
		errx(EX_UNAVAILABLE, "no runtime directory: XDG_RUNTIME_DIR must name a directory of "
		     "yours with mode 0700; log in through PAM, or 'loginctl enable-linger'");
	case RUNTIME_HELD:
		errx(EX_UNAVAILABLE, "machine '%s' runs already (nixuser-boot has pid %d); "
		     "give this one another --name", plan->name, pid);
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
static int find_cgroup(const struct plan *plan, const struct start *start)
{
	auto_close int own_fd = cgroup_open_own();
	int r;

	if (own_fd < 0)
		return -warn_status(EX_UNAVAILABLE, own_fd,
				    "find our cgroup: cgroup v2 must be mounted on /sys/fs/cgroup");
	if (!cgroup_is_delegated(own_fd) && scope_is_possible()) {
		r = scope_enter(plan->name, start->launch_pid);
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

static int make_cgroup(const struct plan *plan, const struct start *start, struct traces *traces)
{
	auto_close int own_fd = find_cgroup(plan, start);
	int r;

	if (own_fd < 0)
		return -own_fd;
	r = traces->cgroup_fd = cgroup_make(own_fd, plan->name);
	if (r >= 0 && cgroup_is_delegated(own_fd))
		r = cgroup_enter_supervisor(traces->cgroup_fd, start->launch_pid);
	return r < 0 ? warn_status(EX_OSERR, r, "make the machine's cgroups") : EX_OK;
}

/*
 * nixuser-launch was killed: in a child that is root of the outer namespace
 * instead, since what the machine leaves is not the caller's.
 */
static void clean_as_root(const struct namespaces *namespaces, const struct traces *traces)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* Room to work, if it was a lack of descriptors that brought us here. */
		for (int fd = 3; fd < 64; fd++) {
			if (fd != namespaces->userns_fd && fd != traces->cgroup_fd &&
			    fd != traces->runtime.dir_fd)
				(void)close(fd);
		}
		_exit(setns(namespaces->userns_fd, CLONE_NEWUSER) == 0 &&
		      cleanup_payload(traces->cgroup_fd, traces->runtime.dir_fd) == 0 ? 0 : 1);
	}
	if (pid > 0)
		(void)start_reap(pid);	/* clean() says what is left */
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
		return -errno;
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

static int print_plan(const struct closure *closure, const struct plan *plan)
{
	int status = start_check(closure->link);

	if (status < 0)
		fail(EX_OSERR, status, "start nixuser-helper");
	if (status == EX_OK)
		dryrun_print(closure, plan);
	return translate(status, HELPER_PATH);
}

/* A closed one would be handed out to something else, which is then "standard input". */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		(void)close(fd);
}

static int explain(const struct supervision *s, int r)
{
	if (r == -ENOTTY) {
		warnx("--console=interactive needs a terminal on standard input and output");
		return EX_USAGE;
	}
	errno = -r;
	warn("cannot run machine '%s'", s->name);
	return EX_OSERR;
}

/* Stages 4 and 5, when the namespaces are there. Returns the exit status. */
static int run(const struct options *options, const struct plan *plan, struct start *start,
	       const struct traces *traces, const struct namespaces *namespaces)
{
	struct terminal terminal = {.master_fd = -1};
	struct supervision supervision = {
		.options = options, .name = plan->name, .terminal = &terminal,
		.sock = start->launch_sock, .notify_fd = make_notify_socket(),
	};
	const int fds[PLAN_FDS] = {
		[PLAN_CGROUP_FD] = traces->cgroup_fd,
		[PLAN_RUNTIME_FD] = traces->runtime.dir_fd,
		[PLAN_NOTIFY_FD] = supervision.notify_fd,
		[PLAN_DEVPTS_FD] = namespaces->devpts_fd,
		[PLAN_USERNS_FD] = namespaces->userns_fd,
		[PLAN_MNTNS_FD] = namespaces->mntns_fd,
	};
	enum supervision_end end = SUPERVISION_ABANDONED;
	int status = EX_OK, launched, r;

	options_tell(options, "namespaces and console made");
	r = terminal_open(options->console, namespaces->master_fd, &terminal);

	if (r >= 0)
		r = supervision.notify_fd;
	if (r >= 0)
		r = plan_send(start->launch_sock, plan, fds);
	if (r >= 0 && terminal.interactive && !options->quiet)
		fprintf(stderr, "Booting %s. Press ^] three times within a second to kill it.\r\n",
			plan->name);
	if (r >= 0)
		r = supervise(&supervision, &status, &end);
	terminal_close(&terminal);
	if (r < 0)
		status = explain(&supervision, r);

	auto_close_fd(&start->launch_sock);	/* if it still waits, nixuser-launch ends now */
	launched = translate(start_reap(start->launch_pid), LAUNCH_PATH);
	if (end == SUPERVISION_ABANDONED) {
		status = r < 0 ? status : launched == EX_OK ? EX_SOFTWARE : launched;
		clean_as_root(namespaces, traces);
	}
	return status;
}

/* The helper's part of stage 4. Returns an exit status, EX_OK with @ret. */
static int receive(const struct start *start, const struct closure *closure, int pin_fd,
		   struct namespaces *ret)
{
	int r = start_receive(start, closure, ret);
	int helped = translate(start_reap(start->helper_pid), HELPER_PATH);

	if (r == -EPIPE)	/* it has said why */
		return helped == EX_OK ? EX_SOFTWARE : helped;
	if (r < 0)
		return warn_status(EX_OSERR, r, "get the namespaces from nixuser-helper");
	return check_pin(pin_fd, closure) < 0 ? EX_UNAVAILABLE : EX_OK;
}

/* Before the plan was sent: nothing has been given to the machine's root yet. */
static void abandon(struct start *start, const struct traces *traces)
{
	auto_close_fd(&start->helper_sock);
	auto_close_fd(&start->launch_sock);	/* without a plan, it ends */
	(void)start_reap(start->launch_pid);
	(void)cleanup_payload(traces->cgroup_fd, traces->runtime.dir_fd);	/* clean() says */
}

/* From the first trace of the machine on the host to the last. */
static int boot(const struct options *options, const struct closure *closure, struct plan *plan,
		struct start *start, int pin_fd)
{
	struct traces traces = {.cgroup_fd = -1};
	struct namespaces namespaces;
	int status;

	options_tell(options, "machine %s, id %s, runs %s", plan->name, plan->machine_id,
		     plan->toplevel);
	acquire(plan, start, &traces);
	status = make_cgroup(plan, start, &traces);
	options_tell(options, "runtime directory %s", traces.runtime.path);
	if (status == EX_OK)
		status = receive(start, closure, pin_fd, &namespaces);
	if (status == EX_OK)
		status = run(options, plan, start, &traces, &namespaces);
	else
		abandon(start, &traces);
	clean(&traces, plan);
	return status;
}

/* The root that make_own_root() has made, for whatever way this process ends. */
static const struct closure *own_root;

static void remove_own_root(void)
{
	ownroot_remove(own_root);
}

/*
 * A closure that is named by its path in the store gets a root of the machine's
 * own: what nixuser-helper checks is always a link that somebody has registered.
 */
static void make_own_root(const struct options *options, struct closure *closure,
			  struct plan *plan)
{
	int r;

	inspect(options, NULL, closure);
	identify(options, closure, plan);
	own_root = closure;
	if (atexit(remove_own_root) != 0)
		errx(EX_OSERR, "cannot register a function for the exit");
	r = ownroot_make(plan->name, closure);
	if (r == -EIO)
		errx(EX_UNAVAILABLE, "%s: nix-store made no gc root for it", closure->toplevel);
	if (r < 0)
		fail(EX_UNAVAILABLE, r, "make a directory for the gc root of the closure");
}

int main(int argc, char **argv)
{
	struct plan plan = {0};
	struct options options;
	struct closure closure;
	struct start start = {0};
	int pin_fd, r;

	options_parse(argc, argv, &options);
	fill_standard_fds();
	locate(&options, &closure);
	check_name(&options, &closure);
	if (closure.own_root)
		make_own_root(&options, &closure, &plan);
	if (options.dry_run) {
		inspect(&options, NULL, &closure);
		identify(&options, &closure, &plan);
		make_environment(&plan, &options);
		return print_plan(&closure, &plan);
	}

	supervise_block_signals();
	/* Errors like others, no reasons to die half way; these two cannot fail. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	/* First of all, since all else is done before it is. */
	r = start_programs(closure.link, &start);
	if (r < 0 && start.helper_pid > 0)
		hear_helper(&start);
	if (r < 0)
		fail(EX_OSERR, r, "start nixuser-helper and nixuser-launch");
	r = pin_start(closure.toplevel, &pin_fd);
	if (r < 0)
		fail(EX_UNAVAILABLE, r, "reach the nix daemon");
	inspect(&options, &start, &closure);
	identify(&options, &closure, &plan);
	make_environment(&plan, &options);
	return boot(&options, &closure, &plan, &start, pin_fd);
}
