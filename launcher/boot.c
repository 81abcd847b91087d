/* SPDX-License-Identifier: MIT */
/*
 * nixuser-boot: the supervisor
 *
 *  1. Which closure, can it boot, as what machine? request.c, closure.c, plan.h.
 *  2. Lock the machine's runtime directory (machine.c); for a closure that is
 *     named by its store path, make a gc root in it (ownroot.c).
 *  3. Start nixuser-helper: start.c. While it works: find or make a delegated
 *     cgroup (footprint.c, cgroup.c, scope.c), fork nixuser-launch (launch.c).
 *  4. Receive the namespaces and the console from the helper; pass the former on.
 *  5. Carry the console until the machine ends: supervise.c, terminal.c. Soon
 *     after it runs, ask the nix daemon for a temporary root of its closure: pin.c.
 *  6. Leave nothing behind, and return its exit status.
 *
 * It is the caller's own process: no capability, no privilege, in the host's
 * namespaces. All it can do to the machine any process of the caller's can.
 */
#include "auto.h"
#include "config.h"
#include "dryrun.h"
#include "footprint.h"
#include "launch.h"
#include "machine.h"
#include "module.h"
#include "options.h"
#include "ownroot.h"
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

/*
 * A closed pipe or a limit on file sizes is an error like others, no reason to
 * die half way.
 */
static void prepare_signals(void)
{
	static const int later[] = SUPERVISE_SIGNALS;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		sigaddset(&set, later[i]);
	/* These fail for bad arguments only. */
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
}

static int print_plan(const struct closure *closure, const struct plan *plan)
{
	int status = start_check(closure->link);

	if (status < 0)
		return words_not_run(HELPER_PATH, status);
	if (status == EX_OK)
		dryrun_print(closure, plan);
	return status;
}

static int make_notify_socket(void)
{
	const int on = 1;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	return fd;
}

/* @r: of pin_start() or pin_finish(). Returns an exit status. */
static int explain_pin(int r, const struct plan *plan)
{
	if (r != -ENOENT)
		return words_warn(EX_UNAVAILABLE, r, "get a temporary root from the nix daemon");
	warnx("%s is not valid in Nix's database; 'nix-store --verify' the store", plan->toplevel);
	return EX_DATAERR;
}

/* The machine is gone, and not by its own will. Returns the exit status. */
static int explain_end(enum supervision_end end, int status, const struct plan *plan,
		       struct start *start)
{
	int launched = start_reap(&start->launch_pid);

	if (end == SUPERVISION_UNPINNED)
		return explain_pin(status, plan);
	if (status == EX_OK && launched == EX_SOFTWARE)
		warnx("nixuser-launch was killed, and machine '%s' with it", plan->name);
	return status != EX_OK ? status : launched != EX_OK ? launched : EX_SOFTWARE;
}

/* From the namespaces to the end of the machine. Returns an exit status, or -errno. */
static int carry(struct supervision *s, const struct start *start,
		 const struct namespaces *namespaces, enum supervision_end *ret_end)
{
	const struct module *module;
	int status = EX_OK, r;

	r = terminal_open(s->options->console, namespaces->master_fd, s->terminal);
	if (r < 0)
		return r;
	r = start_send_namespaces(start, namespaces);
	if (r < 0)
		return r;
	if (s->terminal->interactive && !s->options->quiet)
		fprintf(stderr, "Booting %s. Press ^] three times within a second to kill it.\r\n",
			s->name);
	start_await(start);
	module = module_load();
	if (!module)
		return EX_UNAVAILABLE;
	r = module->supervise(s, &status, ret_end);
	return r < 0 ? r : status;
}

/* Stage 5, when the namespaces are there. Returns the exit status. */
static int run(const struct options *options, const struct plan *plan, struct start *start,
	       const struct footprint *footprint, const struct namespaces *namespaces,
	       int notify_fd)
{
	struct terminal terminal = {.master_fd = -1};
	struct supervision supervision = {
		.options = options, .name = plan->name, .toplevel = plan->toplevel,
		.terminal = &terminal, .sock = start->launch_sock, .notify_fd = notify_fd,
		.runtime_fd = footprint->runtime.dir_fd,
		.bus = footprint->bus,
	};
	enum supervision_end end = SUPERVISION_ABANDONED;
	int status = carry(&supervision, start, namespaces, &end);

	terminal_close(&terminal);
	if (status < 0 && end != SUPERVISION_UNPINNED)
		status = words_warn(EX_OSERR, status, "run the machine");
	start_release(start);
	if (end == SUPERVISION_ENDED)
		return status;
	status = explain_end(end, status, plan, start);
	if (end == SUPERVISION_ABANDONED)
		footprint_empty_as_root(footprint, namespaces->userns_fd);
	return status;
}

/*
 * The helper's part of stage 4. Returns an exit status, EX_OK with @ret; for its
 * own end nobody has to wait then.
 */
static int receive(struct start *start, const struct closure *closure,
		   struct namespaces *ret)
{
	int r = start_receive(start, closure, ret), helped;

	if (r == 0)
		return EX_OK;
	helped = start_reap(&start->helper_pid);
	if (r == -EPIPE)	/* it has said why */
		return helped == EX_OK ? EX_SOFTWARE : helped;
	return words_warn(EX_OSERR, r, "get the namespaces from nixuser-helper");
}

/* The end of stage 3: a cgroup, and nixuser-launch. */
static int prepare(const struct plan *plan, struct start *start, struct footprint *footprint,
		   int *ret_notify_fd)
{
	int status = footprint_make_cgroup(plan, footprint);
	int r;

	if (status != EX_OK)
		return status;
	r = *ret_notify_fd = make_notify_socket();
	if (r >= 0)
		r = launch_start(&(struct launch){
			.plan = plan, .cgroup_fd = footprint->cgroup_fd,
			.runtime_fd = footprint->runtime.dir_fd, .notify_fd = *ret_notify_fd,
		}, &start->launch_pid, &start->launch_sock);
	return r < 0 ? words_warn(EX_OSERR, r, "start nixuser-launch") : EX_OK;
}

/* Stages 3 to 5. Returns the exit status. */
static int boot(const struct options *options, const struct closure *closure,
		const struct plan *plan, struct footprint *footprint, struct start *start)
{
	struct namespaces namespaces;
	int notify_fd, status, r;

	r = start_helper(closure->link, start);
	if (r < 0)
		return words_not_run(HELPER_PATH, r);
	status = prepare(plan, start, footprint, &notify_fd);
	if (status == EX_OK) {
		options_tell(options, "cgroup and runtime directory %s made", plan->runtime_path);
		status = receive(start, closure, &namespaces);
	}
	if (status == EX_OK) {
		options_tell(options, "namespaces and console made");
		return run(options, plan, start, footprint, &namespaces, notify_fd);
	}
	auto_close_fd(&start->helper_sock);
	start_release(start);
	footprint_empty(footprint);
	return status;
}

/* For a closure without a link, stage 2's other half. Returns an exit status. */
static int make_own_root(const struct footprint *footprint, struct closure *closure)
{
	int r = ownroot_make(&footprint->runtime, closure);

	if (r == -EIO) {
		warnx("%s: nix-store made no gc root for it", closure->toplevel);
		return EX_UNAVAILABLE;
	}
	return r < 0 ? words_warn(EX_OSERR, r, "make a gc root for the closure") : EX_OK;
}

int main(int argc, char **argv)
{
	struct start start = {.helper_sock = -1, .launch_sock = -1};
	struct footprint footprint;
	struct options options;
	struct closure closure;
	struct plan plan = {0};
	int status = EX_OK;

	options_parse(argc, argv, &options);
	fill_standard_fds();
	runtime_find();
	request_read(&options, &closure, &plan);
	options_tell(&options, "machine %s, id %s, runs %s", plan.name, plan.machine_id, plan.toplevel);
	if (options.dry_run && !closure.own_root)
		return print_plan(&closure, &plan);

	prepare_signals();
	footprint_lock(&plan, &footprint);
	if (closure.own_root)
		status = make_own_root(&footprint, &closure);
	if (status == EX_OK)
		status = options.dry_run ? print_plan(&closure, &plan)
					 : boot(&options, &closure, &plan, &footprint, &start);
	footprint_remove(&footprint, &plan);
	start_end(&start);
	return status;
}
