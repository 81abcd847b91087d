/* SPDX-License-Identifier: MIT */
/*
 * nixuser-helper: the part with privilege
 *
 * Theory of operation
 *
 * Started by nixuser-boot with a link to a closure as its argument and a socket
 * as fd 3; installed with CAP_SETUID and CAP_SETGID permitted, not effective.
 *
 *  1. Entry. Capabilities to a known state, then everything else a caller can
 *     hand down: caps.c, entry.c. From here on nothing is effective.
 *  2. Lookup, in a child without capabilities: is the closure a live gc root of
 *     the caller's, which ranges are his: lookup.c.
 *  3. Clone the outer namespace: namespace.c.
 *  4. Write its two maps. The only moments with a capability effective: mapfile.c.
 *  5. Drop for good, prove it, let the child go on, exit.
 *
 *  The child, root of the outer namespace and of nothing else, makes the console
 *  (console.c), sends it to nixuser-boot, and becomes nixuser-launch (handoff.c).
 *
 * Nothing that comes back from a child is more than a record that is checked
 * again (2) or no message at all (3 to 5). The helper holds no descriptor that
 * its caller could not have opened himself, but the two map files, closed
 * before their capability is lowered.
 */
#include "caps.h"
#include "console.h"
#include "entry.h"
#include "handoff.h"
#include "lookup.h"
#include "namespace.h"
#include "refusal.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>
#include <vis.h>

#define HELD (CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID))

struct request {
	bool check_only;	/* --check: print what was found, boot nothing */
	const char *link;
};

/* What a user typed may hold escape sequences; his terminal shall not obey them. */
_Noreturn static void refuse(const char *link, enum refusal r)
{
	char safe[4 * PATH_MAX + 1];

	if (strnvis(safe, link, sizeof(safe), VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOLOCALE) < 0 ||
	    strlen(link) >= PATH_MAX)
		errx(refusal_status(r), "%s", refusal_text(r));
	errx(refusal_status(r), "%s: %s", safe, refusal_text(r));
}

/* Stage 1. The order is under test; tests/system/65-helper-entry.t. */
static void enter(bool *ret_capable)
{
	int caps = caps_enter(HELD);
	int r = caps < 0 && caps_enter(0) < 0 ? -ENOTRECOVERABLE : entry_clean(HANDOFF_SOCKET);

	setprogname("nixuser-helper");
	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot make a clean start");
	}
	*ret_capable = caps == 0;
}

/* Exactly "LINK" or "--check LINK": nothing here is worth an option parser. */
static struct request parse(int argc, char **argv)
{
	if (argc == 2 && argv[1][0] == '/')
		return (struct request){.link = argv[1]};
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return (struct request){.link = argv[2], .check_only = true};
	errx(EX_USAGE, "usage: nixuser-helper [--check] /LINK; it is started by nixuser-boot(1)");
}

static struct caller identify(const char *link)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		err(EX_OSERR, "cannot tell who is calling");
	if (ruid != euid || ruid != suid || rgid != egid || rgid != sgid)
		refuse(link, REFUSED_CALLER_SETUID);
	if (ruid == 0 || rgid == 0)
		refuse(link, REFUSED_CALLER_ROOT);
	return (struct caller){.uid = ruid, .gid = rgid};
}

/* Without capabilities exec(2) succeeds silently; say why they are missing. */
static void require_capable(const char *link, bool capable)
{
	if (capable)
		return;
	refuse(link, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? REFUSED_CAPS_NNP
								 : REFUSED_CAPS_NONE);
}

static int print_plan(const struct lookup *found, struct caller caller)
{
	printf("toplevel " STORE_DIR "/%s\n", found->base);
	printf("uid 0 %" PRIu64 " %" PRIu64 "\nuid 65536 %u 1\n", found->uids.start,
	       found->uids.count, caller.uid);
	printf("gid 0 %" PRIu64 " %" PRIu64 "\ngid 65536 %u 1\n", found->gids.start,
	       found->gids.count, caller.gid);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

/* The child's half of stages 4 and 5, and the hand-off. Does not return. */
_Noreturn static void become_launcher(int go_fd, const char *base)
{
	struct console console;
	int r;

	r = namespace_enter(go_fd);
	if (r == -ECANCELED)
		_exit(EX_SOFTWARE);	/* the helper has said why */
	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot become root of the new user namespace");
	}
	r = console_make(&console);
	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot make the console (devpts)");
	}
	r = handoff(&console, base);
	if (r == -EPIPE)
		_exit(EX_SOFTWARE);	/* nixuser-boot has said why */
	errno = -r;
	err(EX_OSERR, "cannot hand off to %s", LAUNCH_PATH);
}

int main(int argc, char **argv)
{
	struct namespace ns = NAMESPACE_NONE;
	struct request request;
	struct caller caller;
	struct lookup found;
	enum refusal refusal;
	bool capable;
	int go_fd, r;

	enter(&capable);
	request = parse(argc, argv);
	caller = identify(request.link);
	if (!request.check_only)
		require_capable(request.link, capable);

	refusal = lookup_run(request.link, caller, &found);
	if (refusal != REFUSED_NOT)
		refuse(request.link, refusal);
	if (request.check_only)
		return print_plan(&found, caller);

	r = namespace_clone(&refusal, &ns, &go_fd);
	if (r == 0)
		become_launcher(go_fd, found.base);
	if (refusal != REFUSED_NOT)
		refuse(request.link, refusal);
	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot make a user namespace");
	}

	r = namespace_map(&ns, &found, caller);
	if (caps_drop() < 0) {
		namespace_abandon(&ns);
		errx(EX_SOFTWARE, "capabilities could not be dropped");
	}
	if (r < 0) {
		namespace_abandon(&ns);
		errno = -r;
		err(EX_OSERR, "cannot write the id maps of the new user namespace");
	}
	r = namespace_release(&ns);
	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot release the new user namespace");
	}
	return EX_OK;
}
