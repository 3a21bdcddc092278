"""Scarce resources that are real, clocks that jump, a store whose file system is small or goes away."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.tools.faults import calls, stopped, trace
from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, judge
from tests.tools.faults.place import Place

DAY = 86400
# Runs the launcher as the interpreter would, after something was done to its process.
LIMITED = """
import resource, runpy, sys
import encodings.latin_1, io, pkgutil  # what runpy loads
name, value = sys.argv[1:3]
sys.argv = sys.argv[3:]
resource.setrlimit(getattr(resource, name), (int(value), int(value)))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CLOCK = """
import runpy, sys, time
start, after, jump = (float(word) for word in sys.argv[1:4])
sys.argv = sys.argv[4:]
real, asked = time.time, 0
base = start if start >= 0 else real()
def now():
    global asked
    asked += 1
    return base + (jump * (asked - after) if asked > after else 0)
time.time = now
time.time_ns = lambda: int(now() * 1e9)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CLOCKS = {"at the epoch": 0, "before 2038": (1 << 31) - 1, "after 2038": 1 << 31, "after 2106": 1 << 32}
CLOCKS |= {"in the year 9999": 253402300799 - 3 * DAY, "in the year 10000": 253402300800, "in the year 33658": 10**12}


def python(place: Place, code: str, *arguments: object) -> list[str]:
    """Return a command that runs the launcher below some code, by the same interpreter."""
    path = place.root / "below.py"
    path.write_text(code, encoding="ascii")
    interpreter = Path(place.command[0]).with_name("python")
    return [str(interpreter), "-I", str(path), *map(str, arguments), *place.command]


# --- Limits


def limits(_: Place) -> Iterator[Case]:
    """Yield limits of the process: descriptors, size of files, memory; each so low that it is met somewhere."""
    sizes = [
        0,
        1,
        100,
        1000,
        4096,
        16_384,
        65_536,
        100_000,
        119_999,
        120_000,
        131_072,
        *range(200_000, 1_500_000, 50_000),
    ]
    values: dict[str, list[int]] = {
        "RLIMIT_NOFILE": list(range(4, 30)),
        "RLIMIT_FSIZE": sizes,
        "RLIMIT_AS": [megabytes << 18 for megabytes in range(48, 400, 3)],
    }
    for name, steps in values.items():
        for mail in ("passes", "changes"):
            for value in steps:
                yield Case("limit", f"{name} {value}, {mail}", partial(_limited, mail, name, value))


def _limited(mail: str, name: str, value: int, place: Place) -> Verdict:
    place.reset()
    ended = place.attempt(place.mails[mail], command=python(place, LIMITED, name, value))
    if ended.status not in (0, 75) and b"below.py" in ended.said and b"pfilter-pipe" not in ended.said:
        return Verdict("missed")  # too low for Python itself
    return judge(place, place.mails[mail], ended)


# --- Clocks


def clocks(_: Place) -> Iterator[Case]:
    """Yield clocks that are wrong, or jump while a message is on its way."""
    for mail in ("changes", "stripped"):
        for name, start in CLOCKS.items():
            yield Case("clock", f"{name}, {mail}", partial(_at, mail, start, 99, 0))
        for after in range(4):
            for jump in (-400 * DAY, -DAY, DAY, 400 * DAY, 10**10):
                yield Case("clock", f"jumps by {jump} s after {after}, {mail}", partial(_at, mail, -1, after, jump))


def _at(mail: str, start: int, after: int, jump: int, place: Place) -> Verdict:
    place.reset()
    command = python(place, CLOCK, start, after, jump)
    ended = place.attempt(place.mails[mail], "notify", command=command)
    return judge(place, place.mails[mail], ended, "notify", dates_right=False)


# --- A small file system


class Disk(NamedTuple):
    """Options of a tmpfs, and whether its owner is somebody whom quotas bind."""

    name: str
    options: str
    user: str = ""


def disks(_: Place) -> Iterator[Case]:
    """Yield file systems with too few blocks or inodes, and quotas, from nothing to enough."""
    found = [Disk(f"{size} KiB", f"size={size}k") for size in (4, 8, 12, 16, 20, 24, 32, 48, *range(64, 4200, 64))]
    found += [Disk(f"{inodes} inodes", f"size=16m,nr_inodes={inodes}") for inodes in range(2, 44)]
    if quotas():
        for size in (4, 8, 16, 32, *range(64, 4200, 128)):
            options = f"size=16m,usrquota,usrquota_block_hardlimit={size}k"
            found.append(Disk(f"quota of {size} KiB", options, "nobody"))
        for inodes in range(2, 44):
            options = f"size=16m,usrquota,usrquota_inode_hardlimit={inodes}"
            found.append(Disk(f"quota of {inodes} inodes", options, "nobody"))
    for disk in found:
        yield Case("small file system", disk.name, partial(_on, disk))


def _on(disk: Disk, place: Place) -> Verdict:
    place.reset()
    mail = place.mails["changes"]
    with open(place.root / "events", "wb") as events:
        options = f"{disk.options},mode=0711"
        if disk.user:
            owner = pwd.getpwnam(disk.user)
            options += f",uid={owner.pw_uid},gid={owner.pw_gid}"
            os.fchown(events.fileno(), owner.pw_uid, owner.pw_gid)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place.store)], check=True)
    try:
        ended = place.attempt(mail)
        # Room is made: what was stored stays, as on a disk that is cleaned up.
        subprocess.run(["cp", "-a", str(place.store), str(place.away)], check=True)
    finally:
        subprocess.run(["umount", str(place.store)], check=True)
    place.store.rmdir()
    place.away.rename(place.store)
    return judge(place, mail, ended)


def quotas() -> bool:
    """Whether this kernel has quotas on tmpfs."""
    argv = ["mount", "-t", "tmpfs", "-o", "usrquota_inode_hardlimit=5,usrquota", "tmpfs", "/mnt"]
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", *argv], capture_output=True, check=False)
    return done.returncode == 0


# --- A file system that goes away


def away(place: Place) -> Iterator[Case]:
    """Yield each change in the store, after which the store is gone; it comes back when the attempt is over."""
    for mail, warm in (("changes", False), ("changes", True), ("stripped", False)):
        run = calls.Run(mail, "sendmail", warm)
        for call in calls.trace_of(place, run):
            if call.changes or (call.name == "openat" and str(place.store) in call.about):
                yield Case("store goes away", f"{run}: after {call}", partial(_away, run, call))


def _away(run: calls.Run, call: trace.Call, place: Place) -> Verdict:
    place.reset(warm=run.warm)
    mail = place.mails[run.mail]
    under = trace.inject(place.log, call, "signal=STOP")

    def meanwhile(process: "subprocess.Popen[bytes]") -> None:
        pid = stopped.wait(process, place.log)
        if pid:
            place.store.rename(place.away)
            stopped.go_on(pid)

    ended = place.attempt(mail, under=under, meanwhile=meanwhile)
    if not place.away.exists():
        return judge(place, mail, ended)._replace(outcome="missed")
    problems = []
    if place.store.exists():
        problems = [f"the store was made anew: {sorted(path.name for path in place.store.rglob('*'))}"]
        os.rename(place.store, place.root / "strange")
    place.away.rename(place.store)
    verdict = judge(place, mail, ended)
    return verdict._replace(problems=(*problems, *verdict.problems))
