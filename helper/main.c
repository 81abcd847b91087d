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
 *  2. Two children at once. The namespace child, in the outer namespace: it says
 *     that it is there and waits: namespace.c. The lookup child, without
 *     capabilities: is the closure a live gc root of the caller's, which ranges
 *     are his: lookup.c.
 *  3. Write the two maps. The only moments with a capability effective: mapfile.c.
 *  4. Drop for good, prove it, let the namespace child go on: it becomes root
 *     inside, makes the console (console.c) and sends it, with the namespaces,
 *     to nixuser-boot. Nothing is executed by the helper or its children.
 *
 * Nothing that comes back from a child is more than a record that is checked
 * again (2), one byte, or an exit status (4). The helper holds no descriptor that its
 * caller could not have opened himself, but the two map files, closed before
 * their capability is lowered.
 */
#include "caps.h"
#include "config.h"
#include "entry.h"
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
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>
#include <vis.h>

#define HELD (CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID))
#define SOCKET_FD 3	/* to nixuser-boot; the one descriptor that is kept */

struct request {
	bool check_only;	/* --check: print what was found, boot nothing */
	const char *link;
};

_Noreturn static void fail(int r, const char *what)
{
	errno = -r;
	err(EX_OSERR, "cannot %s", what);
}

/* What a user typed may hold escape sequences; his terminal shall not obey them. */
_Noreturn static void refuse(const char *link, enum refusal r)
{
	char safe[4 * PATH_MAX + 1];

	if (strnvis(safe, link, sizeof(safe), VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOLOCALE) < 0 ||
	    strlen(link) >= PATH_MAX)
		errx(refusal_status(r), "%s", refusal_text(r));
	errx(refusal_status(r), "%s: %s", safe, refusal_text(r));
}

/* Stage 1. The order is under test; tests/system/65-helper.t. */
static void enter(bool *ret_capable)
{
	int caps = caps_enter(HELD);
	int r = caps < 0 && caps_enter(0) < 0 ? -ENOTRECOVERABLE : entry_clean(SOCKET_FD);

	setprogname("nixuser-helper");
	if (r < 0)
		fail(r, "make a clean start");
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

/* Anything else would be written to at the end, when it is too late to say so. */
static void require_socket(void)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(SOCKET_FD, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 ||
	    getsockopt(SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    domain != AF_UNIX || type != SOCK_SEQPACKET)
		errx(EX_USAGE, "descriptor 3 is no socket to nixuser-boot(1), which starts it");
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
	const struct id_range uids = found->ranges[SUBID_UID], gids = found->ranges[SUBID_GID];

	printf("toplevel " STORE_DIR "/%s\n", found->base);
	printf("uid 0 %" PRIu64 " %" PRIu64 "\nuid 65536 %u 1\n", uids.start, uids.count, caller.uid);
	printf("gid 0 %" PRIu64 " %" PRIu64 "\ngid 65536 %u 1\n", gids.start, gids.count, caller.gid);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

/* The namespace child's half. Does not return. */
_Noreturn static void run_namespace_child(const struct namespace_child *child)
{
	char base[STOREPATH_BASE_SIZE];
	int r = namespace_enter(child, base);

	if (r == -ECANCELED)
		_exit(EX_SOFTWARE);	/* the helper says why */
	if (r < 0) {
		errno = -r;
		warn("cannot become root of the new user namespace");
		_exit(EX_OSERR);
	}
	r = namespace_hand_over(SOCKET_FD, base);
	if (r < 0 && r != -EPIPE) {	/* without a reader: nixuser-boot says why */
		errno = -r;
		warn("cannot make the console and hand it over");
	}
	_exit(r < 0 ? EX_OSERR : EX_OK);
}

/*
 * Stage 2. Returns in the helper only, with both children's results. The
 * namespace child comes first, so that it has no end of the lookup's pipe: the
 * caller may ptrace it, and would forge the answer.
 */
static void make_namespace(struct request request, struct caller caller, struct lookup *found,
			   struct namespace *ns)
{
	struct namespace_child ns_child;
	struct lookup_child child;
	enum refusal refusal, refused_clone;
	int cloned, r;

	cloned = namespace_clone(&refused_clone, ns, &ns_child);
	if (cloned == 0)
		run_namespace_child(&ns_child);
	r = lookup_start(request.link, caller, &child);
	refusal = r < 0 ? REFUSED_NOT : lookup_finish(&child, caller, found);
	if (refusal == REFUSED_NOT)
		refusal = refused_clone;
	if (cloned == 1 && (r < 0 || refusal != REFUSED_NOT))
		namespace_abandon(ns);
	if (refusal != REFUSED_NOT)
		refuse(request.link, refusal);
	if (r < 0)
		fail(r, "start the lookup child");
	if (cloned < 0)
		fail(cloned, "make a user namespace");
}

static int check(struct request request, struct caller caller)
{
	struct lookup_child child;
	struct lookup found;
	enum refusal refusal;
	int r = lookup_start(request.link, caller, &child);

	if (r < 0)
		fail(r, "start the lookup child");
	refusal = lookup_finish(&child, caller, &found);
	if (refusal != REFUSED_NOT)
		refuse(request.link, refusal);
	return print_plan(&found, caller);
}

int main(int argc, char **argv)
{
	struct namespace ns;
	struct request request;
	struct caller caller;
	struct lookup found;
	bool capable;
	int r;

	enter(&capable);
	request = parse(argc, argv);
	caller = identify(request.link);
	if (request.check_only)
		return check(request, caller);
	require_socket();
	require_capable(request.link, capable);

	make_namespace(request, caller, &found, &ns);
	r = namespace_map(&ns, &found, caller);
	if (caps_drop() < 0) {
		namespace_abandon(&ns);
		errx(EX_SOFTWARE, "capabilities could not be dropped");
	}
	if (r < 0) {
		namespace_abandon(&ns);
		fail(r, "write the id maps of the new user namespace");
	}
	r = namespace_finish(&ns, found.base);
	if (r < 0)
		fail(r, "release the new user namespace");
	if (r == EX_SOFTWARE)
		warnx("the child that makes the console was killed");
	return r;
}
