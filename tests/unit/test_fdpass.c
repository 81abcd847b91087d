/* SPDX-License-Identifier: MIT */
/* Attack 19: whatever comes over the socket, no descriptor stays behind. */
#include "unit.h"

#include "fdpass.h"

#include <dirent.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define MANY 253	/* SCM_MAX_FD: the most that one message carries */

static int near_fd, far_fd;	/* send at the near end, receive at the far one */

static void setup(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	near_fd = ends[0];
	far_fd = ends[1];
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void make_files(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = memfd_create("passed", MFD_CLOEXEC);
		ck_assert_int_ge(fds[i], 0);
	}
}

static ino_t ino_of(int fd)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_ino;
}

/* What fdpass_send() would not send: any number of descriptors, any length. */
static void send_raw(const void *data, size_t len, const int *fds, size_t n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(MANY * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};

	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.align), fds, n * sizeof(int));
	ck_assert_int_eq(sendmsg(near_fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

/* Receives what must be refused: with this error, and without a trace. */
static void assert_refused(size_t size, size_t max, int expected)
{
	char data[64];
	int fds[FDPASS_MAX], before = count_fds();
	size_t n = 77, len = 77;

	ck_assert_int_eq(fdpass_recv(far_fd, data, size, fds, max, &n, &len), expected);
	ck_assert_int_eq(count_fds(), before);
	ck_assert_uint_eq(n, 77);
	ck_assert_uint_eq(len, 77);
}

START_TEST(fdpass_carries_up_to_eight)
{
	size_t want = (size_t)_i, n, len;
	int sent[FDPASS_MAX], got[FDPASS_MAX], before;
	char data[16];

	make_files(sent, want);
	before = count_fds();
	ck_assert_int_eq(fdpass_send(near_fd, "hello", 5, sent, want), 0);
	ck_assert_int_eq(count_fds(), before);	/* they stay open here */
	ck_assert_int_eq(fdpass_recv(far_fd, data, sizeof(data), got, want, &n, &len), 0);
	ck_assert_int_eq(count_fds(), before + _i);
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(data, "hello", 5);
	ck_assert_uint_eq(n, want);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_ne(got[i], sent[i]);
		ck_assert_uint_eq(ino_of(got[i]), ino_of(sent[i]));
		ck_assert_int_eq(fcntl(got[i], F_GETFD), FD_CLOEXEC);
	}
}
END_TEST

START_TEST(fdpass_send_refuses_nine)
{
	int fds[FDPASS_MAX + 1];
	char byte;

	make_files(fds, FDPASS_MAX + 1);
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, fds, FDPASS_MAX + 1), -EINVAL);
	ck_assert_int_eq(recv(far_fd, &byte, 1, MSG_DONTWAIT), -1);	/* nothing was sent */
	ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(fdpass_send_survives_a_closed_peer)
{
	(void)close(far_fd);
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, NULL, 0), -EPIPE);
}
END_TEST

START_TEST(fdpass_send_refuses_a_closed_descriptor)
{
	int fds[2] = {near_fd, -1};

	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, fds, 2), -EBADF);
	ck_assert_int_eq(fdpass_send(-1, "x", 1, NULL, 0), -EBADF);
}
END_TEST

/* One more than there is room for; and eight for each room. */
START_TEST(fdpass_recv_refuses_more_than_it_has_room_for)
{
	int fds[FDPASS_MAX];

	make_files(fds, FDPASS_MAX);
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, fds, (size_t)_i + 1), 0);
	assert_refused(1, (size_t)_i, -EPROTO);
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, fds, FDPASS_MAX), 0);
	assert_refused(1, (size_t)_i, -EPROTO);
}
END_TEST

static const size_t too_many[] = {9, 10, 11, 12, 13, 252, 253};

START_TEST(fdpass_recv_refuses_more_than_eight)
{
	int fds[MANY];

	for (size_t i = 0; i < MANY; i++)
		fds[i] = near_fd;
	send_raw("x", 1, fds, too_many[_i]);
	assert_refused(1, FDPASS_MAX, -EPROTO);
}
END_TEST

/* The kernel then installs as many as it can, and cuts the rest off. */
START_TEST(fdpass_recv_refuses_what_the_limit_cut)
{
	int fds[FDPASS_MAX];
	int next = dup(near_fd);
	struct rlimit old, limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = (struct rlimit){(rlim_t)(next + 1 + _i), old.rlim_max};
	for (size_t i = 0; i < FDPASS_MAX; i++)
		fds[i] = near_fd;
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, fds, FDPASS_MAX), 0);
	(void)close(next);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_refused(1, FDPASS_MAX, -EPROTO);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);	/* for Check and sanitizers */
}
END_TEST

START_TEST(fdpass_recv_refuses_a_message_that_is_too_long)
{
	int fds[FDPASS_MAX];

	make_files(fds, FDPASS_MAX);
	ck_assert_int_eq(fdpass_send(near_fd, "0123456789", 10, fds, (size_t)_i), 0);
	assert_refused(9, FDPASS_MAX, -EMSGSIZE);
	ck_assert_int_eq(fdpass_send(near_fd, "0123456789", 10, fds, (size_t)_i), 0);
	assert_refused(1, 0, -EMSGSIZE);
}
END_TEST

START_TEST(fdpass_recv_takes_a_message_that_just_fits)
{
	char data[10];
	size_t n, len;

	ck_assert_int_eq(fdpass_send(near_fd, "0123456789", 10, NULL, 0), 0);
	ck_assert_int_eq(fdpass_recv(far_fd, data, 10, NULL, 0, &n, &len), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(len, 10);
}
END_TEST

/* A control message of another kind, alone or with descriptors behind it. */
START_TEST(fdpass_recv_refuses_credentials)
{
	int on = 1;

	ck_assert_int_eq(setsockopt(far_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, &near_fd, (size_t)_i), 0);
	assert_refused(1, FDPASS_MAX, -EPROTO);
}
END_TEST

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76	/* Linux 6.5 */
#endif

/* This kind comes behind the descriptors, and is one itself. */
START_TEST(fdpass_recv_refuses_pidfds)
{
	int on = 1;

	if (setsockopt(far_fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
		return;	/* too old to send any */
	ck_assert_int_eq(fdpass_send(near_fd, "x", 1, &near_fd, (size_t)_i), 0);
	assert_refused(1, FDPASS_MAX, -EPROTO);
}
END_TEST

START_TEST(fdpass_recv_tells_that_the_peer_closed)
{
	char byte;
	int fd;
	size_t n = 77, len = 77;

	(void)close(near_fd);
	ck_assert_int_eq(fdpass_recv(far_fd, &byte, 1, &fd, 1, &n, &len), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(len, 0);
}
END_TEST

/*
 * No byte, but descriptors: the length of a peer that closed. Who sees that
 * length looks for no descriptors, so none may be handed out.
 */
START_TEST(fdpass_recv_refuses_descriptors_without_a_byte)
{
	send_raw("", 0, &near_fd, 1);
	assert_refused(1, FDPASS_MAX, -EPROTO);
}
END_TEST

START_TEST(fdpass_recv_refuses_what_is_no_socket)
{
	int fd;

	make_files(&fd, 1);
	(void)close(far_fd);
	far_fd = fd;
	assert_refused(1, FDPASS_MAX, -ENOTSOCK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fdpass");
	TCase *passing = tcase_create("passing"), *refusing = tcase_create("refusing");

	tcase_add_checked_fixture(passing, setup, NULL);
	tcase_add_loop_test(passing, fdpass_carries_up_to_eight, 0, FDPASS_MAX + 1);
	tcase_add_test(passing, fdpass_send_refuses_nine);
	tcase_add_test(passing, fdpass_send_survives_a_closed_peer);
	tcase_add_test(passing, fdpass_send_refuses_a_closed_descriptor);
	tcase_add_test(passing, fdpass_recv_takes_a_message_that_just_fits);
	tcase_add_test(passing, fdpass_recv_tells_that_the_peer_closed);
	suite_add_tcase(suite, passing);

	tcase_add_checked_fixture(refusing, setup, NULL);
	tcase_add_loop_test(refusing, fdpass_recv_refuses_more_than_it_has_room_for, 0, FDPASS_MAX);
	tcase_add_loop_test(refusing, fdpass_recv_refuses_more_than_eight, 0, ROWS(too_many));
	tcase_add_loop_test(refusing, fdpass_recv_refuses_what_the_limit_cut, 0, 4);
	tcase_add_loop_test(refusing, fdpass_recv_refuses_a_message_that_is_too_long, 0, 9);
	tcase_add_loop_test(refusing, fdpass_recv_refuses_credentials, 0, 2);
	tcase_add_loop_test(refusing, fdpass_recv_refuses_pidfds, 0, 2);
	tcase_add_test(refusing, fdpass_recv_refuses_descriptors_without_a_byte);
	tcase_add_test(refusing, fdpass_recv_refuses_what_is_no_socket);
	suite_add_tcase(suite, refusing);
	return unit_run(suite);
}
