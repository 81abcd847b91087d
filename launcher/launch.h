/* SPDX-License-Identifier: MIT */
/* nixuser-launch, the child of nixuser-boot that is root of the outer namespace. */
/* Used by: nixuser-boot. Privilege: none in nixuser-boot. */
#pragma once

#include "plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What it works with; all borrowed, and inherited. */
struct launch {
	const struct plan *plan;
	int cgroup_fd;		/* the machine's cgroup; payload/ is in it */
	int runtime_fd;		/* the machine's runtime directory */
	int notify_fd;		/* an unbound datagram socket, to be /run/host/notify inside */
};

/*
 * What nixuser-boot says to it. If the socket closes without WORD_RELEASE,
 * nixuser-boot was killed, and what it made is nixuser-launch's to remove.
 */
enum word {
	WORD_NAMESPACES = 'N',	/* here they are, enum word_fd: go on */
	WORD_RUN = 'X',		/* run this beside PID 1: struct run_word */
	WORD_RELEASE = 'Q',	/* end the machine, if there is one; the rest is mine */
};

enum word_fd {
	WORD_DEVPTS_FD,		/* the machine's devpts, a detached mount */
	WORD_USERNS_FD,		/* the outer namespace */
	WORD_MNTNS_FD,		/* its mount namespace */
	WORD_FDS
};

/* A command for the machine; the pipes for its standard streams come along, or none. */
struct run_word {
	char word;		/* WORD_RUN */
	bool terminal;		/* give it a terminal of the machine's; else three pipes */
	uint16_t argc;		/* strings, each with its NUL, follow; those after are the environment */
	uint32_t id;		/* what the reports call it */
};

/* What it says. RUNNING is the first, ENDED the last. */
enum report_kind {
	REPORT_RUNNING = 'R',	/* PID 1 has become init, or failed to; a pidfd comes along */
	REPORT_STARTED = 'S',	/* a command; its pidfd and the terminal's master come along */
	REPORT_EXITED = 'X',	/* a command */
	REPORT_ENDED = 'E',	/* it has ended; what it leaves is removed before we end, too */
};

struct report {
	int32_t kind;	/* enum report_kind */
	uint32_t id;	/* for STARTED and EXITED: of the command */
	int32_t pid;	/* of PID 1, or of the command, in our pid namespace */
	int32_t code;	/* for ENDED and EXITED: si_code of waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED */
	int32_t status;	/* for those: si_status, exit status or signal; for STARTED 0 or -errno */
};

/**
 * launch_start() - fork nixuser-launch
 * @ret_pid:  its pid
 * @ret_sock: where it reports and is told: enum word, struct report
 *
 * It holds no descriptor but those of @launch and 0 to 2, and those only until the
 * machine runs. Return: 0, -errno of socketpair(2) or fork(2).
 */
int launch_start(const struct launch *launch, pid_t *ret_pid, int *ret_sock);
