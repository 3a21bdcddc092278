"""sendmail is missing, refuses, hangs, dies: before it reads, in the middle, after it has queued."""

import os
from collections.abc import Callable, Iterator
from functools import partial

from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, judge
from tests.tools.faults.place import Place

STATUSES = (1, 2, 64, 65, 67, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78, 126, 127, 255)
SIGNALS = ("HUP", "INT", "KILL", "SEGV", "PIPE", "TERM")
WHERE = {
    "before it reads": "before",
    "after it has read": "between",
    "after it has queued": "after",
}
HALF = "dd bs=1000 count=1 2>/dev/null >$d/stdin; "


def cases(_: Place) -> Iterator[Case]:
    """Yield what a sendmail can do wrong."""
    broken: dict[str, Callable[[Place], None]] = {
        "missing": lambda place: (place.root / "sendmail").unlink(),
        "not executable": lambda place: (place.root / "sendmail").chmod(0o644),
        "empty": lambda place: _write(place, ""),
        "no program": lambda place: _write(place, "\0\0\0\0"),
        "without its interpreter": lambda place: _write(place, "#!/nonexistent/sh\n"),
        "a folder": _make_folder,
    }
    for name, fault in broken.items():
        for mail in ("passes", "changes"):
            yield Case("sendmail", f"{name}, {mail}", partial(_run, mail, fault, False, False))
    wrongs = [(f"exits with {status}", f"exit {status}") for status in STATUSES]
    wrongs += [(f"dies of SIG{name}", f"kill -{name} $$") for name in SIGNALS]
    for name, code in wrongs:
        for moment, where in WHERE.items():
            yield _behaves(f"{name} {moment}", {where: code}, may_double=where == "after")
        yield _behaves(f"{name} in the middle", {"reading": HALF + code})
    for moment, where in WHERE.items():
        yield _behaves(f"hangs {moment}", {where: "sleep 60"}, may_double=where == "after", hurried=True)
    yield _behaves("hangs in the middle", {"reading": f"{HALF} sleep 60"}, hurried=True)
    yield _behaves("hangs in a child that outlives it", {"after": "sleep 60 & wait"}, may_double=True, hurried=True)
    yield _behaves("leaves a child that holds its output", {"after": "sleep 0.3 &"})
    yield _behaves("talks without end", {"between": "yes | head -c 3000000; exit 75"})
    yield _behaves("talks and succeeds", {"after": "yes | head -c 3000000; echo 5.7.1 no >&2"})
    yield _behaves("is slow", {"between": "sleep 0.5"})


def _behaves(name: str, stub: dict[str, str], *, may_double: bool = False, hurried: bool = False) -> Case:
    return Case("sendmail", name, partial(_run, "changes", lambda place: place.stub(**stub), may_double, hurried))


def _run(mail: str, fault: Callable[[Place], None], may_double: bool, hurried: bool, place: Place) -> Verdict:
    place.reset()
    fault(place)
    config = "sendmail-hurried" if hurried else "sendmail"
    ended = place.attempt(place.mails[mail], config)
    if os.path.isdir(place.root / "sendmail"):
        (place.root / "sendmail").rmdir()
    return judge(place, place.mails[mail], ended, config, may_double=may_double)


def _write(place: Place, text: str) -> None:
    (place.root / "sendmail").write_text(text, encoding="ascii")


def _make_folder(place: Place) -> None:
    (place.root / "sendmail").unlink()
    (place.root / "sendmail").mkdir()
