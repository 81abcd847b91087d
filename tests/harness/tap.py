# SPDX-License-Identifier: MIT
"""A small TAP producer: assertions, cases with a watchdog, and a cleanup stack that runs on every exit.

A test file is a list of functions under @tap.case("..."), and tap.main() as its last line. An exception in a case, a
time-out among them, is one failed test; the other cases still run.
"""

import os
import re
import signal
import sys
import time
import traceback

DIAGNOSTIC_SIZE = 4000  # what is shown of one detail of a failed test: its end
SLOWNESS = float(os.environ.get("NIXUSER_TEST_SLOWNESS", "1"))  # of this computer; an emulated one has ten and more

failure_hooks = []  # called with the name of each test that fails, at once

_cases = []
_last = []  # cases that run after all others, whatever happened
_case_cleanups = []
_file_cleanups = []
_count = 0
_failed = 0
names = []  # of all tests so far


def patience(seconds):
    """How long to wait here for what should take no longer than that. All waiting of the tests asks this."""
    return seconds * SLOWNESS


class TimedOut(Exception):
    """A case was longer than its limit, or something awaited did not come."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP: run the cleanups, then end."""


class SkipRest(Exception):
    """The rest of this case cannot be tested here; carries the reason."""


def _print(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def diag(text):
    """Diagnostics, shown by prove also when it is not verbose."""
    text = str(text)
    if len(text) > DIAGNOSTIC_SIZE:
        text = "(...) " + text[-DIAGNOSTIC_SIZE:]
    for line in text.splitlines() or [""]:
        sys.stderr.write("#   " + line.encode("unicode_escape").decode() + "\n")
    sys.stderr.flush()


def note(text):
    """A remark for the verbose reader."""
    for line in str(text).splitlines():
        _print("# " + line)


def ok(condition, name, *details):
    """One test. The details are printed only when it fails."""
    global _count, _failed
    _count += 1
    name = re.sub(r"[#\n]", " ", name)
    names.append(name)
    _print(f"{'ok' if condition else 'not ok'} {_count} - {name}")
    if not condition:
        _failed += 1
        diag(f"Failed: {name}")
        for detail in details:
            diag(detail)
        for hook in failure_hooks:
            try:
                hook(name)
            except OSError:
                diag(traceback.format_exc())
    return bool(condition)


def is_(got, want, name, *details):
    return ok(got == want, name, f"got:      {got!r}", f"expected: {want!r}", *details)


def like(text, pattern, name, *details):
    found = re.search(pattern, text, re.M) is not None
    return ok(found, name, f"text: {text!r}", f"expected to match: {pattern}", *details)


def unlike(text, pattern, name, *details):
    match = re.search(pattern, text, re.M)
    return ok(match is None, name, f"text: {text!r}", f"expected no match: {pattern}", *details)


def skip(name, reason):
    """One test that cannot be made here, and why."""
    global _count
    _count += 1
    _print(f"ok {_count} - {name} # SKIP {reason}")


def skip_rest(reason):
    """Leaves the running case: what it needs is not on this machine."""
    raise SkipRest(reason)


def skip_all(reason):
    """Leaves the whole file before its first test."""
    assert _count == 0, "skip_all after a test"
    _print(f"1..0 # SKIP {reason}")
    _run(_file_cleanups)
    sys.exit(0)


def bail_out(reason):
    """Nothing can be tested at all."""
    _print(f"Bail out! {reason}")
    _run(_file_cleanups)
    sys.exit(2)


def case(name, timeout=30):
    def register(function):
        _cases.append((name, timeout, function))
        return function

    return register


def last_case(name, timeout, function):
    """A case that runs after all others of the file."""
    _last.append((name, timeout, function))


def cleanup(function, *arguments):
    """Runs function when the running case ends (last in, first out), or at the end of the file if no case runs."""
    (_case_cleanups if _running else _file_cleanups).append((function, arguments))


def until(condition, timeout, what, interval=0.01):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + patience(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimedOut(f"waited {patience(timeout):g} s for {what}")
        time.sleep(interval)


_running = False


def _run(cleanups):
    """Runs each cleanup even if one before it fails; says which failed."""
    problems = []
    while cleanups:
        function, arguments = cleanups.pop()
        try:
            function(*arguments)
        except Exception:
            problems.append(traceback.format_exc())
    return problems


def _alarm(_signal, _frame):
    # A second alarm follows, in case the cleanup of a stuck case is stuck as well.
    signal.setitimer(signal.ITIMER_REAL, patience(20))
    raise TimedOut("the case's time is over")


def _interrupt(number, _frame):
    raise Interrupted(number)


def _run_case(name, timeout, function):
    global _running
    note(f"--- {name}")
    started = time.monotonic()
    _running = True
    try:
        signal.setitimer(signal.ITIMER_REAL, patience(timeout))
        function()
    except SkipRest as reason:
        skip(name, str(reason))
    except Exception:
        ok(False, f"{name}: ended by an exception", traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, patience(20))
        problems = _run(_case_cleanups)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _running = False
    if problems:
        ok(False, f"{name}: cleanup failed", *problems)
    note(f"    {time.monotonic() - started:.2f} s")


def main():
    """Runs all cases, prints the plan, exits."""
    signal.signal(signal.SIGALRM, _alarm)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        for name, timeout, function in _cases:
            if wanted in name:  # an argument chooses cases while one works on them
                _run_case(name, timeout, function)
        for name, timeout, function in _last:
            _run_case(name, timeout, function)
    except Interrupted as reason:
        _print(f"Bail out! signal {reason}")
        sys.exit(128 + int(str(reason)))
    finally:
        _run(_case_cleanups)
        _run(_file_cleanups)
    _print(f"1..{_count}")
    sys.exit(1 if _failed else 0)
