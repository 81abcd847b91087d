/* SPDX-License-Identifier: MIT */
/* What nixuser-boot and nixuser-launch say to each other, over one socket. */
/* Used by: nixuser-boot, nixuser-launch. Privilege: none. */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_NAME_MAX 64
#define PLAN_ID_SIZE 33			/* 32 hex digits and a NUL */
#define PLAN_STRINGS_MAX 512		/* environment and arguments, each */
#define PLAN_SIZE_MAX 131072		/* of the message; a socket takes about 200 KiB */

/* Descriptors that travel with a plan, in this order. */
enum plan_fd {
	PLAN_CGROUP_FD,		/* the machine's cgroup; payload/ is in it */
	PLAN_RUNTIME_FD,	/* the machine's runtime directory */
	PLAN_NOTIFY_FD,		/* an unbound datagram socket, to be /run/host/notify inside */
	PLAN_FDS
};

/*
 * After the plan nixuser-boot says these. If the socket closes without
 * WORD_RELEASE, nixuser-boot was killed, and what it made is nixuser-launch's to
 * remove.
 */
enum word {
	WORD_NAMESPACES = 'N',	/* here they are, enum word_fd: go on */
	WORD_RELEASE = 'Q',	/* end the machine, if there is one; the rest is mine */
};

enum word_fd {
	WORD_DEVPTS_FD,		/* the machine's devpts, a detached mount */
	WORD_USERNS_FD,		/* the outer namespace */
	WORD_MNTNS_FD,		/* its mount namespace */
	WORD_FDS
};

struct plan {
	char name[PLAN_NAME_MAX + 1];	/* of the machine, and its host name */
	char machine_id[PLAN_ID_SIZE];
	char toplevel[PATH_MAX];	/* path in the store */
	char runtime_path[PATH_MAX];	/* where PLAN_RUNTIME_FD is, for mounting from it */
	char *env[PLAN_STRINGS_MAX + 1];	/* of PID 1; NULL at the end; point into strings */
	char *args[PLAN_STRINGS_MAX + 1];	/* for PID 1, after its name; NULL at the end */
	char *strings;			/* heap; owned */
};

/**
 * plan_send() - send the plan and its descriptors
 * @sock: to nixuser-launch
 * @plan: borrowed; @plan->strings is not looked at
 * @fds:  PLAN_FDS descriptors; borrowed
 *
 * Return: 0; -E2BIG if environment and arguments do not fit; -errno of sendmsg(2).
 */
int plan_send(int sock, const struct plan *plan, const int fds[static PLAN_FDS]);

/**
 * plan_recv() - receive them
 * @ret:     the plan; release it with plan_free()
 * @ret_fds: PLAN_FDS descriptors, close-on-exec; the caller's
 *
 * Return: 0; -EPIPE if nixuser-boot has none, and has said why; -EPROTO for anything that is no
 * plan; -ENOMEM; -errno of recvmsg(2).
 */
int plan_recv(int sock, struct plan *ret, int ret_fds[static PLAN_FDS]);

/* plan_free() - release what plan_recv() allocated. */
void plan_free(struct plan *plan);

/* What nixuser-launch says, in this order; ENDED is the last. */
enum report_kind {
	REPORT_RUNNING = 'R',	/* PID 1 has become init, or failed to; a pidfd comes along */
	REPORT_ENDED = 'E',	/* it has ended; what it leaves is removed before we end, too */
};

struct report {
	int32_t kind;	/* enum report_kind */
	int32_t pid;	/* of PID 1, in our pid namespace */
	int32_t code;	/* for ENDED: si_code of waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED */
	int32_t status;	/* for ENDED: si_status: exit status or signal */
};
