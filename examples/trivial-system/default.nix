# SPDX-License-Identifier: MIT
#
# The smallest toplevel that boots: init exits at once, with the status its first argument gives. For
# benchmarks, and for tests that need no system inside.
#
#   ../debian-system/fetch CACHE && nix-build --argstr cache CACHE
{ cache }:

let
  inherit (import ../busybox.nix { inherit cache; }) busybox build system;
in
build {
  name = "nixos-system-trivial-1";
  args = ./toplevel;
  inherit busybox system;
}
