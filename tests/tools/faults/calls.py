"""Each system call fails once with each plausible error, or a signal comes there (strace --inject).

A run without a fault says which calls there are. For a message that passes all of them are tried; for one that is
changed, those by which modules are imported are left out (they are the same ones, and change nothing).
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.tools.faults import trace
from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, judge
from tests.tools.faults.place import Place
from tests.tools.faults.trace import Call

WRITING = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
NAMING = (*WRITING, "EACCES", "ENOMEM")
MEMORY = ("ENOMEM",)
# brk(2) that fails returns the break as it is, never -ENOMEM: glibc would take that for an address, and use memory that
# is not there. With 0 malloc(3) sees a failure, and asks for the break the next time.
NO_BREAK = "retval=0"
NETWORK = ("ECONNRESET", "ETIMEDOUT", "ENOMEM", "EINTR")
ERRORS: dict[str, tuple[str, ...]] = {
    "read": ("EIO", "ENOMEM", "EINTR"),
    "pread64": ("EIO", "ENOMEM", "EINTR"),
    "write": (*WRITING, "ENOMEM", "EINTR"),
    "pwrite64": (*WRITING, "ENOMEM", "EINTR"),
    "lseek": ("EIO",),
    "close": ("EIO", "EINTR"),
    "newfstatat": ("EIO", "EACCES", "ENOMEM"),
    "fstat": ("EIO", "ENOMEM"),
    "statfs": ("EIO", "EACCES", "ENOMEM"),
    "getdents64": ("EIO", "ENOMEM"),
    "fsync": WRITING,
    "fdatasync": WRITING,
    "rename": NAMING,
    "renameat": NAMING,
    "link": (*NAMING, "EMLINK", "EXDEV", "EPERM"),
    "linkat": (*NAMING, "EMLINK", "EXDEV", "EPERM", "ENOENT"),
    "unlink": ("EIO", "EROFS", "EACCES"),
    "mkdir": (*NAMING, "EMLINK"),
    "chmod": ("EIO", "EROFS", "EPERM"),
    "fchmod": ("EIO", "EROFS", "EPERM"),
    "ftruncate": WRITING,
    "flock": ("ENOLCK", "EINTR", "EIO"),
    "memfd_create": ("EMFILE", "ENFILE", "ENOMEM", "ENOSYS", "EPERM"),
    "fcntl": ("EMFILE",),
    "dup2": ("EMFILE", "EBUSY"),
    "mmap": MEMORY,
    "brk": MEMORY,
    "mremap": MEMORY,
    "vfork": ("EAGAIN", "ENOMEM"),
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM"),
    "pidfd_open": ("EMFILE", "ENFILE", "ENOSYS", "EPERM"),
    "poll": ("ENOMEM", "EINTR"),
    "wait4": ("ECHILD", "EINTR"),
    "waitid": ("ECHILD", "EINTR"),
    "socket": ("EMFILE", "ENOMEM", "EACCES"),
    "connect": ("ECONNREFUSED", "ETIMEDOUT", "EACCES", "EINTR"),
    "setsockopt": ("ENOBUFS",),
    "getsockname": ("ENOBUFS",),
    "getsockopt": ("ENOBUFS",),
    "sendto": (*NETWORK, "EPIPE"),
    "recvfrom": NETWORK,
    "getrandom": ("ENOSYS",),
}
OPENING = ("EMFILE", "EACCES", "EIO", "ENOMEM")
MAKING = ("ENOSPC", "EDQUOT", "EROFS", "EMFILE", "EACCES", "EIO")
QUIET = ("read", "pread64", "lseek", "fstat", "newfstatat", "mmap", "munmap", "brk", "close", "ioctl", "rt_sigaction")


SENDS = ("sendto", "sendmsg", "write", "writev")
COMMAND = re.compile(r'"(?:EHLO|XFORWARD|MAIL|RCPT|DATA|RSET|NOOP|QUIT)\b')
ANSWER = re.compile(r'"(?:250 2\.0\.0 (?!Ok)|451 |550 |421 )')


class Run(NamedTuple):
    """A message, the way it is reinjected, and whether the store was in use before."""

    mail: str
    config: str
    warm: bool

    def __str__(self) -> str:
        """Say it for people."""
        return f"{self.mail}, {self.config}, {'warm' if self.warm else 'first message'}"


def trace_of(place: Place, run: Run, *, alone: bool = False) -> list[Call]:
    """Return the calls of a run without a fault, from the launcher on."""
    place.reset(warm=run.warm)
    ended = place.attempt(place.mails[run.mail], run.config, under=trace.record(place.log), alone=alone)
    if ended.status != 0:
        raise RuntimeError(f"without a fault, too: {ended}")
    return trace.own(trace.read(place.log), place.command[-1])


def span(calls: list[Call], config: str, inode: str = "") -> tuple[int, int]:
    """Return the first call after which Postfix may have the message, and the one by which we know that it has."""
    if inode:
        return lmtp_span(calls, inode)
    if config.startswith("smtp"):
        start = next(call.order for call in reversed(calls) if call.name == "sendto" and ".\\r\\n" in call.arguments)
        return start, next(call.order for call in calls if call.order > start and call.name == "recvfrom")
    start = next(call.order for call in calls if call.name in trace.SPAWNS)
    return start, next(call.order for call in calls if call.order > start and call.name == "wait4")


def is_answer(call: Call, inode: str) -> bool:
    """Whether a call tells lmtp(8) what has become of a message."""
    return call.name in SENDS and call.descriptor[1] == inode and ANSWER.search(call.arguments) is not None


def may_send(call: Call, inode: str) -> bool:
    """Whether a call may have been the one by which Postfix had the message: a spawn, or content over a socket."""
    if call.name in trace.SPAWNS:
        return True
    of_socket = call.descriptor[1].startswith("socket:") and call.descriptor[1] != inode
    return call.name in SENDS and of_socket and not COMMAND.search(call.arguments)


def lmtp_span(calls: list[Call], inode: str) -> tuple[int, int]:
    """Return the same of the second message over a connection, or the only one; known is what lmtp(8) is told."""
    answers = [call.order for call in calls if is_answer(call, inode)]
    first, second = answers[:2] if len(answers) > 1 else (0, *answers)
    sent = [call.order for call in calls if first < call.order < second and may_send(call, inode)]
    return sent[-1], second


def in_window(log: Path, inode: str) -> bool:
    """Whether the fault of a run was between Postfix's having a message and lmtp(8)'s being told."""
    sent = False
    text = log.read_text(encoding="ascii", errors="replace") if log.exists() else ""
    for call in trace.read_text(text.partition("--- SIG")[0]):
        sent = sent or may_send(call, inode)
        if call.injected:
            return sent
        sent = sent and not is_answer(call, inode)
    return sent


def errors(call: Call) -> tuple[str, ...]:
    """Return the plausible errors of a call."""
    if call.name in ("open", "openat"):
        return MAKING if "O_CREAT" in call.arguments or "O_TMPFILE" in call.arguments else OPENING
    return ERRORS.get(call.name, ())


def failing(call: Call, error: str) -> str:
    """Return what strace(1) injects for an error of a call."""
    return NO_BREAK if call.name == "brk" else f"error={error}"


def imports(calls: list[Call], place: Place) -> set[int]:
    """Return the calls by which Python finds and loads modules."""
    found = set()
    for call in calls:
        path = call.about or call.result_path
        outside = path.startswith("/") and not path.startswith(("/memfd", "/dev", "/proc", str(place.root) + "/"))
        if outside or call.name in ("mmap", "munmap", "brk", "mremap", "mprotect", "getcwd"):
            found.add(call.order)
    return found


def cases(place: Place) -> Iterator[Case]:
    """Yield errors and signals at each call."""
    passes, changes = Run("passes", "sendmail", True), Run("changes", "sendmail", False)
    for run in (passes, changes, Run("changes", "notify", True), Run("stripped", "sendmail", False)):
        yield from _of(place, run, signals=run in (passes, changes))
    yield from _of(place, Run("passes", "smtp", True), signals=True)
    yield from _of(place, Run("changes", "smtp", True), signals=False)


def _of(place: Place, run: Run, *, signals: bool) -> Iterator[Case]:
    calls = trace_of(place, run)
    first, known = span(calls, run.config, place.inode)
    loading = imports(calls, place)
    everything = run.mail == "passes" and run.config == "sendmail"
    for call in calls:
        if call.order in loading and not everything:
            continue
        if run.config in ("smtp", "notify") and call.order < first - 40:
            continue  # the same calls as with sendmail, without notification
        inside = first <= call.order <= known
        chosen = errors(call)
        for error in chosen[:2] if call.order in loading else chosen:
            yield _case("system call", run, call, failing(call, error), may_double=inside)
    for before, call in zip([None, *calls], calls, strict=False):
        # Between two calls that change nothing, nothing outside can tell when a process was killed.
        quiet = call.name in QUIET and before is not None and before.name in QUIET
        if not signals or (call.order in loading and (quiet or not everything)):
            continue
        if not quiet:
            yield _case("SIGKILL", run, call, "signal=KILL", may_double=call.order >= first)
        yield _case("SIGTERM", run, call, "signal=TERM", may_double=False)


def _case(kind: str, run: Run, call: Call, what: str, *, may_double: bool) -> Case:
    name = f"{run}: {call}: {what.partition('=')[2]}"
    return Case(kind, name, partial(_inject, run, call, what, may_double=may_double))


def _inject(run: Run, call: Call, what: str, place: Place, *, may_double: bool) -> Verdict:
    mail = place.mails[run.mail]
    place.reset(warm=run.warm)
    of_all = place.door == "lmtp"  # how much of it is read at once differs from run to run: look where it was
    inject = trace.inject_and_record if of_all else trace.inject
    ended = place.attempt(mail, run.config, under=inject(place.log, call, what))
    reached = trace.was_injected(place.log)
    may_double = in_window(place.log, place.inode) if of_all else may_double
    verdict = judge(place, mail, ended, run.config, may_double=may_double)
    return verdict if reached else verdict._replace(outcome="missed")
