# SPDX-License-Identifier: MIT
#
# What both examples build with: Debian's static busybox (debian-system/fetch puts it into the cache). It
# needs nothing around it, so it is builder, shell and tools in one, in a sandbox as well as outside.
{ cache }:

let
  system = builtins.currentSystem;
  binary = "${builtins.path { name = "busybox-binary"; path = "${cache}/busybox"; }}/busybox";
in
rec {
  inherit system;

  busybox = derivation {
    name = "busybox-static";
    inherit system;
    builder = binary;
    args = [ "sh" "-ec" ''
      ${binary} mkdir -p $out/bin
      ${binary} cp ${binary} $out/bin
      $out/bin/busybox --install -s $out/bin
    '' ];
  };

  # A derivation built by a shell script, whose variables are the attributes.
  build = attributes: derivation ({
    inherit system;
    builder = "${busybox}/bin/sh";
    PATH = "${busybox}/bin";
  } // attributes // {
    args = [ "-eu" attributes.args ];
  });
}
