# SPDX-License-Identifier: MIT
"""What tests add to the Nix store."""

import fcntl
import os

from given import CLOSURES, PATH, WORLD

class StoreLock:
    """Shared while a file adds paths it has no root for yet, exclusive while one collects garbage."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        self.lock = os.open(f"{WORLD}/locks/store", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, self.kind)

    def __exit__(self, *_):
        os.close(self.lock)


def adding():
    return StoreLock(fcntl.LOCK_SH)


def collecting():
    return StoreLock(fcntl.LOCK_EX)


def must(result):
    """A step that only prepares a test."""
    if result.status != 0:
        raise AssertionError(f"a preparation failed\n{result}")
    return result.out.strip()


def add_root(user, path, link):
    must(user.run(["nix-store", "--realise", path, "--add-root", user.keep(link)]))
    return os.path.join(user.home, link)


def add_tree(user, name, files, link=None):
    """Adds a directory to the store as the user would with `nix-store --add`; roots it at ~/link. No references.

    files is {path: content}; a content that is None makes a directory, one that starts with "-> " a link.
    """
    source = user.keep("tree-of-" + name)
    for path, content in files.items():
        path = os.path.join(source, name, path)
        os.makedirs(path if content is None else os.path.dirname(path), exist_ok=True)
        if content is None:
            continue
        if content.startswith("-> "):
            os.symlink(content[3:], path)
            continue
        with open(path, "w") as file:
            file.write(content)
        os.chmod(path, 0o755 if content.startswith("#!") else 0o644)
    for directory, _, _ in os.walk(source):
        os.chmod(directory, 0o755)
    with adding():
        path = must(user.run(["nix-store", "--add", f"{source}/{name}"]))
        if link:
            add_root(user, path, link)
    return path


def variant(user, name, closure, link, init=None, change="", needs=()):
    """Builds a new toplevel like a closure's, with references to it, for tests that need one nobody else has rooted.

    init replaces the init program; change is a script that runs in the new directory and makes the difference;
    needs are more store paths it refers to. Returns the store path.
    """
    toplevel = CLOSURES[closure]
    expression = f"""
      derivation {{
        name = "{name}"; system = "{os.uname().machine}-linux"; builder = "/bin/sh";
        args = [ "-e" "-c" {nix_string(_VARIANT_BUILDER)} ];
        toplevel = builtins.storePath "{toplevel}";
        needs = map builtins.storePath [ {" ".join(nix_string(path) for path in needs)} ];
        init = {nix_string(init or "")};
        change = {nix_string(change)};
        PATH = {nix_string(PATH)};
      }}"""
    command = ["nix-build", "--expr", expression, "-o", user.keep(link)]
    return must(user.run(command, timeout=60)).splitlines()[-1]


_VARIANT_BUILDER = """
    mkdir "$out"; cd "$out"
    cp -rP "$toplevel"/. . && chmod -R u+w .
    if [ -n "$init" ]; then rm init; printf %s "$init" >init; chmod +x init; fi
    echo "$toplevel $needs" >references
    eval "$change"
"""


def nix_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def probe(user, link, script, **how):
    """A closure whose whole life is a script of busybox, for looks at what PID 1 is given; ~/link is its root."""
    trivial = CLOSURES["trivial"]
    with open(trivial + "/init") as file:
        shell = file.readline()
    init = f"{shell}PATH={trivial}/sw/bin; export PATH\n{script}\n"
    return variant(user, f"nixos-system-{link}", "trivial", link, init, **how)
