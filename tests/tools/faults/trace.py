"""The system calls of a run, as strace(1) tells them, and the arguments with which it lets one of them fail."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?|0x[0-9a-f]+)(?:<([^>]*)>)?(.*)$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(?!\.\.\.)')
_FD = re.compile(r"(\d+)<([^>]*)>")

SPAWNS = ("vfork", "clone", "clone3", "fork")
CHANGES = frozenset(
    (
        *("write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "unlink"),
        *("unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "ftruncate", "flock", "sendto"),
        *("sendfile", "copy_file_range", "connect", *SPAWNS),
    )
)


class Call(NamedTuple):
    """One system call: its name, which one of that name it is in the process, its arguments, what it returned."""

    order: int
    name: str
    number: int
    arguments: str
    result: str
    result_path: str
    injected: bool

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was to do."""
        return not self.result.startswith("-") and self.result != "?"

    @property
    def strings(self) -> list[str]:
        """The strings among its arguments that are shown in full."""
        return _STRING.findall(self.arguments)

    @property
    def descriptor(self) -> tuple[int, str]:
        """The descriptor it works on, and what that is; (-1, "") where there is none."""
        found = _FD.match(self.arguments)
        return (int(found[1]), found[2]) if found else (-1, "")

    @property
    def about(self) -> str:
        """The path it is about."""
        strings = (
            self.strings if self.name not in ("write", "pwrite64", "sendto", "read", "pread64", "recvfrom") else []
        )
        return strings[-1] if strings else self.descriptor[1]

    @property
    def changes(self) -> bool:
        """Whether it changes anything outside of the process."""
        return self.name in CHANGES or (self.name == "openat" and "O_CREAT" in self.arguments)

    def __str__(self) -> str:
        """Say which call this is, for people."""
        return f"{self.name} {self.number} ({self.about.rpartition('/')[2][:40]})"


def read(log: Path) -> list[Call]:
    """Read what `record` had written."""
    return read_text(log.read_text(encoding="ascii", errors="replace"))


def read_text(text: str) -> list[Call]:
    """Read a part of it."""
    calls: list[Call] = []
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        found = _LINE.match(line)
        name = found[1] if found else line.partition("(")[0]
        if not re.fullmatch(r"[a-z]\w*", name):
            continue  # signals, the end
        counts[name] += 1
        arguments, result, path, rest = found.groups()[1:] if found else (line, "?", "", "")
        number = counts[name]
        calls.append(Call(len(calls), name, number, arguments, result, path or "", "(INJECTED)" in (rest or "")))
    return calls


def own(calls: list[Call], command: str) -> list[Call]:
    """Return the calls from the launcher's first statement on: what comes before is the interpreter's start."""
    opened = next(call.order for call in calls if call.name == "openat" and command in call.arguments)
    first = next(call.order for call in calls[opened:] if call.name == "fcntl" and "F_DUPFD" in call.arguments)
    return calls[first:]


def record(log: Path) -> list[str]:
    """Return the command that writes all calls of what follows into a file."""
    return ["strace", "-q", "-y", "-s", "96", "-o", str(log), "--"]


def inject(log: Path, call: Call, what: str) -> list[str]:
    """Return the command that lets one call fail, or a signal come there: `error=EIO`, `signal=KILL`."""
    fault = f"--inject={call.name}:{what}:when={call.number}"
    return ["strace", "-q", "-y", "-s", "96", "-o", str(log), "-e", f"trace={call.name}", fault, "--"]


def inject_and_record(log: Path, call: Call, what: str) -> list[str]:
    """Return the same command, with all calls written."""
    return [*record(log)[:-1], f"--inject={call.name}:{what}:when={call.number}", "--"]


def was_injected(log: Path) -> bool:
    """Whether the fault was reached."""
    text = log.read_text(encoding="ascii", errors="replace") if log.exists() else ""
    return any(word in text for word in ("(INJECTED)", "killed by", "--- SIG", "--- stopped"))
