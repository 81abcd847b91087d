# SPDX-License-Identifier: MIT
"""Users, their ranges of subordinate ids, and the builders of Nix."""

import os

import linux

NIXBLD_GID = 30000

# name, uid (and gid), lines of subuid and subgid after the name.
USERS = [
    ("alice", 20001, "1000000:65536", "1000000:65536"),
    ("bob", 20002, "1065536:65536", "1065536:65536"),  # touches alice's, shares nothing
    ("carol", 20003, None, None),
    ("dave", 20004, "3000000:65536", "3000000:65536"),  # overlaps trent's by one
    ("erin", 20005, "3200000:0", "3200000:0"),
    ("frank", 20006, "4294967290:65536", "4294967290:65536"),  # wraps in 32 bits
    ("grace", 20007, "0:65536", "0:65536"),
    ("heidi", 20008, "3300000:65535", "3300000:65535"),  # one short
    ("ivan", 20009, "1200000:65536", "1200000:65536"),
    ("judy", 20010, "1300000:65536", "1400000:65536"),  # uids and gids from different places
    ("kate", 20011, "1500000:65536", None),
    ("trent", 20012, "3065535:65536", "3065535:65536"),
]


def add(etc, builders, *, shell, password="!", instead_of=()):
    """Writes the users, and builders of Nix with these names, into the files of an /etc.

    instead_of  more names whose entries are removed
    """
    names = [name for name, *_ in USERS] + builders + ["nixbld", *instead_of]
    passwd = [f"{name}:x:{uid}:{uid}::/home/{name}:{shell}" for name, uid, *_ in USERS]
    passwd += [
        f"{name}:x:{NIXBLD_GID + number}:{NIXBLD_GID}::/var/empty:/usr/sbin/nologin"
        for number, name in enumerate(builders, 1)
    ]
    groups = [f"{name}:x:{uid}:" for name, uid, *_ in USERS] + [f"nixbld:x:{NIXBLD_GID}:{','.join(builders)}"]
    replace_entries(etc + "/passwd", names, passwd)
    replace_entries(etc + "/group", names, groups)
    replace_entries(etc + "/shadow", names, [f"{name}:{password}:19000::::::" for name, *_ in USERS])
    replace_entries(etc + "/gshadow", names, [])
    write(etc + "/subuid", [f"{name}:{subuid}" for name, _, subuid, _ in USERS if subuid])
    write(etc + "/subgid", [f"{name}:{subgid}" for name, _, _, subgid in USERS if subgid])


def make_homes(home):
    for name, uid, *_ in USERS:
        os.mkdir(f"{home}/{name}", 0o700)
        os.chown(f"{home}/{name}", uid, uid)


def make_runtime_directories():
    """For users who do not log in."""
    for name, uid, *_ in USERS:
        os.makedirs(f"/run/user/{uid}", exist_ok=True)
        linux.tmpfs(f"/run/user/{uid}", "0700", uid, uid)


def replace_entries(path, names, lines):
    """Appends lines to a colon-separated file and drops the entries of these names that were there before."""
    try:
        with open(path) as file:
            old = [line for line in file.read().splitlines() if line.split(":")[0] not in names]
    except FileNotFoundError:
        old = []
    write(path, old + lines)


def write(path, lines):
    """A new file instead of a change in place: the old one may be a link into somewhere."""
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
    with open(path + ".new", "w") as file:
        file.write("".join(line + "\n" for line in lines))
        os.fchmod(file.fileno(), mode)
    os.rename(path + ".new", path)
