# SPDX-License-Identifier: MIT
"""Work in a booted lab host: what is installed there, and the command that it was booted for."""

import os
import shlex
import subprocess

import accounts
import machine
import state
import tree
from report import Report


class Failed(Exception):
    """The lab host is not what it should be."""


class Work:
    """What is done in a host, however it was booted. Each way has its own call(), by which the rest is done."""

    kind = "labhost"  # of its report
    variables = {}  # more of the tests' environment

    def call(self, *command, terminal=False, **how):
        """subprocess.run() of root's in the host."""
        raise NotImplementedError

    def output(self, *command):
        return self.call(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()

    def wait_until_running(self):
        running = self.output("systemctl", "is-system-running", "--wait")
        if running != "running":
            failed = self.output("systemctl", "--failed", "--plain", "--no-legend")
            raise Failed(f"it is {running}:\n{failed}\n{self.console.text()}")

    def prepare(self, closures, script=""):
        """Runs a script, and gives each user his own links to the closures."""
        for name, *_ in accounts.USERS:
            for link, path in closures.items():
                script += f"""
                    runuser -u {name} -- env NIX_REMOTE=daemon HOME=/home/{name} \
                        nix-store --realise {path} --add-root /home/{name}/{link} >/dev/null & links="$links $!"
                """
        script += "for link in $links; do wait $link; done"
        prepared = self.call(
            "sh", "-ec", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if prepared.returncode != 0:
            raise Failed("it could not be prepared:\n" + prepared.stdout.decode(errors="replace"))

    def run(self, options):
        command = options.command or ["/bin/bash"]
        terminal = os.isatty(0) and os.isatty(1)
        if options.user:
            line = [shlex.join(command)] if options.command else []
            command = ["ssh", "-tt" if terminal else "-T", f"{options.user}@localhost", *line]
        else:
            command = unit(command, self.variables, terminal)
        return self.call(*command, terminal=terminal).returncode

    def report(self):
        """For whoever looks for the cause of a failure."""
        report = Report(tree.CHECKOUT, self.kind)
        with report.open("journal") as file:
            command = ["journalctl", "--no-pager", "--output=short-precise"]
            self.call(*command, stdin=subprocess.DEVNULL, stdout=file)
        with report.open("console") as file:
            file.write(self.console.text().encode())
        self.add_failures(report)
        report.close()

    def add_failures(self, report):
        """What the failed tests have left in the host."""
        raise NotImplementedError


def install():
    """A script that builds the checkout in the host, and installs it there."""
    owner = os.stat(tree.CHECKOUT + "/build")
    return f"""
        cd {machine.SOURCE}
        exec 9<build && flock 9  # another host may be using it now
        setpriv --reuid {owner.st_uid} --regid {owner.st_gid} --clear-groups make -s -j2 PREFIX={machine.PREFIX} all
        make -s PREFIX={machine.PREFIX} install install-caps
        exec 9<&-
    """


def unit(command, variables, terminal=False):
    """A command of root's in a unit with a delegated cgroup, and what the tests want to know in its environment."""
    variables = state.environment(machine.PREFIX) | variables
    variables |= {"HOME": "/root", "TERM": os.environ.get("TERM", "dumb"), "NIXUSER_LABHOST": "1"}
    argv = ["systemd-run", "--quiet", "--wait", "--collect", "--service-type=exec", "--property=Delegate=yes"]
    argv += ["--pipe", "--pty"] if terminal else ["--pipe"]
    argv += ["--working-directory=" + machine.SOURCE]
    argv += [f"--setenv={key}={value}" for key, value in variables.items()]
    return [*argv, "--", "/usr/bin/env", *command]  # which knows relative paths
