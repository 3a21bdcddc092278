"""Power cuts: what was not synced is gone.

Nobody pulls a plug. The system calls of a run tell which names and contents were synced when; from them the store is
built as a power cut at each point may leave it, in three ways: only what was synced is there ("strict": also names in a
directory that was not synced are gone, which is more than usual file systems lose); all names are there and what was
not synced is empty; or it is as long as it was, and zero. If the reinjection had begun, the mail counts as delivered,
so its links must open in that store; then the message is tried again, as Postfix does after the restart.

Not covered: a disk that lies about syncing, and Postfix's own queue.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from tests.tools.faults import trace
from tests.tools.faults.calls import Run, span, trace_of
from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, judge
from tests.tools.faults.place import Place
from tests.tools.faults.process import Ended
from tests.tools.faults.reader import wrong
from tests.tools.faults.trace import Call

WAYS = ("strict", "empty", "zero")


@dataclass(eq=False)
class Node:
    """A file or a directory: as it is, and as it is on the disk."""

    folder: bool
    mode: int
    names: dict[str, "Node"] = field(default_factory=dict)
    content: bytes | None = None
    synced: bool = False
    synced_mode: int = 0
    synced_names: dict[str, "Node"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.synced_mode = self.mode  # it is born with

    def sync(self) -> None:
        """Do what fsync does."""
        self.synced, self.synced_mode, self.synced_names = True, self.mode, dict(self.names)


class Disk:
    """A store as system calls make it."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.top = self._read(root)
        self._open: dict[int, Node] = {}

    def _read(self, path: Path) -> Node:
        found = path.stat()
        node = Node(path.is_dir(), found.st_mode & 0o777)
        if node.folder:
            node.names = {entry.name: self._read(entry) for entry in path.iterdir()}
        else:
            node.content = path.read_bytes()
        node.sync()
        return node

    def learn(self, root: Path) -> list[str]:
        """Take the contents of files from the store as it is after the run; say where names differ from the calls'."""
        problems: list[str] = []

        def compare(node: Node, path: Path) -> None:
            real = {entry.name for entry in path.iterdir()}
            if real != set(node.names):
                problems.append(f"the model of the disk differs in {path.name}: {real ^ set(node.names)}")
            for name, child in node.names.items():
                if child.folder and (path / name).is_dir():
                    compare(child, path / name)
                elif (path / name).is_file():
                    child.content = (path / name).read_bytes()

        compare(self.top, root)
        return problems

    def forget_descriptors(self) -> None:
        """Let the process end."""
        self._open.clear()

    def _find(self, path: str) -> tuple[Node, str] | None:
        """Return the directory of a path below the store, and the name in it."""
        inside = path.removeprefix(self.root + "/")
        if inside == path:
            return None
        *folders, name = inside.split("/")
        node = self.top
        for folder in folders:
            node = node.names[folder]
        return node, name

    def _node(self, path: str) -> Node | None:
        if path == self.root:
            return self.top
        place = self._find(path)
        return place[0].names.get(place[1]) if place else None

    def apply(self, call: Call) -> None:
        """Do what a call did."""
        if not call.succeeded:
            return
        strings, (fd, _) = call.strings, call.descriptor
        if call.name == "openat":
            self._opened(call, strings[0])
        elif call.name == "close":
            self._open.pop(fd, None)
        elif call.name in ("write", "pwrite64", "ftruncate") and fd in self._open:
            self._open[fd].synced = False
        elif call.name in ("fsync", "fdatasync") and fd in self._open:
            self._open[fd].sync()
        elif call.name == "fchmod" and fd in self._open:
            self._open[fd].mode = _mode(call)
        elif call.name == "chmod" and (node := self._node(strings[0])):
            node.mode = _mode(call)
        elif call.name == "mkdir" and (place := self._find(strings[0])):
            place[0].names[place[1]] = Node(True, _mode(call))
        elif call.name in ("unlink", "rmdir") and (place := self._find(strings[0])):
            del place[0].names[place[1]]
        elif call.name == "rename" and (place := self._find(strings[0])):
            target = self._find(strings[1])
            assert target
            target[0].names[target[1]] = place[0].names.pop(place[1])
        elif call.name in ("link", "linkat") and (target := self._find(strings[-1])):
            through = re.fullmatch(r"/proc/self/fd/(\d+)", strings[0])
            source = self._open[int(through[1])] if through else self._node(strings[0])
            assert source
            target[0].names[target[1]] = source

    def _opened(self, call: Call, path: str) -> None:
        node = self._node(path)
        if "O_TMPFILE" in call.arguments and path.startswith(self.root):
            node = Node(False, 0o600)
        elif node is None and "O_CREAT" in call.arguments and (place := self._find(path)):
            node = place[0].names[place[1]] = Node(False, _mode(call))
        if node:
            self._open[int(call.result)] = node

    def after_power_cut(self, way: str) -> "Left":
        """Return what a power cut now leaves. Contents may still be unknown."""
        return _left(self.top, way)


class Left(NamedTuple):
    """What a power cut leaves of a node; of a file that was not synced nothing but zeros or less."""

    node: Node
    mode: int
    whole: bool
    names: "dict[str, Left]"

    def write(self, path: Path, way: str, written: dict[Node, Path]) -> None:
        """Build it, links as links."""
        if self.node.folder:
            path.mkdir(exist_ok=True)
            for name, child in self.names.items():
                child.write(path / name, way, written)
        elif self.node in written:
            path.hardlink_to(written[self.node])
        else:
            written[self.node] = path
            content = self.node.content or b"?"  # one that is gone by now, so nobody knows
            path.write_bytes(content if self.whole else bytes(len(content)) if way == "zero" else b"")
        path.chmod(self.mode)


def _left(node: Node, way: str) -> Left:
    strict = way == "strict"
    names = node.synced_names if strict else node.names
    mode = node.synced_mode if strict else node.mode
    return Left(node, mode, node.synced, {name: _left(child, way) for name, child in names.items()})


def _mode(call: Call) -> int:
    return int(call.arguments.rpartition(" ")[2], 8)


def cases(place: Place) -> Iterator[Case]:
    """Yield power cuts after each change, in each way; and after a retry of what was killed at each change."""
    for run in (
        Run("changes", "sendmail", False),
        Run("changes", "sendmail", True),
        Run("stripped", "sendmail", False),
    ):
        calls = trace_of(place, run, alone=True)
        first, _ = span(calls, run.config, place.inode)
        for call in filter(attrgetter("changes"), calls):
            for way in WAYS:
                name = f"{run}: after {call}: {way}"
                yield Case("power cut", name, partial(_cut, run, call, way, call.order >= first))
            if call.order < first:
                yield Case("SIGKILL, then power cut", f"{run}: {call}", partial(_killed_then_cut, run, call))


def _follow(disk: Disk, calls: list[Call], until: Callable[[Call], bool], way: str) -> Left | None:
    """Do on the disk what calls did; return what a power cut after one of them leaves."""
    left = None
    for call in calls:
        disk.apply(call)
        if left is None and until(call):
            left = disk.after_power_cut(way)
    disk.forget_descriptors()
    return left


def _cut(run: Run, at: Call, way: str, delivered: bool, place: Place) -> Verdict:
    place.reset(warm=run.warm)
    disk = Disk(place.store)
    place.attempt(place.mails[run.mail], run.config, under=trace.record(place.log), alone=True)
    left = _follow(disk, trace.read(place.log), lambda call: (call.name, call.number) == (at.name, at.number), way)
    return _restarted(run, disk, left, way, delivered, place)


def _killed_then_cut(run: Run, at: Call, place: Place) -> Verdict:
    mail = place.mails[run.mail]
    place.reset(warm=run.warm)
    disk = Disk(place.store)
    place.attempt(mail, run.config, under=trace.inject_and_record(place.log, at, "signal=KILL"), alone=True)
    _follow(disk, trace.read(place.log), lambda _: False, "strict")
    place.attempt(mail, run.config, under=trace.record(place.log), alone=True)
    left = _follow(disk, trace.read(place.log), lambda call: call.name in trace.SPAWNS, "strict")
    return _restarted(run, disk, left, "strict", True, place)


def _restarted(run: Run, disk: Disk, left: Left | None, way: str, delivered: bool, place: Place) -> Verdict:
    """Judge a restart after the power cut."""
    mail = place.mails[run.mail]
    problems = disk.learn(place.store)
    if left is None:
        return Verdict("missed", problems=tuple(problems))
    shutil.rmtree(place.store)
    left.write(place.store, way, {})
    if delivered:
        problems += [f"after it: {text}" for one in place.taken(mail) for text in wrong(mail, one, place.store)]
    else:
        shutil.rmtree(place.calls)
        place.calls.mkdir()
    verdict = judge(place, mail, Ended(-9, b"", 0), may_double=delivered)
    return verdict._replace(problems=(*problems, *verdict.problems))
