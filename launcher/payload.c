/* SPDX-License-Identifier: MIT */
/*
 * From clone(2) to the first instruction of the closure: what runs in the
 * machine's own namespaces before it is the machine. Its root already, but
 * nothing of the closure has been executed yet.
 */
#include "root.h"

#include "auto.h"
#include "mounts.h"
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int wait_to_go(const struct machine *machine)
{
	char byte;

	/* EOF: nixuser-launch has ended, or could not make our root. */
	return read(machine->go_fd, &byte, 1) == 1 ? 0 : -ECANCELED;
}

static int wait_for_maps(const struct machine *machine)
{
	int r = wait_to_go(machine);

	return r < 0 ? r : getuid() == 0 && getgid() == 0 ? 0 : -EPERM;
}

static int unshare_namespaces(const struct machine *machine)
{
	(void)machine;
	return unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

/* Now that all is in it that has to be locked. */
static int unshare_mounts(const struct machine *machine)
{
	(void)machine;
	return unshare(CLONE_NEWNS) < 0 ? -errno : 0;
}

/* A locked mount cannot be pivoted into; its bind onto itself can. */
static int enter_root(const struct machine *machine)
{
	(void)machine;
	if (mount(ROOT_DIR, ROOT_DIR, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	return chdir(ROOT_DIR) < 0 ? -errno : 0;
}

static int make_mounts(const struct machine *machine)
{
	const char *which;

	(void)machine;
	return mounts_make(MOUNT_INNER, &which);
}

static int write_file(const char *path, const char *content)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (fd < 0)
		return -errno;
	return dprintf(fd, "%s\n", content) < 0 ? -errno : 0;
}

/* Not bound: an absolute link in it would lead astray, and it is small. */
static int copy_os_release(void)
{
	char buf[8192];	/* os-release(5): a few lines; more is cut off */
	auto_close int in = open("/etc/os-release", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	auto_close int out = -1;
	ssize_t n;

	if (in < 0)
		return 0;	/* the interface says "may" */
	n = read(in, buf, sizeof(buf));
	if (n <= 0)
		return 0;
	out = open("run/host/os-release", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (out < 0)
		return -errno;
	return write(out, buf, (size_t)n) == n ? 0 : -EIO;
}

static int bind_notify(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "run/host/notify"};

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return chmod("run/host/notify", 0600) < 0 ? -errno : 0;
}

/* /run/host, by the Container Interface; read-only but for unix-export. */
static int make_run_host(const struct machine *machine)
{
	int r;

	if (mkdir("run/host", 0755) < 0 || mkdir("run/host/unix-export", 0755) < 0)
		return -errno;
	r = write_file("run/host/container-manager", "nixuser-boot");
	if (r < 0)
		return r;
	r = write_file("run/host/container-uuid", machine->launch.plan->machine_id);
	if (r < 0)
		return r;
	r = copy_os_release();
	if (r < 0)
		return r;
	r = bind_notify(machine->launch.notify_fd);
	if (r < 0)
		return r;
	if (move_mount(machine->export_fd, "", AT_FDCWD, "run/host/unix-export",
		       MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int protect_run_host(const struct machine *machine)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	auto_close int fd = open_tree(AT_FDCWD, "run/host",
				      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	(void)machine;
	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(fd, "", AT_FDCWD, "run/host", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/*
 * pivot_root(2) and not chroot(2): nothing of the host stays reachable, and
 * Nix's collector sees the links of our processes as paths in the store.
 */
static int pivot(const struct machine *machine)
{
	(void)machine;
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

static int set_hostname(const struct machine *machine)
{
	return sethostname(machine->launch.plan->name, strlen(machine->launch.plan->name)) < 0 ? -errno : 0;
}

static int raise_loopback(const struct machine *machine)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	(void)machine;
	if (fd < 0)
		return -errno;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* The caller's session keyring holds his Kerberos tickets, his disk keys. */
static int join_keyring(const struct machine *machine)
{
	(void)machine;
	/* ENOSYS: a kernel without keys has none to lose. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return -errno;
	return 0;
}

#define BIT(cap) (UINT64_C(1) << (cap))

/*
 * systemd-nspawn's list with a private network, without the audit capabilities:
 * by the Container Interface, "by dropping them you ensure an entirely clean boot".
 */
static const uint64_t capabilities_kept =
	BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |
	BIT(CAP_FSETID) | BIT(CAP_IPC_OWNER) | BIT(CAP_KILL) | BIT(CAP_LEASE) |
	BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MKNOD) | BIT(CAP_NET_ADMIN) |
	BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_BROADCAST) | BIT(CAP_NET_RAW) |
	BIT(CAP_SETFCAP) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) | BIT(CAP_SETUID) |
	BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_BOOT) | BIT(CAP_SYS_CHROOT) | BIT(CAP_SYS_NICE) |
	BIT(CAP_SYS_PTRACE) | BIT(CAP_SYS_RESOURCE) | BIT(CAP_SYS_TTY_CONFIG);

static int drop_capabilities(const struct machine *machine)
{
	(void)machine;
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (capabilities_kept & BIT(cap))
			continue;
		/* EINVAL: past the last one that this kernel knows. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return errno == EINVAL && cap > CAP_AUDIT_READ ? 0 : -errno;
	}
	return 0;
}

/*
 * A session of its own without a controlling terminal: with one, systemd would
 * get SIGWINCH at each resize and take it for kbrequest, and getty could not
 * have it.
 */
static int open_console(const struct machine *machine)
{
	int fd;

	(void)machine;
	if (setsid() < 0)
		return -errno;
	fd = open("/dev/console", O_RDWR | O_NOCTTY);
	if (fd < 0)
		return -errno;
	for (int i = 0; i <= 2; i++) {
		if (dup2(fd, i) < 0)
			return -errno;
	}
	return 0;
}

static int reset_signals(const struct machine *machine)
{
	sigset_t none;

	(void)machine;
	for (int sig = 1; sig < NSIG; sig++) {
		if (signal(sig, SIG_DFL) == SIG_ERR && errno != EINVAL)
			return -errno;
	}
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

int payload_become_ordinary(void)
{
	int r = join_keyring(NULL);

	if (r == 0)
		r = drop_capabilities(NULL);
	return r < 0 ? r : reset_signals(NULL);
}

/*
 * Last, since a change of credentials clears it. nixuser-launch cannot have
 * ended before: wait_for_maps() has heard from it, and it waits for our exec.
 */
static int die_with_launch(const struct machine *machine)
{
	(void)machine;
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

/*
 * A toplevel made for a systemd initrd has systemd itself as init; its stage 2
 * is prepare-root then.
 */
static void choose_init(const char *toplevel, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/prepare-root", toplevel);	/* sized for it */
	if (access(buf, F_OK) < 0)
		(void)snprintf(buf, size, "%s/init", toplevel);
}

static int run_init(const struct machine *machine)
{
	char *argv[PLAN_ARGS_MAX + 2];
	char path[PATH_MAX + sizeof("/prepare-root")];

	memcpy(argv + 1, machine->launch.plan->args, sizeof(machine->launch.plan->args));
	argv[0] = path;
	choose_init(machine->launch.plan->toplevel, path, sizeof(path));
	(void)umask(0022);	/* always succeeds */
	/* Only the console goes in; what reports a failure closes by itself. */
	if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	execve(path, argv, machine->launch.plan->env);
	return -errno;
}

const struct step payload_steps[] = {
	{"wait for the id maps of the machine", wait_for_maps},
	{"unshare the ipc, uts, net and cgroup namespaces", unshare_namespaces},
	{"set the host name", set_hostname},
	{"bring up the loopback interface", raise_loopback},
	{"join a new session keyring", join_keyring},
	{"wait for the machine's root", wait_to_go},
	{"unshare the mount namespace", unshare_mounts},
	{"enter the machine's root", enter_root},
	{"mount proc, sysfs, cgroup2 and the machine's tmpfs", make_mounts},
	{"make /run/host", make_run_host},
	{"make /run/host read-only", protect_run_host},
	{"pivot into the machine's root", pivot},
	{"drop capabilities", drop_capabilities},
	{"open /dev/console", open_console},
	{"reset signals", reset_signals},
	{"set the parent-death signal", die_with_launch},
	{"execute the closure's init", run_init},
};
const size_t payload_steps_count = sizeof(payload_steps) / sizeof(payload_steps[0]);
