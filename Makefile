# SPDX-License-Identifier: MIT
# nixuser-boot: plain GNU make. 'make help' lists the targets.

# ---- yours to set ---------------------------------------------------------
CC ?= cc
CFLAGS ?= -O2 -g
CPPFLAGS ?=
LDFLAGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
STORE_DIR ?= /nix/store
STATE_DIR ?= /nix/var/nix
# The group of terminals in the closure: 3 on NixOS, 5 on most others.
TTY_GID ?= 3
SUBID_LIBS ?= -lsubid
B ?= build

VERSION := 0.1.0
LIBEXEC := $(PREFIX)/libexec/nixuser
# Elsewhere on NixOS: /run/wrappers/bin/nixuser-helper.
HELPER ?= $(LIBEXEC)/nixuser-helper
MANDIR := $(PREFIX)/share/man

# ---- required flags -------------------------------------------------------
probe = $(shell printf 'int main(void){return 0;}' | \
	$(CC) -Werror $(1) -x c -S -o /dev/null - 2>/dev/null && printf '%s' '$(1)')

# Into the program itself, if there is an archive: an object less to be found and mapped at each start, and one file
# to be trusted instead of four.
static = $(or $(call probe,-Wl$(comma)-Bstatic $(1) -Wl$(comma)-Bdynamic),$(1))
comma := ,

WARNINGS := -Wall -Wextra -Wshadow -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes \
	-Wundef -Wvla -Wwrite-strings -Wcast-qual -Wnull-dereference -Wconversion \
	-Wno-missing-field-initializers \
	$(call probe,-Wimplicit-fallthrough=5) $(call probe,-Wlogical-op) \
	$(call probe,-Wduplicated-cond)
HARDENING := -fPIE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fno-strict-overflow \
	-fno-delete-null-pointer-checks \
	$(call probe,-fstack-clash-protection) $(call probe,-fcf-protection=full) \
	$(call probe,-ftrivial-auto-var-init=zero) $(call probe,-fzero-call-used-regs=used-gpr)
MODULE_HARDENING := -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed
LINK_HARDENING := -pie $(MODULE_HARDENING)

# Of the two orders of strnvis(3) in the world, the one of OpenBSD.
# Quiet, because 'demo', 'check' and 'bench' install pkg-config first; config.h's rule complains where it is wanting.
BSD_CFLAGS := $(shell pkg-config --cflags libbsd-overlay 2>/dev/null) -DLIBBSD_OPENBSD_VIS
BSD_LIBS := $(call static,$(shell pkg-config --libs libbsd-overlay 2>/dev/null) -lmd)
CAP_LIBS := $(call static,$(shell pkg-config --libs libcap 2>/dev/null))
JANSSON_LIBS := $(shell pkg-config --libs jansson 2>/dev/null)
SYSTEMD_LIBS := $(shell pkg-config --libs libsystemd 2>/dev/null)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)

# The user's CFLAGS come last. -U: some compilers predefine their own level.
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -U_FORTIFY_SOURCE -MMD -MP $(WARNINGS) $(HARDENING) \
	-I$(B) -Icommon $(BSD_CFLAGS) $(CPPFLAGS) $(CFLAGS)

# ---- programs: these lists are the scope of an audit ------------------------
helper_SRC := helper/main.c helper/lookup.c helper/gcroot.c helper/storepath.c \
	helper/namespace.c helper/console.c \
	idmap/caps.c idmap/entry.c idmap/mapfile.c idmap/range.c idmap/refusal.c idmap/subid.c \
	idmap/subfile.c common/fdpass.c
ctl_SRC := control/nixuserctl.c control/client.c control/show.c control/stop.c control/run.c \
	launcher/machine.c launcher/terminal.c launcher/pump.c common/fdpass.c
subid_SRC := idmap/plugin.c idmap/range.c
boot_SRC := launcher/boot.c launcher/options.c launcher/request.c launcher/footprint.c launcher/words.c launcher/closure.c \
	launcher/ownroot.c launcher/machine.c launcher/cgroup.c launcher/terminal.c launcher/module.c \
	launcher/cleanup.c launcher/start.c launcher/dryrun.c launcher/mounts.c \
	launcher/launch.c launcher/watch.c launcher/command.c launcher/pid1.c launcher/root.c launcher/payload.c \
	common/fdpass.c
supervise_SRC := launcher/supervise.c launcher/control.c launcher/pump.c launcher/scope.c launcher/pin.c launcher/trim.c

helper_LIBS = $(BSD_LIBS)
subid_LIBS = $(SUBID_LIBS)
boot_LIBS = $(BSD_LIBS)
ctl_LIBS = $(SYSTEMD_LIBS) $(JANSSON_LIBS) $(BSD_LIBS)
supervise_LIBS = $(SYSTEMD_LIBS)
# What nixuser-supervise.so calls in the program that loads it.
supervise_CALLS = options_tell terminal_close terminal_resize fdpass_recv fdpass_send

PROGRAMS := $(B)/nixuser-helper $(B)/nixuser-boot $(B)/nixuserctl
# Loaded by a program when it needs them, because of what they bring along.
MODULES := $(B)/nixuser-subid.so $(B)/nixuser-supervise.so

.DEFAULT_GOAL := all
.PHONY: all
all: $(PROGRAMS) $(MODULES)

objects = $(patsubst %.c,$(B)/%.o,$(1))

# A program sees its own folder, and what is shared.
$(B)/helper/%.o: ALL_CFLAGS += -Ihelper -Iidmap
$(B)/idmap/%.o: ALL_CFLAGS += -Iidmap
$(B)/launcher/%.o: ALL_CFLAGS += -Ilauncher
$(B)/control/%.o: ALL_CFLAGS += -Icontrol -Ilauncher

$(B)/%.o: %.c $(B)/config.h Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/nixuser-helper: $(call objects,$(helper_SRC))
	$(CC) $(CFLAGS) $(LINK_HARDENING) $(LDFLAGS) -o $@ $^ $(helper_LIBS)
$(B)/nixuser-boot: $(call objects,$(boot_SRC))
	$(CC) $(CFLAGS) $(LINK_HARDENING) $(LDFLAGS) $(addprefix -Wl$(comma)--export-dynamic-symbol=,$(supervise_CALLS)) \
		-o $@ $^ $(boot_LIBS)
$(B)/nixuserctl: $(call objects,$(ctl_SRC))
	$(CC) $(CFLAGS) $(LINK_HARDENING) $(LDFLAGS) -o $@ $^ $(ctl_LIBS)

module_objects = $(patsubst %.c,$(B)/module/%.o,$(1))
$(B)/module/idmap/%.o: ALL_CFLAGS += -Iidmap
$(B)/module/launcher/%.o: ALL_CFLAGS += -Ilauncher
$(B)/module/%.o: %.c $(B)/config.h Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -c -o $@ $<

$(B)/nixuser-subid.so: $(call module_objects,$(subid_SRC))
	$(CC) $(CFLAGS) -shared $(MODULE_HARDENING) $(LDFLAGS) -o $@ $^ $(subid_LIBS)
$(B)/nixuser-supervise.so: $(call module_objects,$(supervise_SRC))
	$(CC) $(CFLAGS) -shared $(MODULE_HARDENING) $(LDFLAGS) -o $@ $^ $(supervise_LIBS)

# Rewritten only when a setting changed.
$(B)/config.h: FORCE
	@pkg-config --exists --print-errors libbsd-overlay libcap libsystemd jansson || \
		{ echo "what is missing is installed by 'tests/deps build'" >&2; exit 1; }
	@mkdir -p $(@D)
	@{ echo '/* Made by make from its variables. */'; \
	   echo '#define VERSION "$(VERSION)"'; \
	   echo '#define STORE_DIR "$(STORE_DIR)"'; \
	   echo '#define STATE_DIR "$(STATE_DIR)"'; \
	   echo '#define TTY_GID $(TTY_GID)'; \
	   echo '#define HELPER_PATH "$(HELPER)"'; \
	   echo '#define SUPERVISE_MODULE_PATH "$(LIBEXEC)/nixuser-supervise.so"'; \
	   echo '#define SUBID_MODULE_PATH "$(LIBEXEC)/nixuser-subid.so"'; } > $@.new
	@cmp -s $@ $@.new && rm $@.new || mv $@.new $@
.PHONY: FORCE
FORCE:

-include $(shell find $(B) -name '*.d' -type f 2>/dev/null)

# ---- install ----------------------------------------------------------------
.PHONY: install install-caps uninstall clean
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBEXEC) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man8
	install -m 0755 $(B)/nixuser-boot $(B)/nixuserctl $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(B)/nixuser-helper $(DESTDIR)$(LIBEXEC)/nixuser-helper
	install -m 0644 $(MODULES) $(DESTDIR)$(LIBEXEC)
	install -m 0644 man/nixuser-boot.1 $(DESTDIR)$(MANDIR)/man1
	install -m 0644 man/nixuser-helper.8 man/nixuser-launch.8 $(DESTDIR)$(MANDIR)/man8

# The one privileged step, alone and loud: permitted only, never effective.
install-caps:
	chown root:root $(DESTDIR)$(LIBEXEC)/nixuser-helper
	setcap cap_setgid,cap_setuid=p $(DESTDIR)$(LIBEXEC)/nixuser-helper
	getcap $(DESTDIR)$(LIBEXEC)/nixuser-helper

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/nixuser-boot $(DESTDIR)$(PREFIX)/bin/nixuserctl \
		$(DESTDIR)$(LIBEXEC)/nixuser-helper $(addprefix $(DESTDIR)$(LIBEXEC)/,$(notdir $(MODULES))) \
		$(DESTDIR)$(MANDIR)/man1/nixuser-boot.1 \
		$(DESTDIR)$(MANDIR)/man8/nixuser-helper.8 $(DESTDIR)$(MANDIR)/man8/nixuser-launch.8
	-rmdir $(DESTDIR)$(LIBEXEC)

clean:
	rm -rf $(B)

# ---- demo, tests, measurements: these install what is missing ----------------
# Recursive calls, because what they install is what this file asks pkg-config for.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CLOSURES := $(B)/closure/result $(B)/closure/trivial
WORLD := tests/system/world --closure $(B)/closure/result --closure $(B)/closure/trivial --

.PHONY: demo
demo:
	tests/deps build demo
	$(MAKE) --no-print-directory -s all
	$(MAKE) --no-print-directory closures
	$(SUDO) $(MAKE) --no-print-directory -s install install-caps $(MAKEOVERRIDES)
	$(SUDO) examples/demo --prefix $(PREFIX) --closure $(B)/closure/result

.PHONY: closures
closures:
	@mkdir -p $(B)/closure
	$(SUDO) examples/debian-system/build -o $(B)/closure/result
	$(SUDO) examples/debian-system/build --trivial -o $(B)/closure/trivial

# The private world and the lab host side by side: each leaves half of two processors idle, waiting for machines to boot.
.PHONY: check
check:
	tests/deps build demo test lab
	@tests/stages $(MAKE) check-build check-unit lint closures check-system+check-lab

# Both compilers, no warnings. In directories of their own: what 'all' has built already would not be compiled again.
.PHONY: check-build
check-build:
	$(MAKE) --no-print-directory -s CC=gcc CFLAGS="$(CFLAGS) -Werror" B=$(B)/gcc all
	$(MAKE) --no-print-directory -s CC=clang CFLAGS="$(CFLAGS) -Werror" B=$(B)/clang all

# Real programs, real Nix, ordinary users, in a world of their own: needs root.
.PHONY: check-system
check-system:
	$(SUDO) $(WORLD) prove -j2 $(PROVE_FLAGS) tests/system

# The same in a booted host with systemd, and then, in another, what users do who have logged in there by ssh.
LABHOST := tests/labhost run --closure $(B)/closure/result --closure $(B)/closure/trivial --
.PHONY: check-lab
check-lab:
	tests/deps build demo test lab
	$(MAKE) --no-print-directory closures
	$(SUDO) $(LABHOST) tests/lab/as-world prove -j2 $(PROVE_FLAGS) tests/system
	$(SUDO) $(LABHOST) prove $(PROVE_FLAGS) tests/lab

# The same host on kernels of Debian's, emulated: where limits and a reboot are real. KERNEL=6.1 for one of them.
KERNEL ?= 6.1 6.12
VM_TESTS := tests/lab/40-limits.t tests/lab/50-autostart.t tests/system/10-boot.t tests/system/20-console.t \
	tests/vm/60-reboot.t
.PHONY: check-vm
check-vm:
	tests/deps build demo test lab vm
	$(MAKE) --no-print-directory closures
	@tests/stages $(MAKE) $(KERNEL:%=check-vm-%)

check-vm-%:
	$(SUDO) tests/labhost run --kernel $* --outside --closure $(B)/closure/result --closure $(B)/closure/trivial -- \
		prove --timer $(PROVE_FLAGS) --exec tests/vm/inside $(VM_TESTS)

# 'make check', interrupted in many ways: what is left? A quarter of an hour, needs root.
.PHONY: check-interrupt
check-interrupt:
	tests/deps build demo test lab
	$(SUDO) tests/interrupt

.PHONY: bench
bench:
	tests/deps build demo test bench
	$(MAKE) --no-print-directory closures
	$(SUDO) $(WORLD) bench/run --json $(B)/bench.json

# The comparison in README.md, measured in a lab host that has the others, too.
.PHONY: peers
peers:
	tests/deps build demo lab
	$(MAKE) --no-print-directory closures
	$(SUDO) tests/peers/run $(addprefix --closure ,$(CLOSURES)) --json $(B)/peers.json

.PHONY: lint
lint:
	mandoc -T lint -W warning man/*.[18]
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches \
		-I$(B) -Icommon -Iidmap -Ihelper -Ilauncher -Icontrol \
		common helper idmap launcher control
	nix-instantiate --parse nix/container.nix >/dev/null

include tests/unit/Makefile.inc

.PHONY: help
help:
	@echo 'all            build the programs (default)'
	@echo 'install        install them below PREFIX ($(PREFIX)); DESTDIR for packagers'
	@echo 'install-caps   give nixuser-helper its two file capabilities'
	@echo 'demo           install what is missing, build, install, boot the demo system'
	@echo 'check          all tests; check-build, check-unit, lint and these two are its parts:'
	@echo 'check-system   system tests in a private world on this machine'
	@echo 'check-lab      system tests, logins, user managers, thirty machines in booted lab hosts'
	@echo 'check-vm       tests in the lab host on the kernels of Debian 12 and 13, emulated (KERNEL="$(KERNEL)")'
	@echo 'check-interrupt'
	@echo '               interrupt check at random moments, and look for what it leaves'
	@echo 'bench          measure against bwrap, unshare and podman'
	@echo 'peers          measure the comparison in README.md, in a lab host with podman and nspawn'
	@echo 'uninstall clean'
