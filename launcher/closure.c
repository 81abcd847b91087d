/* SPDX-License-Identifier: MIT */
#include "closure.h"

#include "auto.h"
#include "config.h"
#include "machine.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

static bool is_store_path(const char *path)
{
	return strncmp(path, STORE_DIR "/", sizeof(STORE_DIR)) == 0;
}

/* As Nix's canonPath(): by text, without looking at the file system. */
static void canonicalize(char *path)
{
	char *out = path;
	const char *in = path;

	while (*in) {
		size_t len;

		in += strspn(in, "/");
		len = strcspn(in, "/");
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (len > 0 && !(len == 1 && in[0] == '.')) {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

int closure_locate(const char *typed, struct closure *ret)
{
	char cwd[PATH_MAX] = "";
	ssize_t n;
	int len;

	*ret = (struct closure){.fd = -1};
	if (typed[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return -errno;
	len = snprintf(ret->link, sizeof(ret->link), "%s/%s", cwd, typed);
	if (len < 0 || (size_t)len >= sizeof(ret->link))
		return -ENAMETOOLONG;
	canonicalize(ret->link);
	if (is_store_path(ret->link)) {
		memcpy(ret->toplevel, ret->link, sizeof(ret->toplevel));
		ret->own_root = true;
		return 0;
	}
	n = readlink(ret->link, ret->toplevel, sizeof(ret->toplevel) - 1);
	if (n < 0)
		return -errno;
	ret->toplevel[n] = '\0';
	return is_store_path(ret->toplevel) ? 0 : -EINVAL;
}

static bool exists(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The first line of a small file; "" if there is none. */
static void read_line(int dir_fd, const char *name, char *ret, size_t size)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);

	ret[n < 0 ? 0 : n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* With an initrd, stage 2 is prepare-root; nixos-init has none and needs the initrd. */
static bool is_nixos_init(int fd)
{
	auto_close int init_fd = openat(fd, "init", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat init, systemd;
	char magic[SELFMAG];

	if (exists(fd, "prepare-root") || init_fd < 0 || fstat(init_fd, &init) < 0)
		return false;
	if (read(init_fd, magic, sizeof(magic)) != sizeof(magic) ||
	    memcmp(magic, ELFMAG, SELFMAG) != 0)
		return false;
	/* A copy of systemd, which alone would start with an empty /etc. */
	return fstatat(fd, "systemd/lib/systemd/systemd", &systemd, 0) == 0 &&
	       systemd.st_size == init.st_size;
}

static bool is_foreign(int fd)
{
	char system[64];
	struct utsname host;
	size_t len;

	read_line(fd, "system", system, sizeof(system));
	len = strcspn(system, "-");
	if (system[0] == '\0' || strcmp(system + len, "-linux") != 0)
		return false;	/* not said: exec(2) will tell */
	system[len] = '\0';
	if (uname(&host) < 0 || strcmp(system, host.machine) == 0)
		return false;
	return !(strcmp(system, "i686") == 0 && strcmp(host.machine, "x86_64") == 0);
}

static bool is_executable(int fd)
{
	return faccessat(fd, exists(fd, "prepare-root") ? "prepare-root" : "init", X_OK, 0) == 0;
}

enum closure_failure closure_open(struct closure *closure)
{
	closure->fd = open(closure->toplevel, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (closure->fd < 0)
		return CLOSURE_GONE;
	if (exists(closure->fd, "etc-metadata-image"))
		return CLOSURE_ETC_OVERLAY;
	if (!exists(closure->fd, "prepare-root") && !exists(closure->fd, "init"))
		return CLOSURE_NO_INIT;
	if (is_foreign(closure->fd))
		return CLOSURE_ARCHITECTURE;
	if (!is_executable(closure->fd))
		return CLOSURE_NOT_EXECUTABLE;
	if (is_nixos_init(closure->fd))
		return CLOSURE_NIXOS_INIT;
	return CLOSURE_OK;
}

const char *closure_failure_text(enum closure_failure f)
{
	switch (f) {
	case CLOSURE_GONE:
		return "the link dangles: what it points to is not in the store (collected?); "
		       "build it again";
	case CLOSURE_NO_INIT:
		return "no NixOS system: it has no 'init'; build config.system.build.toplevel";
	case CLOSURE_NOT_EXECUTABLE:
		return "its 'init' cannot be executed; 'nix-store --verify --check-contents' the store";
	case CLOSURE_ETC_OVERLAY:
		return "its /etc is an image that only an initrd can mount; "
		       "set system.etc.overlay.enable = false (or boot.isContainer = true)";
	case CLOSURE_NIXOS_INIT:
		return "it starts by nixos-init, which needs an initrd; "
		       "set system.nixos-init.enable = false (or boot.isContainer = true)";
	case CLOSURE_ARCHITECTURE:
		return "it is built for another architecture than this computer's; "
		       "set nixpkgs.hostPlatform";
	case CLOSURE_OK:
		break;
	}
	return "nothing is wrong with it";
}

bool closure_has_console(const struct closure *closure)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(closure->fd, "etc/systemd/system/console-getty.service", target,
			       sizeof(target) - 1);

	target[n < 0 ? 0 : n] = '\0';
	return strcmp(target, "/dev/null") != 0;
}

void closure_name(const struct closure *closure, char *ret, size_t size)
{
	const char *base = closure->own_root ? "result" : strrchr(closure->link, '/') + 1;

	(void)strlcpy(ret, base, size);	/* too long is invalid, and found to be */
	if (strcmp(base, "result") == 0) {
		char host[PLAN_NAME_MAX + 1];

		read_line(closure->fd, "etc/hostname", host, sizeof(host));
		if (machine_name_is_valid(host))
			(void)strlcpy(ret, host, size);	/* as valid, it fits */
	}
}
