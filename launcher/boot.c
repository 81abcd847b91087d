/* SPDX-License-Identifier: MIT */
/*
 * nixuser-boot: the supervisor
 *
 *  1. Which closure, by which gc root? request.c, closure.c, ownroot.c.
 *  2. Start nixuser-helper and nixuser-launch: start.c. While they work: ask the
 *     daemon for a temporary root (pin.c), see whether the closure can boot, and
 *     plan its machine (request.c, plan.h).
 *  3. Its place on the host: a locked runtime directory (machine.c), a delegated
 *     cgroup (cgroup.c, scope.c): footprint.c.
 *  4. Receive the namespaces and the console from the helper; send nixuser-launch
 *     the plan.
 *  5. Carry the console until the machine ends: supervise.c, terminal.c.
 *  6. Leave nothing behind, and return its exit status.
 *
 * It is the caller's own process: no capability, no privilege, in the host's
 * namespaces. All it can do to the machine any process of the caller's can.
 */
#include "auto.h"
#include "config.h"
#include "dryrun.h"
#include "footprint.h"
#include "options.h"
#include "pin.h"
#include "plan.h"
#include "request.h"
#include "start.h"
#include "supervise.h"
#include "terminal.h"
#include "words.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>

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

static int print_plan(const struct closure *closure, const struct plan *plan)
{
	int status = start_check(closure->link);

	if (status < 0)
		words_fail(EX_OSERR, status, "start nixuser-helper");
	if (status == EX_OK)
		dryrun_print(closure, plan);
	return words_status(status, HELPER_PATH);
}

static int make_notify_socket(void)
{
	const int on = 1;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	return fd;
}

/* Returns an exit status, EX_OK for a closure that stays. */
static int check_pin(int pin_fd, const struct closure *closure)
{
	int r = pin_finish(pin_fd);

	if (r == -ENOENT) {
		warnx("%s is not valid in Nix's database; 'nix-store --verify' the store",
		      closure->toplevel);
		return EX_DATAERR;
	}
	return r < 0 ? words_warn(EX_UNAVAILABLE, r, "get a temporary root from the nix daemon")
		     : EX_OK;
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
	       const struct footprint *footprint, const struct namespaces *namespaces)
{
	struct terminal terminal = {.master_fd = -1};
	struct supervision supervision = {
		.options = options, .name = plan->name, .terminal = &terminal,
		.sock = start->launch_sock, .notify_fd = make_notify_socket(),
	};
	const int fds[PLAN_FDS] = {
		[PLAN_CGROUP_FD] = footprint->cgroup_fd,
		[PLAN_RUNTIME_FD] = footprint->runtime.dir_fd,
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
	launched = words_status(start_reap(start->launch_pid), LAUNCH_PATH);
	if (end == SUPERVISION_ABANDONED) {
		status = r < 0 ? status : launched == EX_OK ? EX_SOFTWARE : launched;
		footprint_empty_as_root(footprint, namespaces->userns_fd);
	}
	return status;
}

/* The helper's part of stage 4. Returns an exit status, EX_OK with @ret. */
static int receive(const struct start *start, const struct closure *closure, int pin_fd,
		   struct namespaces *ret)
{
	int r = start_receive(start, closure, ret);
	int helped = words_status(start_reap(start->helper_pid), HELPER_PATH);

	if (r == -EPIPE)	/* it has said why */
		return helped == EX_OK ? EX_SOFTWARE : helped;
	if (r < 0)
		return words_warn(EX_OSERR, r, "get the namespaces from nixuser-helper");
	return check_pin(pin_fd, closure);
}

/* Stages 3 to 6: from the first trace of the machine on the host to the last. */
static int boot(const struct options *options, const struct closure *closure, struct plan *plan,
		struct start *start, int pin_fd)
{
	struct footprint footprint;
	struct namespaces namespaces;
	int status;

	options_tell(options, "machine %s, id %s, runs %s", plan->name, plan->machine_id,
		     plan->toplevel);
	status = footprint_make(plan, start, &footprint);
	options_tell(options, "runtime directory %s", plan->runtime_path);
	if (status == EX_OK)
		status = receive(start, closure, pin_fd, &namespaces);
	if (status == EX_OK)
		status = run(options, plan, start, &footprint, &namespaces);
	else
		footprint_abandon(&footprint, start);
	footprint_remove(&footprint, plan);
	return status;
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
	request_locate(&options, &closure, &plan);
	if (options.dry_run) {
		request_complete(&options, NULL, &closure, &plan);
		return print_plan(&closure, &plan);
	}

	supervise_prepare_signals();
	r = start_programs(closure.link, &start);
	if (r < 0 && start.helper_pid > 0)
		request_hear_helper(&start);
	if (r < 0)
		words_fail(EX_OSERR, r, "start nixuser-helper and nixuser-launch");
	r = pin_start(closure.toplevel, &pin_fd);
	if (r < 0)
		words_fail(EX_UNAVAILABLE, r, "reach the nix daemon");
	request_complete(&options, &start, &closure, &plan);
	return boot(&options, &closure, &plan, &start, pin_fd);
}
