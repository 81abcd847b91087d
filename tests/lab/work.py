# SPDX-License-Identifier: MIT
"""Work in a booted lab host: what is installed there, and the command that it was booted for."""

import os
import shlex
import subprocess

import accounts
import linux
import machine
import state
import tree
from report import Report

BOOT_SECONDS = 60


class Failed(Exception):
    """The lab host is not what it should be."""


class Work:
    def __init__(self, pid, console):
        self.root = f"/proc/{pid}/root"
        self.console = console
        environment = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "PATH": state.PATH, "LANG": "C.UTF-8"}
        environment |= {"SYSTEMD_PAGER": "", "TERM": os.environ.get("TERM", "dumb")}
        self.environment = environment
        self.namespaces = f"/proc/{pid}/ns"

    def call(self, *command, **how):
        """Runs a command in the machine. It is one of the machine's processes, and ends with it, however we end."""
        names = ("net", "ipc", "uts", "cgroup", "mnt")
        namespaces = [os.open(f"{self.namespaces}/{name}", os.O_RDONLY) for name in names]
        pids = os.open(self.namespaces + "/pid", os.O_RDONLY)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)

        def enter():
            for namespace in namespaces:
                linux.setns(namespace, 0)

        linux.setns(pids, linux.CLONE_NEWPID)  # for the next child
        try:
            process = subprocess.Popen(command, env=self.environment, preexec_fn=enter, cwd="/", **how)
        finally:
            linux.setns(own, linux.CLONE_NEWPID)
            for descriptor in (*namespaces, pids, own):
                os.close(descriptor)
        out, _ = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out)

    def wait_for_boot(self, ready):
        if not ready.wait(BOOT_SECONDS):
            raise Failed(f"it did not boot within {BOOT_SECONDS} s:\n{self.console.text()}")
        wait = ["systemctl", "is-system-running", "--wait"]
        running = self.call(*wait, stdout=subprocess.PIPE, text=True).stdout.strip()
        if running != "running":
            failed = self.call("systemctl", "--failed", "--plain", "--no-legend", stdout=subprocess.PIPE, text=True)
            raise Failed(f"it is {running}:\n{failed.stdout}{self.console.text()}")

    def prepare(self, options, closures):
        """Installs the checkout, and gives each user his own links to the closures."""
        state.update(self.root, cgroup="", closures=closures)
        script = f"""
            cd {machine.SOURCE}
        """
        if not options.no_install:
            owner = os.stat(tree.CHECKOUT + "/build")
            script += f"""
                flock build setpriv --reuid {owner.st_uid} --regid {owner.st_gid} --clear-groups \
                    make -s -j2 PREFIX={machine.PREFIX} all
                flock build make -s PREFIX={machine.PREFIX} install install-caps
            """
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
        if options.user:
            terminal = ["-tt"] if os.isatty(0) and os.isatty(1) else ["-T"]
            line = [shlex.join(command)] if options.command else []
            return self.call("ssh", *terminal, f"{options.user}@localhost", *line).returncode
        variables = state.environment(machine.PREFIX)
        variables |= {"HOME": "/root", "TERM": os.environ.get("TERM", "dumb"), "NIXUSER_LABHOST": "1"}
        unit = ["systemd-run", "--quiet", "--wait", "--collect", "--service-type=exec", "--property=Delegate=yes"]
        unit += ["--pipe", "--pty"] if os.isatty(0) and os.isatty(1) else ["--pipe"]
        unit += ["--working-directory=" + machine.SOURCE]
        unit += [f"--setenv={key}={value}" for key, value in variables.items()]
        return self.call(*unit, "--", "/usr/bin/env", *command).returncode  # which knows relative paths

    def report(self):
        """For whoever looks for the cause of a failure."""
        report = Report(tree.CHECKOUT, "labhost")
        with report.open("journal") as file:
            self.call("journalctl", "--no-pager", "--output=short-precise", stdout=file)
        with report.open("console") as file:
            file.write(self.console.text().encode())
        report.add_failures(self.root)
        report.close()
