/* SPDX-License-Identifier: MIT */
/* Keeping a closure alive: a temporary gc root with the nix daemon. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

/**
 * pin_start() - ask the daemon for a temporary root, without waiting for it
 * @toplevel: path in the store
 * @ret_fd:   the connection: as long as it is open, the root lasts; -1 if no
 *            daemon listens
 *
 * The daemon forks, and its answer takes as long as a whole start; so this is one
 * write, when the machine has been running for a while, and pin_finish() reads the
 * answers when they are there. Until then the closure is kept by the gc root that
 * nixuser-helper has checked, and by an O_PATH descriptor of the toplevel held
 * since before: a collector reads /proc/PID/fd. The temporary root goes on when
 * the user removes his link, and with a daemon that cannot read our descriptors.
 *
 * Return: 0, also without a daemon; -errno of socket(2), connect(2), write(2).
 * Source: Nix, src/libstore/worker-protocol.hh; protocol 1.21.
 */
int pin_start(const char *toplevel, int *ret_fd);

/**
 * pin_finish() - read the answers: is the root taken, is the path valid?
 * @fd: from pin_start(), readable
 *
 * Return: 0; -ENOENT if the daemon says that the path is not valid; -EACCES if
 * it refuses us; -EPROTO for an answer that makes no sense; -ETIMEDOUT after 30
 * seconds; -errno of read(2).
 */
int pin_finish(int fd);
