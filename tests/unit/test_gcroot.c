/* SPDX-License-Identifier: MIT */
/*
 * In a world below the build directory (WORLD, config.h), made afresh for each
 * test. Who owns what in it is told by a fake fstat(2): so the tests need no
 * second user, and it does not matter whose the directories above are. Modes,
 * links and everything else are the kernel's. Attacks 43 to 46.
 */
#include "unit.h"

#include "config.h"
#include "gcroot.h"

#include <ftw.h>
#include <limits.h>
#include <sys/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#define CALLER 1000
#define OTHER 1001

#define HOME WORLD "/home/alice"
#define LINK HOME "/result"
#define BASE "0123456789abcdfghijklmnpqrsvwxyz-nixos-system-test"
#define TOPLEVEL STORE_DIR "/" BASE
#define AUTO STATE_DIR "/gcroots/auto"
#define PROFILE STATE_DIR "/profiles/per-user/alice"

/* What the fakes are told beyond the rule in owner_of(). */
static struct {
	const char *path[2];	/* whose owner is another */
	uid_t uid[2];
	const char *device;	/* a path that says it is on another device */
	int links_read;
	bool by_name;		/* and not of the descriptor that was looked at */
} fake;

static bool is_below(const char *path, const char *dir)
{
	return strncmp(path, dir, strlen(dir)) == 0 && path[strlen(dir)] == '/';
}

/* Nix is root's, but for what is "per-user/alice"; the homes are the users'. */
static uid_t owner_of(const char *path)
{
	for (int i = 0; i < ROWS(fake.path); i++) {
		if (fake.path[i] && strcmp(path, fake.path[i]) == 0)
			return fake.uid[i];
	}
	if (strcmp(path, WORLD) == 0 || strcmp(path, WORLD "/home") == 0)
		return 0;
	if (is_below(path, WORLD "/nix") && !strstr(path, "/per-user/alice"))
		return 0;
	return CALLER;
}

/* The one that gcroot.c is linked with. */
int fstat(int fd, struct stat *st)
{
	char self[32], path[PATH_MAX];
	ssize_t len;

	if (fstatat(fd, "", st, AT_EMPTY_PATH) < 0)
		return -1;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	len = readlink(self, path, sizeof(path) - 1);
	if (len < 0)
		return -1;
	path[len] = '\0';
	st->st_uid = owner_of(path);
	if (strcmp(path, WORLD) != 0 && !is_below(path, WORLD) && S_ISDIR(st->st_mode)) {
		st->st_uid = 0;
		st->st_mode = S_IFDIR | 0755;
	}
	if (fake.device && strcmp(path, fake.device) == 0)
		st->st_dev++;
	return 0;
}

ssize_t readlinkat(int dir_fd, const char *path, char *buf, size_t size)
{
	fake.links_read++;
	fake.by_name |= path[0] != '\0';
	return syscall(SYS_readlinkat, dir_fd, path, buf, size);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void make_dir(const char *path, mode_t mode)
{
	ck_assert_msg(mkdir(path, 0700) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(chmod(path, mode), 0);
}

/* The link as root of the collector, as the Nix daemon registers it. */
static void register_as(const char *link, const char *target)
{
	char path[PATH_MAX], name[STOREPATH_ROOT_SIZE];

	storepath_root_name(link, name);
	(void)snprintf(path, sizeof(path), AUTO "/%s", name);	/* short enough */
	(void)unlink(path);					/* there may be none */
	ck_assert_int_eq(symlink(target, path), 0);
}

static void link_to(const char *target, const char *link)
{
	(void)unlink(link);	/* there may be none */
	ck_assert_msg(symlink(target, link) == 0, "%s: %s", link, strerror(errno));
}

/* All is well: alice's registered link to a system in a store of root's. */
static void setup(void)
{
	static const char *const dirs[] = {
		WORLD, WORLD "/home", HOME, WORLD "/nix", STORE_DIR, TOPLEVEL, WORLD "/nix/var",
		STATE_DIR, STATE_DIR "/gcroots", AUTO, STATE_DIR "/gcroots/per-user",
		STATE_DIR "/gcroots/per-user/alice", STATE_DIR "/profiles",
		STATE_DIR "/profiles/per-user", PROFILE,
	};

	(void)chmod(HOME, 0700);	/* as a test may have left them */
	(void)chmod(AUTO, 0700);
	(void)nftw(WORLD, remove_one, 16, FTW_DEPTH | FTW_PHYS);	/* there may be none */
	for (int i = 0; i < ROWS(dirs); i++)
		make_dir(dirs[i], 0755);
	ck_assert_int_eq(chmod(TOPLEVEL, 0555), 0);
	link_to(TOPLEVEL, LINK);
	register_as(LINK, LINK);
}

static enum refusal check(const char *link)
{
	char base[STOREPATH_BASE_SIZE];
	enum refusal r;

	memset(base, '#', sizeof(base));
	r = gcroot_check(link, CALLER, base);
	if (r == REFUSED_NOT)
		ck_assert_str_eq(base, BASE);
	return r;
}

/* Modes are no obstacle to root, unless he gives up his capabilities. */
static enum refusal check_without_capabilities(const char *link)
{
	cap_t none = cap_init();

	ck_assert_int_eq(cap_set_proc(none), 0);
	(void)cap_free(none);
	return check(link);
}

static void set_owner(int i, const char *path, uid_t uid)
{
	fake.path[i] = path;
	fake.uid[i] = uid;
}

START_TEST(gcroot_accepts_a_registered_link)
{
	ck_assert_int_eq(check(LINK), REFUSED_NOT);
	ck_assert_int_eq(check_without_capabilities(LINK), REFUSED_NOT);
}
END_TEST

/* G1 */
static const struct {
	const char *link;
	enum refusal expected;
} links[] = {
	{"", REFUSED_LINK_ABSOLUTE},
	{"result", REFUSED_LINK_ABSOLUTE},
	{"./result", REFUSED_LINK_ABSOLUTE},
	{"~/result", REFUSED_LINK_ABSOLUTE},
	{"/", REFUSED_LINK_ABSOLUTE},
	{"//", REFUSED_LINK_ABSOLUTE},
	{"/.", REFUSED_LINK_ABSOLUTE},
	{"/..", REFUSED_LINK_ABSOLUTE},
	{"/" LINK, REFUSED_LINK_ABSOLUTE},
	{"/." LINK, REFUSED_LINK_ABSOLUTE},
	{"/.." LINK, REFUSED_LINK_ABSOLUTE},
	{HOME "//result", REFUSED_LINK_ABSOLUTE},
	{HOME "/./result", REFUSED_LINK_ABSOLUTE},
	{HOME "/../alice/result", REFUSED_LINK_ABSOLUTE},
	{LINK "/", REFUSED_LINK_PARENT_SYMLINK},
	{HOME "/", REFUSED_LINK_ABSOLUTE},
	{HOME "/.", REFUSED_LINK_ABSOLUTE},
	{HOME "/..", REFUSED_LINK_ABSOLUTE},
	{HOME "/...", REFUSED_LINK_MISSING},
	{HOME "/%s%n", REFUSED_LINK_MISSING},
	{HOME "/a\nb\033[2J", REFUSED_LINK_MISSING},
};

START_TEST(gcroot_refuses_a_path_that_is_not_plain)	/* G1 */
{
	ck_assert_int_eq(check(links[_i].link), links[_i].expected);
}
END_TEST

static const struct {
	size_t len;	/* of the last part */
	enum refusal expected;
} parts[] = {
	{NAME_MAX - 1, REFUSED_LINK_MISSING},
	{NAME_MAX, REFUSED_LINK_MISSING},
	{NAME_MAX + 1, REFUSED_LINK_LONG},
	{3000, REFUSED_LINK_LONG},
	{PATH_MAX, REFUSED_LINK_LONG},
	{128 * 1024, REFUSED_LINK_LONG},
};

START_TEST(gcroot_refuses_a_name_that_is_too_long)	/* G1 */
{
	char *link = malloc(sizeof(HOME "/") + parts[_i].len);

	ck_assert_ptr_nonnull(link);
	memcpy(link, HOME "/", sizeof(HOME "/"));
	memset(link + strlen(HOME "/"), 'x', parts[_i].len);
	link[strlen(HOME "/") + parts[_i].len] = '\0';
	ck_assert_int_eq(check(link), parts[_i].expected);
	free(link);
}
END_TEST

/* The longest path has PATH_MAX - 1 bytes: 4095 are looked up, 4096 are not. */
START_TEST(gcroot_refuses_a_path_that_is_too_long)	/* G1 */
{
	char link[PATH_MAX + 1];

	for (size_t i = 0; i < sizeof(link); i++)
		link[i] = i % 2 ? 'x' : '/';
	link[PATH_MAX - 1 + _i] = '\0';
	ck_assert_int_eq(check(link), _i == 0 ? REFUSED_LINK_MISSING : REFUSED_LINK_LONG);
}
END_TEST

static const struct {
	const char *dir;
	mode_t mode;
	enum refusal expected;
} modes[] = {
	{HOME, 0700, REFUSED_NOT},
	{HOME, 0755, REFUSED_NOT},
	{HOME, 02755, REFUSED_NOT},
	{HOME, 0775, REFUSED_LINK_PARENT_WRITABLE},
	{HOME, 02775, REFUSED_LINK_PARENT_WRITABLE},
	{HOME, 0757, REFUSED_LINK_PARENT_WRITABLE},
	{HOME, 0777, REFUSED_LINK_PARENT_WRITABLE},
	{HOME, 01775, REFUSED_NOT},
	{HOME, 01757, REFUSED_NOT},
	{HOME, 01777, REFUSED_NOT},
	{WORLD "/home", 0775, REFUSED_LINK_PARENT_WRITABLE},
	{WORLD "/home", 0757, REFUSED_LINK_PARENT_WRITABLE},
	{WORLD "/home", 01777, REFUSED_NOT},
	{WORLD, 0777, REFUSED_LINK_PARENT_WRITABLE},
	{WORLD, 01777, REFUSED_NOT},
};

START_TEST(gcroot_refuses_a_parent_that_others_may_write)	/* G2 */
{
	ck_assert_int_eq(chmod(modes[_i].dir, modes[_i].mode), 0);
	ck_assert_int_eq(check(LINK), modes[_i].expected);
}
END_TEST

static const struct {
	const char *dir;
	uid_t owner;
	mode_t mode;
	enum refusal expected;
} owners[] = {
	{HOME, 0, 0755, REFUSED_NOT},
	{HOME, CALLER, 0755, REFUSED_NOT},
	{HOME, OTHER, 0755, REFUSED_LINK_PARENT_FOREIGN},
	{HOME, OTHER, 01777, REFUSED_LINK_PARENT_FOREIGN},
	{HOME, OTHER, 0777, REFUSED_LINK_PARENT_FOREIGN},
	{HOME, 65534, 0755, REFUSED_LINK_PARENT_FOREIGN},
	{WORLD "/home", CALLER, 0755, REFUSED_NOT},
	{WORLD "/home", OTHER, 0755, REFUSED_LINK_PARENT_FOREIGN},
	{WORLD, OTHER, 0755, REFUSED_LINK_PARENT_FOREIGN},
};

START_TEST(gcroot_refuses_a_parent_of_another_user)	/* G2 */
{
	ck_assert_int_eq(chmod(owners[_i].dir, owners[_i].mode), 0);
	set_owner(0, owners[_i].dir, owners[_i].owner);
	ck_assert_int_eq(check(LINK), owners[_i].expected);
}
END_TEST

START_TEST(gcroot_refuses_a_parent_that_is_a_symlink)	/* G2 */
{
	link_to(HOME, WORLD "/home/bob");
	register_as(WORLD "/home/bob/result", WORLD "/home/bob/result");
	ck_assert_int_eq(check(WORLD "/home/bob/result"), REFUSED_LINK_PARENT_SYMLINK);
	link_to(".", HOME "/here");
	ck_assert_int_eq(check(HOME "/here/result"), REFUSED_LINK_PARENT_SYMLINK);
	link_to("loop", HOME "/loop");
	ck_assert_int_eq(check(HOME "/loop/result"), REFUSED_LINK_PARENT_SYMLINK);
	ck_assert_int_eq(check(LINK "/init"), REFUSED_LINK_PARENT_SYMLINK);
}
END_TEST

START_TEST(gcroot_refuses_a_parent_that_is_missing)	/* G2 */
{
	ck_assert_int_eq(unit_write_text(HOME "/file", ""), 0);
	ck_assert_int_eq(check(HOME "/nowhere/result"), REFUSED_LINK_MISSING);
	ck_assert_int_eq(check(HOME "/file/result"), REFUSED_LINK_MISSING);
	ck_assert_int_eq(check(HOME "/file/x/result"), REFUSED_LINK_MISSING);
}
END_TEST

START_TEST(gcroot_refuses_a_parent_that_cannot_be_searched)	/* G2 */
{
	ck_assert_int_eq(chmod(HOME, 0600), 0);
	ck_assert_int_eq(check_without_capabilities(LINK), REFUSED_LINK_UNREADABLE);
}
END_TEST

/* The links of a process to its directory and to what it has open are its user's. */
START_TEST(gcroot_refuses_a_link_in_proc)	/* G2; attack 45 */
{
	static const char *const names[] = {"cwd", "root", "fd/100", "nowhere"};
	int fd = open(TOPLEVEL, O_PATH);
	char link[64];

	(void)snprintf(link, sizeof(link), "/proc/%d/%s", getpid(), names[_i]);	/* short */
	ck_assert_int_eq(dup2(fd, 100), 100);
	ck_assert_int_eq(chdir(TOPLEVEL), 0);
	register_as(link, link);
	ck_assert_int_eq(check(link), REFUSED_LINK_PROC);
	(void)snprintf(link, sizeof(link), "/proc/%d/task/%d/cwd", getpid(), getpid());
	register_as(link, link);
	ck_assert_int_eq(check(link), REFUSED_LINK_PROC);
	ck_assert_int_eq(check("/proc/self"), REFUSED_LINK_PROC);
	ck_assert_int_eq(check("/proc/self/cwd"), REFUSED_LINK_PARENT_SYMLINK);
}
END_TEST

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(chdir(HOME), 0);	/* sun_path is short */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(rename("s", path), 0);
}

START_TEST(gcroot_refuses_what_is_no_symlink)	/* G3; attack 43 */
{
	ck_assert_int_eq(unlink(LINK), 0);
	ck_assert_int_eq(check(LINK), REFUSED_LINK_MISSING);
	make_dir(LINK, 0755);
	ck_assert_int_eq(check(LINK), REFUSED_LINK_DIRECTORY);
	ck_assert_int_eq(rmdir(LINK), 0);
	ck_assert_int_eq(unit_write_text(LINK, TOPLEVEL), 0);
	ck_assert_int_eq(check(LINK), REFUSED_LINK_FILE);
	ck_assert_int_eq(unlink(LINK), 0);
	ck_assert_int_eq(mkfifo(LINK, 0600), 0);	/* opened, it would hang */
	ck_assert_int_eq(check(LINK), REFUSED_LINK_FILE);
	ck_assert_int_eq(unlink(LINK), 0);
	make_socket(LINK);
	ck_assert_int_eq(check(LINK), REFUSED_LINK_FILE);
	ck_assert_int_eq(check("/dev/null"), REFUSED_LINK_FILE);
	ck_assert_int_eq(check(TOPLEVEL), REFUSED_LINK_DIRECTORY);
	ck_assert_int_eq(check(STORE_DIR), REFUSED_LINK_DIRECTORY);
}
END_TEST

static const uid_t strangers[] = {0, OTHER, 65534, (uid_t)-1};

START_TEST(gcroot_refuses_a_link_of_another_user)	/* G3 */
{
	set_owner(0, LINK, strangers[_i]);
	ck_assert_int_eq(check(LINK), REFUSED_LINK_FOREIGN);
}
END_TEST

static const struct {
	const char *target;
	enum refusal expected;
} targets[] = {
	{"result", REFUSED_LINK_LOOP},
	{LINK, REFUSED_LINK_LOOP},
	{"other", REFUSED_TARGET_NOT_STORE},	/* a second hop, which is in the store */
	{HOME "/other", REFUSED_TARGET_NOT_STORE},
	{"../../nix/store/" BASE, REFUSED_TARGET_NOT_STORE},
	{"/proc/self/fd/5", REFUSED_TARGET_NOT_STORE},
	{"/" TOPLEVEL, REFUSED_TARGET_NOT_STORE},
	{STORE_DIR, REFUSED_TARGET_NOT_STORE},
	{STORE_DIR "/", REFUSED_TARGET_NAME},
	{STORE_DIR "/..", REFUSED_TARGET_NAME},
	{STORE_DIR "/.links", REFUSED_TARGET_NAME},
	{TOPLEVEL " ", REFUSED_TARGET_NAME},
	{TOPLEVEL "\n", REFUSED_TARGET_NAME},
	{TOPLEVEL "/", REFUSED_TARGET_INSIDE},
	{TOPLEVEL "/init", REFUSED_TARGET_INSIDE},
	{STORE_DIR "//" BASE, REFUSED_TARGET_INSIDE},
	{STORE_DIR "/../../home/alice", REFUSED_TARGET_INSIDE},
	{TOPLEVEL ".drv", REFUSED_TARGET_DERIVATION},
	{TOPLEVEL ".lock", REFUSED_TARGET_TEMPORARY},
};

START_TEST(gcroot_refuses_a_link_to_anything_but_a_store_path)	/* G4 */
{
	link_to(TOPLEVEL, HOME "/other");
	link_to(targets[_i].target, LINK);
	ck_assert_int_eq(check(LINK), targets[_i].expected);
}
END_TEST

START_TEST(gcroot_refuses_a_link_as_long_as_links_get)	/* G4 */
{
	char target[PATH_MAX];

	memset(target, 'x', sizeof(target));
	target[sizeof(target) - 1] = '\0';
	link_to(target, LINK);
	ck_assert_int_eq(check(LINK), REFUSED_TARGET_NOT_STORE);
	memcpy(target, TOPLEVEL, strlen(TOPLEVEL));
	link_to(target, LINK);
	ck_assert_int_eq(check(LINK), REFUSED_TARGET_NAME);
}
END_TEST

START_TEST(gcroot_reads_the_link_once)	/* G4 */
{
	ck_assert_int_eq(check(LINK), REFUSED_NOT);
	ck_assert_int_eq(fake.links_read, 1);
	ck_assert(!fake.by_name);
}
END_TEST

START_TEST(gcroot_refuses_a_store_path_that_is_no_directory)	/* G5 */
{
	ck_assert_int_eq(rmdir(TOPLEVEL), 0);
	ck_assert_int_eq(check(LINK), REFUSED_PATH_MISSING);
	ck_assert_int_eq(unit_write_text(TOPLEVEL, ""), 0);
	ck_assert_int_eq(check(LINK), REFUSED_PATH_FILE);
	link_to(HOME, TOPLEVEL);
	ck_assert_int_eq(check(LINK), REFUSED_PATH_FILE);
	link_to("nowhere", TOPLEVEL);
	ck_assert_int_eq(check(LINK), REFUSED_PATH_FILE);
}
END_TEST

static const struct {
	uid_t store, path;
	enum refusal expected;
} store_owners[] = {
	{0, 0, REFUSED_NOT},
	{0, CALLER, REFUSED_PATH_OWNER},
	{0, OTHER, REFUSED_PATH_OWNER},	/* nixbld, while it builds */
	{CALLER, CALLER, REFUSED_NOT},	/* a single-user Nix */
	{CALLER, 0, REFUSED_PATH_OWNER},
	{CALLER, OTHER, REFUSED_PATH_OWNER},
	{OTHER, OTHER, REFUSED_STORE},
	{OTHER, 0, REFUSED_STORE},
	{OTHER, CALLER, REFUSED_STORE},
};

START_TEST(gcroot_refuses_a_store_path_of_another_owner)	/* G5 */
{
	set_owner(0, STORE_DIR, store_owners[_i].store);
	set_owner(1, TOPLEVEL, store_owners[_i].path);
	ck_assert_int_eq(check(LINK), store_owners[_i].expected);
}
END_TEST

static const struct {
	mode_t mode;
	enum refusal expected;
} path_modes[] = {
	{0555, REFUSED_NOT},
	{0755, REFUSED_NOT},
	{0500, REFUSED_NOT},
	{0575, REFUSED_PATH_WRITABLE},
	{0557, REFUSED_PATH_WRITABLE},
	{0777, REFUSED_PATH_WRITABLE},
	{01777, REFUSED_PATH_WRITABLE},	/* no use for a sticky one there */
};

START_TEST(gcroot_refuses_a_store_path_that_others_may_write)	/* G5 */
{
	ck_assert_int_eq(chmod(TOPLEVEL, path_modes[_i].mode), 0);
	ck_assert_int_eq(check(LINK), path_modes[_i].expected);
}
END_TEST

/* Writable by the builders, and sticky: as a multi-user Nix makes it. */
START_TEST(gcroot_accepts_the_mode_of_a_real_store)	/* G5 */
{
	ck_assert_int_eq(chmod(STORE_DIR, 01775), 0);
	ck_assert_int_eq(check(LINK), REFUSED_NOT);
}
END_TEST

START_TEST(gcroot_refuses_without_a_store)	/* G5 */
{
	ck_assert_int_eq(rename(STORE_DIR, STORE_DIR ".away"), 0);
	ck_assert_int_eq(check(LINK), REFUSED_STORE);
	ck_assert_int_eq(unit_write_text(STORE_DIR, ""), 0);
	ck_assert_int_eq(check(LINK), REFUSED_STORE);
}
END_TEST

START_TEST(gcroot_refuses_a_store_path_on_another_device)	/* G5 */
{
	fake.device = TOPLEVEL;
	ck_assert_int_eq(check(LINK), REFUSED_PATH_DEVICE);
}
END_TEST

/* A mount may have the device of the store: a bind of its own other directory. */
START_TEST(gcroot_refuses_a_mount_over_the_store_path)	/* G5; attack 44 */
{
	ck_assert_int_eq(unit_unshare(), 0);
	if (_i == 0)
		ck_assert_int_eq(mount("none", TOPLEVEL, "tmpfs", 0, "mode=0555"), 0);
	else
		ck_assert_int_eq(mount(TOPLEVEL, TOPLEVEL, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(check(LINK), REFUSED_PATH_DEVICE);
}
END_TEST

/* The store itself may well be a mount: on NixOS it is. */
START_TEST(gcroot_accepts_a_store_that_is_a_mount)	/* G5 */
{
	ck_assert_int_eq(unit_unshare(), 0);
	ck_assert_int_eq(mount(STORE_DIR, STORE_DIR, NULL, MS_BIND, NULL), 0);
	ck_assert_int_eq(check(LINK), REFUSED_NOT);
}
END_TEST

START_TEST(gcroot_refuses_an_unregistered_link)	/* G6 */
{
	link_to(TOPLEVEL, HOME "/other");
	ck_assert_int_eq(check(HOME "/other"), REFUSED_ROOT_UNREGISTERED);
	ck_assert_int_eq(rename(AUTO, AUTO ".away"), 0);
	ck_assert_int_eq(check(LINK), REFUSED_ROOT_UNREGISTERED);
}
END_TEST

static const char *const registered[] = {
	HOME "/other",		/* another link, that is a root itself */
	HOME "/resulT",
	HOME "/resul",		/* shorter by one */
	LINK "t",		/* and longer */
	LINK "/",
	HOME "//result",
	HOME "/../alice/result",
	"result",
	"/proc/self/fd/5",
	"/dev/fd/3",
	TOPLEVEL,		/* alive, but not by this link */
	"../../../x",
};

START_TEST(gcroot_refuses_the_registration_of_another_link)	/* G6; attack 45 */
{
	link_to(TOPLEVEL, HOME "/other");
	register_as(HOME "/other", HOME "/other");
	register_as(LINK, registered[_i]);
	ck_assert_int_eq(check(LINK), REFUSED_ROOT_OTHER);
}
END_TEST

START_TEST(gcroot_refuses_a_registration_that_is_no_link)	/* G6 */
{
	char path[PATH_MAX], name[STOREPATH_ROOT_SIZE];

	storepath_root_name(LINK, name);
	(void)snprintf(path, sizeof(path), AUTO "/%s", name);	/* short enough */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(unit_write_text(path, LINK), 0);
	ck_assert_int_eq(check(LINK), REFUSED_ROOT_UNREGISTERED);
}
END_TEST

/* Any user may fill the directory: the name is looked up, not looked for. */
START_TEST(gcroot_never_lists_the_registrations)	/* G6; attack 45 */
{
	ck_assert_int_eq(chmod(AUTO, 0311), 0);
	ck_assert_int_eq(check_without_capabilities(LINK), REFUSED_NOT);
}
END_TEST

static const struct {
	const char *dir;
	enum refusal expected;
} scanned[] = {
	{PROFILE, REFUSED_NOT},
	{STATE_DIR "/gcroots/per-user/alice", REFUSED_NOT},
	{STATE_DIR "/gcroots", REFUSED_NOT},
	{STATE_DIR "/profiles", REFUSED_NOT},
	/* beside what Nix scans, with a name that begins the same */
	{STATE_DIR "/profiles-old", REFUSED_ROOT_UNREGISTERED},
	{STATE_DIR "/gcroots2", REFUSED_ROOT_UNREGISTERED},
	{STATE_DIR "/temproots", REFUSED_ROOT_UNREGISTERED},
	{STATE_DIR, REFUSED_ROOT_UNREGISTERED},
};

START_TEST(gcroot_accepts_unregistered_only_where_nix_scans)	/* G6 */
{
	char link[PATH_MAX];

	(void)snprintf(link, sizeof(link), "%s/system-1-link", scanned[_i].dir);	/* short */
	make_dir(scanned[_i].dir, 0755);
	link_to(TOPLEVEL, link);
	set_owner(0, link, CALLER);
	ck_assert_int_eq(check(link), scanned[_i].expected);
}
END_TEST

/* What Nix registered there is root's, whoever asked for it. */
START_TEST(gcroot_refuses_the_registration_itself)	/* G3, G6 */
{
	char link[PATH_MAX], name[STOREPATH_ROOT_SIZE];

	storepath_root_name(LINK, name);
	(void)snprintf(link, sizeof(link), AUTO "/%s", name);	/* short enough */
	ck_assert_int_eq(check(link), REFUSED_LINK_FOREIGN);
}
END_TEST

static void add_link(Suite *suite)
{
	TCase *tc = tcase_create("link");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, gcroot_accepts_a_registered_link);
	tcase_add_loop_test(tc, gcroot_refuses_a_path_that_is_not_plain, 0, ROWS(links));
	tcase_add_loop_test(tc, gcroot_refuses_a_name_that_is_too_long, 0, ROWS(parts));
	tcase_add_loop_test(tc, gcroot_refuses_a_path_that_is_too_long, 0, 2);
	tcase_add_loop_test(tc, gcroot_refuses_a_parent_that_others_may_write, 0, ROWS(modes));
	tcase_add_loop_test(tc, gcroot_refuses_a_parent_of_another_user, 0, ROWS(owners));
	tcase_add_test(tc, gcroot_refuses_a_parent_that_is_a_symlink);
	tcase_add_test(tc, gcroot_refuses_a_parent_that_is_missing);
	tcase_add_test(tc, gcroot_refuses_a_parent_that_cannot_be_searched);
	tcase_add_loop_test(tc, gcroot_refuses_a_link_in_proc, 0, 4);
	tcase_add_test(tc, gcroot_refuses_what_is_no_symlink);
	tcase_add_loop_test(tc, gcroot_refuses_a_link_of_another_user, 0, ROWS(strangers));
	suite_add_tcase(suite, tc);
}

static void add_target(Suite *suite)
{
	TCase *tc = tcase_create("target");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_loop_test(tc, gcroot_refuses_a_link_to_anything_but_a_store_path, 0,
			    ROWS(targets));
	tcase_add_test(tc, gcroot_refuses_a_link_as_long_as_links_get);
	tcase_add_test(tc, gcroot_reads_the_link_once);
	tcase_add_test(tc, gcroot_refuses_a_store_path_that_is_no_directory);
	tcase_add_loop_test(tc, gcroot_refuses_a_store_path_of_another_owner, 0,
			    ROWS(store_owners));
	tcase_add_loop_test(tc, gcroot_refuses_a_store_path_that_others_may_write, 0,
			    ROWS(path_modes));
	tcase_add_test(tc, gcroot_accepts_the_mode_of_a_real_store);
	tcase_add_test(tc, gcroot_refuses_without_a_store);
	tcase_add_test(tc, gcroot_refuses_a_store_path_on_another_device);
	if (unit_have_namespaces("gcroot")) {
		tcase_add_loop_test(tc, gcroot_refuses_a_mount_over_the_store_path, 0, 2);
		tcase_add_test(tc, gcroot_accepts_a_store_that_is_a_mount);
	}
	suite_add_tcase(suite, tc);
}

static void add_registration(Suite *suite)
{
	TCase *tc = tcase_create("registration");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, gcroot_refuses_an_unregistered_link);
	tcase_add_loop_test(tc, gcroot_refuses_the_registration_of_another_link, 0,
			    ROWS(registered));
	tcase_add_test(tc, gcroot_refuses_a_registration_that_is_no_link);
	tcase_add_test(tc, gcroot_never_lists_the_registrations);
	tcase_add_loop_test(tc, gcroot_accepts_unregistered_only_where_nix_scans, 0, ROWS(scanned));
	tcase_add_test(tc, gcroot_refuses_the_registration_itself);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("gcroot");

	add_link(suite);
	add_target(suite);
	add_registration(suite);
	return unit_run(suite);
}
