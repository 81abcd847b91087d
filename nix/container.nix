# SPDX-License-Identifier: MIT
#
# A NixOS configuration that nixuser-boot boots: the least that a container without privilege wants changed.
# Use it as it is, or import it into a configuration of your own.
#
#   nix-build '<nixpkgs/nixos>' -A system -I nixos-config=nix/container.nix
#   nixuser-boot ./result
{ lib, modulesPath, ... }:

{
  imports = [ "${modulesPath}/profiles/minimal.nix" ];

  # No kernel, no initrd, no udev; a getty on /dev/console; init is the classic stage 2.
  boot.isContainer = true;
  systemd.services.console-getty.enable = true;

  # nixuser-boot has mounted /proc, /dev, /run and the rest; remounting them would be refused.
  system.activationScripts.specialfs = lib.mkForce "";
  systemd.suppressedSystemUnits = [
    "dev-hugepages.mount"
    "sys-fs-fuse-connections.mount"
    "sys-kernel-config.mount"
    "sys-kernel-debug.mount"
    "sys-kernel-tracing.mount"
    "kmod-static-nodes.service"
    "systemd-modules-load.service"
  ];

  # NixOS's own range of group ids is larger than what is mapped here.
  boot.kernel.sysctl."net.ipv4.ping_group_range" = lib.mkForce "0 65535";

  networking = {
    hostName = lib.mkDefault "demo";
    useNetworkd = true;
    useDHCP = false; # nixuser-boot sets the network up; networkd brings up host0, if there is one
    useHostResolvConf = false;
    firewall.enable = false;
  };
  systemd.network.wait-online.enable = false;

  # Root logs in at the console with an empty password, and over ssh with a key only. The key may come as the
  # credential ssh.authorized_keys.root.
  users.users.root.initialHashedPassword = "";
  services.openssh = {
    enable = true;
    startWhenNeeded = true;
    settings.PermitRootLogin = "prohibit-password";
  };
  # The store belongs to nobody here, and ssh includes no file that is neither root's nor the user's.
  programs.ssh.systemd-ssh-proxy.enable = false;

  # The store is shared and read-only: nothing is built inside.
  nix.enable = lib.mkDefault false;

  system.stateVersion = lib.mkDefault lib.trivial.release;
}
