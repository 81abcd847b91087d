/* SPDX-License-Identifier: MIT */
/* A connection to the nixuser-boot of a machine. */
/* Used by: nixuserctl. Privilege: none. */
#pragma once

#include "protocol.h"

#include <stddef.h>
#include <sys/types.h>

enum client_state {
	CLIENT_CONNECTED,
	CLIENT_ABSENT,		/* there is no machine of this name */
	CLIENT_BETWEEN,		/* it starts, or is about to end */
	CLIENT_STALE,		/* a crash has left something; the next start takes it over */
	CLIENT_NO_RUNTIME,	/* XDG_RUNTIME_DIR */
	CLIENT_FAILED,		/* errno says why */
};

struct client_reply {
	struct control_reply head;
	char text[CONTROL_SIZE_MAX];	/* with a NUL */
	int fd;				/* that came along, or -1; the caller's */
};

/**
 * client_connect() - connect to a machine by its name
 * @name:   has passed machine_name_is_valid()
 * @ret_fd: the connection
 */
enum client_state client_connect(const char *name, int *ret_fd);

/* client_explain() - one sentence for a state but CLIENT_CONNECTED, on stderr; an exit status */
int client_explain(enum client_state state, const char *name);

/**
 * client_ask() - send a request
 * @strings: follow it, each with its NUL; @len bytes
 * @fds:     go along, @n of them; borrowed
 *
 * Return: 0, -E2BIG, -errno of sendmsg(2).
 */
int client_ask(int fd, const struct control_request *request, const char *strings, size_t len,
	       const int *fds, size_t n);

/* client_hear() - the next reply: 0, -EPIPE if the machine is gone, -EPROTO, -errno */
int client_hear(int fd, struct client_reply *ret);
