/* SPDX-License-Identifier: MIT */
#include "pin.h"

#include "auto.h"
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define SOCKET STATE_DIR "/daemon-socket/socket"
#define TIMEOUT_S 30

#define CLIENT_MAGIC UINT64_C(0x6e697863)
#define DAEMON_MAGIC UINT64_C(0x6478696f)
/* The last version without answers to read in between, so that one write does. */
#define VERSION_1_21 UINT64_C(0x115)
#define OP_IS_VALID_PATH UINT64_C(1)
#define OP_ADD_TEMP_ROOT UINT64_C(11)
#define STDERR_LAST UINT64_C(0x616c7473)
#define STDERR_NEXT UINT64_C(0x6f6c6d67)
#define STDERR_ERROR UINT64_C(0x63787470)

/* Everything is a 64-bit little-endian number, or a length and bytes padded to eight. */
struct message {
	unsigned char buf[PATH_MAX * 2 + 256];
	size_t len;
};

static void put_number(struct message *m, uint64_t n)
{
	n = htole64(n);
	memcpy(m->buf + m->len, &n, sizeof(n));
	m->len += sizeof(n);
}

static void put_string(struct message *m, const char *s)
{
	size_t len = strlen(s);

	put_number(m, len);
	memcpy(m->buf + m->len, s, len);
	m->len += (len + 7) / 8 * 8;
}

static int connect_daemon(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return fd_steal(&fd);
}

int pin_start(const char *toplevel, int *ret_fd)
{
	auto_close int fd = connect_daemon();
	struct message m = {0};
	ssize_t n;

	*ret_fd = -1;
	/* A single-user Nix has no daemon: the collector reads /proc/PID/fd itself. */
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return fd;
	put_number(&m, CLIENT_MAGIC);
	put_number(&m, VERSION_1_21);
	put_number(&m, 0);	/* no CPU affinity */
	put_number(&m, 0);	/* do not reserve space */
	put_number(&m, OP_ADD_TEMP_ROOT);	/* the root before the question: */
	put_string(&m, toplevel);
	put_number(&m, OP_IS_VALID_PATH);	/* what is valid now, stays */
	put_string(&m, toplevel);
	n = send(fd, m.buf, m.len, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	if ((size_t)n != m.len)
		return -EIO;
	*ret_fd = fd_steal(&fd);
	return 0;
}

static int get_bytes(int fd, void *buf, size_t len)
{
	ssize_t n = recv(fd, buf, len, MSG_WAITALL);

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	/* A daemon that does not want us (allowed-users) closes. */
	return (size_t)n == len ? 0 : -EACCES;
}

static int get_number(int fd, uint64_t *ret)
{
	int r = get_bytes(fd, ret, sizeof(*ret));

	*ret = le64toh(*ret);
	return r;
}

/* Log lines are of no interest here, and bounded. */
static int skip_string(int fd)
{
	char buf[4096];
	uint64_t len;
	int r = get_number(fd, &len);

	if (r < 0)
		return r;
	if (len > 1 << 20)
		return -EPROTO;
	for (len = (len + 7) / 8 * 8; len > 0;) {
		size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

		r = get_bytes(fd, buf, n);
		if (r < 0)
			return r;
		len -= n;
	}
	return 0;
}

/* Up to the STDERR_LAST that comes before every answer. */
static int skip_log(int fd)
{
	for (;;) {
		uint64_t kind;
		int r = get_number(fd, &kind);

		if (r < 0 || kind == STDERR_LAST)
			return r;
		if (kind == STDERR_ERROR)
			return -EACCES;
		if (kind != STDERR_NEXT)
			return -EPROTO;
		r = skip_string(fd);
		if (r < 0)
			return r;
	}
}

static int get_answer(int fd, uint64_t *ret)
{
	int r = skip_log(fd);

	return r < 0 ? r : get_number(fd, ret);
}

int pin_finish(int fd)
{
	uint64_t magic, version, rooted, valid;
	int r;

	r = get_number(fd, &magic);
	if (r < 0)
		return r;
	r = get_number(fd, &version);
	if (r < 0)
		return r;
	if (magic != DAEMON_MAGIC)
		return -EPROTO;
	r = skip_log(fd);
	if (r < 0)
		return r;
	r = get_answer(fd, &rooted);
	if (r < 0)
		return r;
	r = get_answer(fd, &valid);
	if (r < 0)
		return r;
	return rooted != 1 ? -EPROTO : valid != 1 ? -ENOENT : 0;
}
