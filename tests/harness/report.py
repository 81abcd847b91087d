# SPDX-License-Identifier: MIT
"""What is kept of a host for tests after a failure, as text below the checkout's build/."""

import os
import shutil
import sys
import tempfile
import time

import state


class Report:
    """A new directory build/KIND/TIME-SOMETHING."""

    def __init__(self, checkout, kind):
        self.checkout = checkout
        self.kind = kind
        os.makedirs(f"{checkout}/build/{kind}", exist_ok=True)
        now = time.strftime("%Y%m%d-%H%M%S-")
        self.directory = tempfile.mkdtemp(prefix=now, dir=f"{checkout}/build/{kind}")

    def open(self, name):
        return open(f"{self.directory}/{name}", "wb")

    def add_failures(self, root=""):
        """What failed tests have left in the host whose files are below root."""
        shutil.copytree(root + state.FAILURES, self.directory, dirs_exist_ok=True)

    def close(self):
        """Gives all to the owner of the checkout, who may want to remove it."""
        owner = os.stat(self.checkout)
        for directory, _, files in os.walk(os.path.dirname(self.directory)):
            for path in (directory, *(f"{directory}/{name}" for name in files)):
                os.chown(path, owner.st_uid, owner.st_gid)
        print(f"{self.kind}: journals and consoles are in {self.directory}", file=sys.stderr)
