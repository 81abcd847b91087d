/* SPDX-License-Identifier: MIT */
/* What nixuserctl and the nixuser-boot of a machine say to each other. */
/* Used by: nixuser-boot, nixuserctl. Privilege: none. */
#pragma once

#include <stdint.h>

/*
 * A SOCK_SEQPACKET socket of this name in the machine's runtime directory. Only
 * the user whose machine it is may connect, by the credentials that the kernel
 * tells. One message is one request or one reply, never a part of one.
 */
#define CONTROL_SOCKET "control"
#define CONTROL_VERSION 1
#define CONTROL_SIZE_MAX 65536

enum control_call {
	CONTROL_STATUS,	/* the reply's text: KEY=VALUE lines */
	CONTROL_STOP,	/* ask the machine to power off, as SIGTERM does; the socket closes when it has */
	CONTROL_KILL,	/* send a signal to PID 1 */
	CONTROL_RUN,	/* run a command in the machine: two replies, STARTED and EXITED */
};

struct control_request {
	uint32_t version;
	uint32_t call;		/* enum control_call */
	int32_t signal;		/* of KILL */
	uint16_t terminal;	/* of RUN: on a terminal of the machine's; else 3 pipes come along */
	uint16_t argc;		/* of RUN: strings that follow, each with its NUL; those after are */
				/* the environment */
};

enum control_kind {
	CONTROL_DONE,
	CONTROL_STARTED,	/* of RUN; the master of the terminal comes along, if one was asked for */
	CONTROL_EXITED,		/* of RUN; the last */
};

struct control_reply {
	uint32_t version;
	uint32_t kind;	/* enum control_kind */
	int32_t error;	/* 0, or an errno: nothing was done */
	int32_t code;	/* of EXITED: si_code of waitid(2) */
	int32_t status;	/* of EXITED: si_status */
};	/* text may follow, without a NUL */
