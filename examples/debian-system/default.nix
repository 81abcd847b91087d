# SPDX-License-Identifier: MIT
#
# A system toplevel in the shape of NixOS, made of Debian's packages: one store path a package, their tree
# `sw` (it is /usr), a static etc, an activation, and an init that ends in systemd.
#
#   ./fetch CACHE && nix-build --argstr cache CACHE
{ cache, hostName ? "demo", label ? "debian-13" }:

let
  inherit (import ../busybox.nix { inherit cache; }) busybox build system;

  index = builtins.fromJSON (builtins.readFile "${cache}/index.json");

  package = { name, version, sha256, depends }: build {
    # The characters of a Debian version which a store path may not have.
    name = "${name}-${builtins.replaceStrings [ ":" "~" ] [ "-" "-" ] version}";
    args = ./unpack;
    deb = builtins.path { name = "${name}.deb"; path = "${cache}/${sha256}.deb"; recursive = false; inherit sha256; };
    depends = map (other: packages.${other}) depends;
  };
  packages = builtins.listToAttrs (map (p: { inherit (p) name; value = package p; }) index.packages);
  all = builtins.attrValues packages;

  sw = build {
    name = "system-path";
    args = ./merge;
    trees = all;
    part = ".";
    # What Debian's alternatives would do.
    more = ''
      ln -s mawk bin/awk
    '';
  };

  # Units that cannot work in a container without privilege, or have nothing to do in this one.
  masked = [
    # The kernel is the host's.
    "kmod-static-nodes.service" "modprobe@.service" "systemd-modules-load.service"
    "dev-hugepages.mount" "proc-sys-fs-binfmt_misc.automount" "proc-sys-fs-binfmt_misc.mount"
    "sys-fs-fuse-connections.mount" "sys-kernel-config.mount" "sys-kernel-debug.mount"
    "sys-kernel-tracing.mount" "systemd-binfmt.service" "systemd-random-seed.service" "hwclock.service"
    "systemd-pcrlock.socket" "systemd-pcrextend.socket" "fstrim.timer"
    # Device nodes cannot be made, and Debian's old lock directory needs no file system of its own.
    "systemd-tmpfiles-setup-dev-early.service" "systemd-tmpfiles-setup-dev.service" "run-lock.mount"
    # There is one console, and no keyboard.
    "getty-static.service" "getty@.service" "autovt@.service" "systemd-ask-password-console.path"
    # Nix has done it.
    "ldconfig.service" "systemd-firstboot.service" "systemd-journal-catalog-update.service"
    "systemd-update-done.service"
    # Nothing may wait for a network that need not be there.
    "systemd-networkd-wait-online.service"
  ];
  wanted = {
    "getty.target" = [ "console-getty.service" ];
    "multi-user.target" = [ "systemd-networkd.service" ];
    "sockets.target" = [ "ssh.socket" "systemd-networkd.socket" ];
  };
  alias = {
    "dbus.service" = "dbus-broker.service";
    "dbus-org.freedesktop.network1.service" = "systemd-networkd.service";
    "default.target" = "multi-user.target";
  };

  unitDir = "/usr/lib/systemd/system";
  lines = f: list: builtins.concatStringsSep "\n" (map f list);
  etc = build {
    name = "etc";
    args = ./merge;
    trees = all ++ [ (build { name = "etc-files"; args = builtins.toFile "etc-files" "mkdir $out; cp -a ${./etc} $out/etc"; }) ];
    part = "etc";
    more = ''
      ln -sf /usr/lib/os-release os-release
      echo ${hostName} >hostname
      cd systemd/system
      ${lines (unit: "ln -s /dev/null ${unit}") masked}
      ${lines (name: "ln -s ${unitDir}/${alias.${name}} ${name}") (builtins.attrNames alias)}
      ${lines (target: "mkdir -p ${target}.wants") (builtins.attrNames wanted)}
      ${lines (target: lines (unit: "ln -s ../${unit} ${target}.wants/${unit}") wanted.${target}) (builtins.attrNames wanted)}
    '';
  };

  # name:password:uid:gid:gecos:home:shell, with the ids NixOS gives them.
  passwd = ''
    root:x:0:0:System administrator:/root:/bin/bash
    messagebus:x:4:4:D-Bus:/run/dbus:/usr/sbin/nologin
    systemd-network:x:152:152:networkd:/:/usr/sbin/nologin
    sshd:x:998:998:sshd:/run/sshd:/usr/sbin/nologin
    nobody:x:65534:65534:Unprivileged account:/nonexistent:/usr/sbin/nologin
  '';
  group = ''
    root:x:0:
    wheel:x:1:
    kmem:x:2:
    tty:x:3:
    messagebus:x:4:
    disk:x:6:
    audio:x:17:
    lp:x:20:
    cdrom:x:24:
    tape:x:25:
    video:x:26:
    dialout:x:27:
    utmp:x:29:
    adm:x:55:
    systemd-journal:x:62:
    users:x:100:
    systemd-network:x:152:
    input:x:174:
    kvm:x:302:
    render:x:303:
    shadow:x:318:
    sshd:x:998:
    nogroup:x:65534:
  '';
in
build {
  name = "nixos-system-${hostName}-${label}";
  args = ./toplevel;
  inherit busybox sw etc system label passwd group;
  inherit (packages) systemd;
  init = ./init;
  activate = ./activate;
  switch = ./switch-to-configuration;
}
