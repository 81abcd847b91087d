/* SPDX-License-Identifier: MIT */
/*
 * Each test is a process of its own (Check forks) in a user namespace of its
 * own, where any user has all capabilities to start from. No id is mapped there:
 * nobody in it is root, so exec(2) gives nothing by itself.
 */
#include "unit.h"

#include "caps.h"

#include <inttypes.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SETUID CAPS_BIT(CAP_SETUID)
#define SETGID CAPS_BIT(CAP_SETGID)
#define HELD (SETUID | SETGID)
#define OTHER CAPS_BIT(CAP_NET_RAW)

/* How capset(2) and capget(2) may lie, by number of calls: a bit for each. */
static struct {
	unsigned int calls;
	unsigned int do_nothing;	/* say 0 and leave all as it is */
	unsigned int leave_inheritable;
	bool capget_fails;
} lie;

/* The one that caps.c is linked with. */
int capset(cap_user_header_t header, const cap_user_data_t data)
{
	unsigned int call = 1u << lie.calls++ % 32;
	struct __user_cap_data_struct copy[2] = {data[0], data[1]};

	if (lie.do_nothing & call)
		return 0;
	if (lie.leave_inheritable & call)
		copy[0].inheritable = data[0].permitted;
	return (int)syscall(SYS_capset, header, copy);
}

int capget(cap_user_header_t header, cap_user_data_t data)
{
	if (lie.capget_fails) {
		errno = EPERM;
		return -1;
	}
	return (int)syscall(SYS_capget, header, data);
}

/* The four sets as the kernel shows them, in 64 bit. */
struct sets {
	uint64_t permitted, effective, inheritable, ambient;
};

static uint64_t read_set(const char *key)
{
	char line[256];
	uint64_t found = UINT64_MAX;
	FILE *f = fopen("/proc/self/status", "re");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)) == 0)
			found = strtoull(line + strlen(key), NULL, 16);
	}
	(void)fclose(f);
	return found;
}

static void assert_sets(struct sets expected)
{
	ck_assert_uint_eq(read_set("CapPrm:"), expected.permitted);
	ck_assert_uint_eq(read_set("CapEff:"), expected.effective);
	ck_assert_uint_eq(read_set("CapInh:"), expected.inheritable);
	ck_assert_uint_eq(read_set("CapAmb:"), expected.ambient);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		int is_set = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0);

		if (is_set >= 0)	/* EINVAL: younger than this kernel */
			ck_assert_int_eq(is_set, expected.ambient >> cap & 1);
	}
}

static void set_caps(struct sets sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(sets.permitted >> 32 * i);
		data[i].effective = (uint32_t)(sets.effective >> 32 * i);
		data[i].inheritable = (uint32_t)(sets.inheritable >> 32 * i);
	}
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (sets.ambient >> cap & 1)
			ck_assert_int_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), 0);
	}
}

/* From here on all are permitted and effective. */
static void setup(void)
{
	ck_assert_int_eq(unshare(CLONE_NEWUSER), 0);
}

static const struct {
	struct sets before;
	int expected;
} entries[] = {
	/* file capabilities "=p": permitted only */
	{{HELD, 0, 0, 0}, 0},
	/* "=ep" */
	{{HELD, HELD, 0, 0}, 0},
	/* the NixOS wrapper: all four */
	{{HELD, HELD, HELD, HELD}, 0},
	/* more than it should have, one of them above 31 */
	{{HELD | OTHER, HELD | OTHER, HELD | OTHER, OTHER}, 0},
	{{HELD | UINT64_C(1) << 38, UINT64_C(1) << 38, UINT64_C(1) << 38, 0}, 0},
	{{HELD | UINT64_C(1) << 38, 0, UINT64_C(1) << 38, UINT64_C(1) << 38}, 0},
	/* inheritable only, which a pam_cap or a container may leave */
	{{HELD, 0, HELD | OTHER, 0}, 0},
	/* one missing, or both, or others in their place */
	{{SETUID, 0, 0, 0}, -EPERM},
	{{SETGID, 0, 0, 0}, -EPERM},
	{{SETGID, SETGID, SETGID, SETGID}, -EPERM},
	{{OTHER, OTHER, OTHER, OTHER}, -EPERM},
	{{0, 0, HELD, 0}, -EPERM},
	{{0, 0, 0, 0}, -EPERM},
};

START_TEST(caps_enter_leaves_permitted_only)
{
	struct sets before = entries[_i].before;

	set_caps(before);
	assert_sets(before);
	ck_assert_int_eq(caps_enter(HELD), entries[_i].expected);
	if (entries[_i].expected == 0) {
		assert_sets((struct sets){.permitted = HELD});
		return;
	}
	/* Refused: no ambient one is left to be carried on by an exec. */
	before.ambient = 0;
	assert_sets(before);
	ck_assert_int_eq(caps_enter(0), 0);
	assert_sets((struct sets){0});
}
END_TEST

START_TEST(caps_enter_works_twice)
{
	set_caps((struct sets){HELD, HELD, HELD, HELD});
	ck_assert_int_eq(caps_enter(HELD), 0);
	ck_assert_int_eq(caps_enter(HELD), 0);
	assert_sets((struct sets){.permitted = HELD});
}
END_TEST

START_TEST(caps_raise_and_lower_change_effective_only)
{
	set_caps((struct sets){HELD, HELD, HELD, HELD});
	ck_assert_int_eq(caps_enter(HELD), 0);
	ck_assert_int_eq(caps_raise(HELD, SETUID), 0);
	assert_sets((struct sets){.permitted = HELD, .effective = SETUID});
	ck_assert_int_eq(caps_raise(HELD, SETGID), 0);
	assert_sets((struct sets){.permitted = HELD, .effective = SETGID});
	ck_assert_int_eq(caps_raise(HELD, HELD), 0);
	assert_sets((struct sets){.permitted = HELD, .effective = HELD});
	ck_assert_int_eq(caps_lower(HELD), 0);
	assert_sets((struct sets){.permitted = HELD});
}
END_TEST

START_TEST(caps_raise_refuses_what_is_not_permitted)
{
	set_caps((struct sets){HELD, 0, 0, 0});
	ck_assert_int_eq(caps_enter(HELD), 0);
	ck_assert_int_eq(caps_raise(HELD, OTHER), -EPERM);
	ck_assert_int_eq(caps_raise(HELD | OTHER, HELD), -EPERM);
	ck_assert_int_eq(caps_raise(HELD, HELD | OTHER), -EPERM);
	assert_sets((struct sets){.permitted = HELD});
}
END_TEST

START_TEST(caps_lower_to_less_is_for_good)
{
	set_caps((struct sets){HELD, 0, 0, 0});
	ck_assert_int_eq(caps_enter(HELD), 0);
	ck_assert_int_eq(caps_lower(SETGID), 0);
	assert_sets((struct sets){.permitted = SETGID});
	ck_assert_int_eq(caps_raise(HELD, SETUID), -EPERM);
	ck_assert_int_eq(caps_lower(HELD), -EPERM);
	ck_assert_int_eq(caps_raise(SETGID, SETGID), 0);
	assert_sets((struct sets){.permitted = SETGID, .effective = SETGID});
}
END_TEST

static void assert_gone(void)
{
	assert_sets((struct sets){0});
	ck_assert_int_eq(caps_raise(HELD, SETUID), -EPERM);
	ck_assert_int_eq(caps_raise(SETGID, SETGID), -EPERM);
	ck_assert_int_eq(caps_lower(SETUID), -EPERM);
	ck_assert_int_eq(caps_enter(HELD), -EPERM);
	ck_assert_int_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SETUID, 0, 0), -1);
	assert_sets((struct sets){0});
}

START_TEST(caps_drop_cannot_be_undone)
{
	set_caps(entries[_i].before);
	if (caps_enter(HELD) == 0)
		ck_assert_int_eq(caps_raise(HELD, _i % 2 ? HELD : 0), 0);
	else
		ck_assert_int_eq(caps_enter(0), 0);
	ck_assert_int_eq(caps_drop(), 0);
	assert_gone();
	ck_assert_int_eq(caps_drop(), 0);
}
END_TEST

/* What a program started from here would hold; see main(). */
static bool exec_holds_any(void)
{
	char *argv[] = {(char[]){"test_caps"}, (char[]){"--holds-any"}, NULL};
	char *env[] = {NULL};
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		execve("/proc/self/exe", argv, env);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return WEXITSTATUS(status) == 1;
}

START_TEST(caps_enter_hands_nothing_to_an_exec)
{
	set_caps((struct sets){HELD, HELD, HELD, HELD});
	ck_assert(exec_holds_any());	/* the control: so it is behind the wrapper */
	ck_assert_int_eq(caps_enter(HELD), 0);
	ck_assert(!exec_holds_any());
	ck_assert_int_eq(caps_raise(HELD, HELD), 0);
	ck_assert(!exec_holds_any());
}
END_TEST

/* A kernel, or a filter of the caller's, that says yes and does nothing. */
START_TEST(caps_enter_notices_a_capset_that_lies)
{
	set_caps((struct sets){HELD | OTHER, HELD, HELD, 0});
	if (_i == 0)
		lie.do_nothing = 1;
	else if (_i == 1)
		lie.leave_inheritable = 1;
	else
		lie.capget_fails = true;
	ck_assert_int_eq(caps_enter(HELD), -ENOTRECOVERABLE);
}
END_TEST

START_TEST(caps_drop_notices_a_capset_that_lies)
{
	set_caps((struct sets){HELD, 0, 0, 0});
	ck_assert_int_eq(caps_enter(HELD), 0);
	lie.calls = 0;
	if (_i == 0)
		lie.do_nothing = 1;	/* the drop */
	else if (_i == 1)
		lie.do_nothing = 2;	/* the proof: it "succeeds" */
	else
		lie.capget_fails = true;
	ck_assert_int_eq(caps_drop(), -ENOTRECOVERABLE);
}
END_TEST

static int holds_any(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &header, d) < 0)
		return 2;
	return d[0].permitted || d[0].effective || d[1].permitted || d[1].effective;
}

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *state, *lies;

	if (argc == 2 && strcmp(argv[1], "--holds-any") == 0)
		return holds_any();
	suite = suite_create("caps");
	state = tcase_create("state");
	lies = tcase_create("lies");
	tcase_add_checked_fixture(state, setup, NULL);
	tcase_add_loop_test(state, caps_enter_leaves_permitted_only, 0, ROWS(entries));
	tcase_add_test(state, caps_enter_works_twice);
	tcase_add_test(state, caps_enter_hands_nothing_to_an_exec);
	tcase_add_test(state, caps_raise_and_lower_change_effective_only);
	tcase_add_test(state, caps_raise_refuses_what_is_not_permitted);
	tcase_add_test(state, caps_lower_to_less_is_for_good);
	tcase_add_loop_test(state, caps_drop_cannot_be_undone, 0, ROWS(entries));
	tcase_add_checked_fixture(lies, setup, NULL);
	tcase_add_loop_test(lies, caps_enter_notices_a_capset_that_lies, 0, 3);
	tcase_add_loop_test(lies, caps_drop_notices_a_capset_that_lies, 0, 3);
	if (unit_have_namespaces("caps")) {
		suite_add_tcase(suite, state);
		suite_add_tcase(suite, lies);
	}
	return unit_run(suite);
}
