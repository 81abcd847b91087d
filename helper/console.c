/* SPDX-License-Identifier: MIT */
#include "console.h"

#include "auto.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

static int make_devpts(void)
{
	static const struct {
		const char *key, *value;
	} options[] = {
		{"source", "devpts"},
		{"mode", "0620"},
		{"ptmxmode", "0666"},
		/* What agetty and login give the terminal to; 3 on NixOS, 5 elsewhere. */
		{"gid", STRING(TTY_GID)},
	};
	auto_close int fs_fd = fsopen("devpts", FSOPEN_CLOEXEC);
	int fd;

	if (fs_fd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (fsconfig(fs_fd, FSCONFIG_SET_STRING, options[i].key, options[i].value, 0) < 0)
			return -errno;
	}
	if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

int console_make(struct console *ret)
{
	auto_close int devpts_fd = make_devpts();
	auto_close int master_fd = -1;
	unsigned int number;
	int unlocked = 0;

	if (devpts_fd < 0)
		return devpts_fd;
	/* Through the mount itself: no path that anybody could have changed. */
	master_fd = openat(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	if (master_fd < 0)
		return -errno;
	if (ioctl(master_fd, TIOCSPTLCK, &unlocked) < 0 || ioctl(master_fd, TIOCGPTN, &number) < 0)
		return -errno;
	if (number != 0)
		return -ENOTTY;
	ret->devpts_fd = fd_steal(&devpts_fd);
	ret->master_fd = fd_steal(&master_fd);
	return 0;
}
