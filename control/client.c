/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "auto.h"
#include "fdpass.h"
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>

static enum client_state judge(int error, int dir_fd)
{
	if (error != ENOENT && error != ECONNREFUSED)
		return CLIENT_FAILED;
	return runtime_is_held(dir_fd) ? CLIENT_BETWEEN : CLIENT_STALE;
}

enum client_state client_connect(const char *name, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int dir_fd = runtime_open(name);
	auto_close int fd = -1;

	if (dir_fd == -ENOENT)
		return CLIENT_ABSENT;
	if (dir_fd == -ENOTDIR)
		return CLIENT_NO_RUNTIME;
	if (dir_fd < 0) {
		errno = -dir_fd;
		return CLIENT_FAILED;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path),
		       "/proc/self/fd/%d/" CONTROL_SOCKET, dir_fd);	/* sized for it */
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return judge(errno, dir_fd);
	*ret_fd = fd_steal(&fd);
	return CLIENT_CONNECTED;
}

int client_explain(enum client_state state, const char *name)
{
	switch (state) {
	case CLIENT_CONNECTED:
		return EX_OK;
	case CLIENT_ABSENT:
		warnx("no machine '%s' runs; 'nixuserctl list' shows those that do", name);
		return EX_UNAVAILABLE;
	case CLIENT_BETWEEN:
		warnx("machine '%s' is about to start or to end; try again", name);
		return EX_TEMPFAIL;
	case CLIENT_STALE:
		warnx("machine '%s' has crashed; start it again", name);
		return EX_UNAVAILABLE;
	case CLIENT_NO_RUNTIME:
		warnx("no runtime directory: XDG_RUNTIME_DIR must name a directory of yours with mode "
		      "0700; log in through PAM");
		return EX_UNAVAILABLE;
	case CLIENT_FAILED:
		break;
	}
	warn("cannot connect to machine '%s'", name);
	return EX_OSERR;
}

int client_ask(int fd, const struct control_request *request, const char *strings, size_t len,
	       const int *fds, size_t n)
{
	char message[CONTROL_SIZE_MAX];

	if (len > sizeof(message) - sizeof(*request))
		return -E2BIG;
	memcpy(message, request, sizeof(*request));
	if (len > 0)
		memcpy(message + sizeof(*request), strings, len);
	return fdpass_send(fd, message, sizeof(*request) + len, fds, n);
}

int client_hear(int fd, struct client_reply *ret)
{
	char message[CONTROL_SIZE_MAX];
	size_t n = 0, len = 0;
	int r;

	ret->fd = -1;
	r = fdpass_recv(fd, message, sizeof(message), &ret->fd, 1, &n, &len);
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	if (len == 0)
		return -EPIPE;
	if (len < sizeof(ret->head))
		return -EPROTO;
	memcpy(&ret->head, message, sizeof(ret->head));
	memcpy(ret->text, message + sizeof(ret->head), len - sizeof(ret->head));
	ret->text[len - sizeof(ret->head)] = '\0';
	return ret->head.version == CONTROL_VERSION ? 0 : -EPROTO;
}
