#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The closure of a running machine is alive for Nix's collector, and of one that has ended it is not."""

import os

import lab
import tap

lab.need("result", "trivial")
bob = lab.claim("bob")

WAITS = "echo up; read line; echo bye"


def exists(path):
    return os.path.exists(path)


def delete(path):
    return bob.run(["nix-store", "--delete", path])


@tap.case("a collection takes nothing of a running machine", timeout=120)
def running():
    with lab.adding():
        needed = lab.add_tree(bob, "needed", {"file": "something that only this machine needs"})
        toplevel = lab.variant(bob, "nixos-system-gone", "result", "gone", needs=[needed])
        other = lab.add_tree(bob, "garbage", {"file": "something that nobody needs"})
        machine = lab.Machine(bob, closure="gone", name="store-running").login()
    os.unlink(bob.home + "/gone")
    with lab.collecting():
        result = bob.run(["nix-store", "--gc"], timeout=60)
        tap.is_(result.status, 0, "nix-store --gc", result)
        tap.ok(not exists(other), "it collects what nobody needs")
        tap.ok(exists(toplevel) and exists(needed), "and nothing of the machine's closure")
        for path in (toplevel, needed):
            result = delete(path)
            tap.ok(result.status != 0 and exists(path), f"nix-store --delete {path[44:]} is refused", result)
            tap.like(result.err, "alive", "because it is alive", result)
    tap.is_(machine.output("systemctl is-system-running"), "running", "the machine runs on")
    tap.is_(machine.output(f"cat {needed}/file"), "something that only this machine needs", "and reads its closure")
    tap.is_(machine.power_off(), 0, "exit status")
    with lab.collecting():
        result = bob.run(["nix-store", "--gc"], timeout=60)
    tap.ok(result.status == 0 and not exists(toplevel) and not exists(needed), "after its end all is collected", result)


def small(name):
    with lab.adding():
        toplevel = lab.probe(bob, name, WAITS)
        terminal = lab.Terminal(bob, [lab.BOOT, "-q", name])
        terminal.expect("up")
    os.unlink(f"{bob.home}/{name}")
    return toplevel, terminal


@tap.case("so is a machine that maps nothing of its closure")
def small_machine():
    toplevel, terminal = small("small")
    result = delete(toplevel)
    tap.ok(result.status != 0 and exists(toplevel), "--delete is refused while it runs", result)
    terminal.send("\r")
    tap.is_(terminal.wait(), 0, "exit status")
    result = delete(toplevel)
    tap.ok(result.status == 0 and not exists(toplevel), "and works when it has ended", result)


@tap.case("after kill -9 of the supervisor the closure is free")
def killed():
    toplevel, terminal = small("killed")
    terminal.process.kill()
    terminal.wait()
    tap.until(lambda: not lab.processes_of([bob]), 1, "the end of the machine")
    result = delete(toplevel)
    tap.ok(result.status == 0 and not exists(toplevel), "--delete works", result)


@tap.case("what was deleted before the start is refused")
def deleted():
    toplevel = lab.probe(bob, "early", WAITS)
    os.rename(bob.home + "/early", bob.keep("moved"))
    tap.is_(delete(toplevel).status, 0, "deleted")
    os.rename(bob.home + "/moved", bob.home + "/early")
    result = bob.boot("early")
    tap.is_(result.status, lab.REFUSED, "a dangling link", result)


@tap.case("a start during a collection either works or is refused", timeout=60)
def during():
    for _ in range(5):
        with lab.adding():
            lab.probe(bob, "during", "exit 3")
        with lab.collecting():
            collector = bob.start(["nix-store", "--gc"], stdin=-3, stdout=-3, stderr=-3)
            result = bob.boot("during")
            tap.is_(result.status, 3, "a rooted closure boots while the collector runs", result)
            collector.wait()


@tap.case("connections to the daemon end with the machine")
def connections():
    def workers():
        return [process.pid for process in lab.processes() if process.comm == "nix-daemon"]

    tap.until(lambda: len(workers()) == 1, 5, "quiet")
    lab.probe(bob, "waits", WAITS)
    terminal = lab.Terminal(bob, [lab.BOOT, "-q", "waits"])
    terminal.expect("up")
    tap.until(lambda: len(workers()) == 2, 5, "one connection")
    terminal.send("\r")
    terminal.wait()
    tap.until(lambda: len(workers()) == 1, 5, "no connection")
    tap.is_(os.listdir("/nix/var/nix/temproots"), [], "no temporary root is left")


tap.main()
