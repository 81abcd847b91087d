/* SPDX-License-Identifier: MIT */
/* One message with file descriptors over a SOCK_SEQPACKET socket. */
/* Used by: nixuser-helper, nixuser-boot, nixuser-launch. Privilege: none. */
#pragma once

#include <stddef.h>

#define FDPASS_MAX 8

/**
 * fdpass_send() - send one message and up to FDPASS_MAX descriptors with it
 * @sock: connected SOCK_SEQPACKET socket
 * @data: the message; borrowed
 * @len:  its size in bytes, at least 1 (a control message needs a byte to ride on)
 * @fds:  descriptors to pass; borrowed, they stay open here
 * @n:    how many
 *
 * Return: 0, -EINVAL for more than FDPASS_MAX, or -errno of sendmsg(2); EPIPE
 * does not raise SIGPIPE.
 * Privilege: none. Source: unix(7), SCM_RIGHTS.
 */
int fdpass_send(int sock, const void *data, size_t len, const int *fds, size_t n);

/**
 * fdpass_recv() - receive one message and the descriptors that came with it
 * @sock:    connected SOCK_SEQPACKET socket
 * @data:    where the message goes
 * @size:    room there in bytes
 * @fds:     where the descriptors go (close-on-exec); the caller's on success
 * @max:     room there, at most FDPASS_MAX
 * @ret_n:   how many descriptors came
 * @ret_len: length of the message in bytes; 0 means the peer closed
 *
 * A message that is too long, carries more descriptors than @max or a control
 * message of another kind is refused whole, and what came with it is closed.
 *
 * Return: 0, -EMSGSIZE, -EPROTO, or -errno of recvmsg(2).
 * Privilege: none. Source: unix(7), recv(2) on MSG_TRUNC and MSG_CTRUNC.
 */
int fdpass_recv(int sock, void *data, size_t size, int *fds, size_t max,
		size_t *ret_n, size_t *ret_len);
