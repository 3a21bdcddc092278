"""Two copies of the process on the same message at the same time; and clean-up beside one.

One copy is stopped after each of its changes, the other runs as far as it can (a lock may stop it), then both finish.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.tools.faults import stopped, trace
from tests.tools.faults.calls import Run, trace_of
from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, clean_up, judge, judge_all
from tests.tools.faults.place import SECONDS, Place
from tests.tools.faults.process import Ended, finish, reap, wait_for
from tests.tools.faults.trace import Call

BLOCKED = 0.5  # seconds after which the other one is taken to wait for the first
TOGETHER = 20


def cases(place: Place) -> Iterator[Case]:
    """Yield a second copy at each change, some that just start together, and clean-up at each change."""
    for run in (Run("changes", "sendmail", False), Run("changes", "sendmail", True)):
        for call in trace_of(place, run):
            if call.changes:
                yield Case("second copy", f"{run}: after {call}", partial(_beside, run, call))
                yield Case("clean-up beside", f"{run}: after {call}", partial(_cleaned, run, call))
    for number in range(TOGETHER):
        warm = number % 2 == 0
        yield Case("second copy", f"together, {number}", partial(_together, Run("changes", "sendmail", warm)))


def _beside(run: Run, call: Call, place: Place) -> Verdict:
    others: list[subprocess.Popen[bytes]] = []

    def other() -> None:
        others.append(place.second(place.mails[run.mail]))
        wait_for(lambda: others[0].poll() is not None, BLOCKED)

    first = _stopped_at(run, call, place, other)
    second = finish(others[0], place.root / "said-2", SECONDS)
    return _judge(place, run, first, second)


def _cleaned(run: Run, call: Call, place: Place) -> Verdict:
    problems: list[str] = []
    cleaning = threading.Thread(target=lambda: problems.extend(clean_up(place.store, time.time())))

    def other() -> None:
        cleaning.start()
        cleaning.join(BLOCKED)

    first = _stopped_at(run, call, place, other)
    cleaning.join(SECONDS)
    reap()
    verdict = judge(place, place.mails[run.mail], first)
    return verdict._replace(problems=(*problems, *verdict.problems))


def _together(run: Run, place: Place) -> Verdict:
    place.reset(warm=run.warm)
    second = place.second(place.mails[run.mail])
    first = place.attempt(place.mails[run.mail], adopted=False)
    return _judge(place, run, first, finish(second, place.root / "said-2", SECONDS))


def _stopped_at(run: Run, call: Call, place: Place, other: Callable[[], None]) -> Ended:
    place.reset(warm=run.warm)

    def meanwhile(process: "subprocess.Popen[bytes]") -> None:
        pid = stopped.wait(process, place.log)
        other()
        if pid:
            stopped.go_on(pid)

    under = trace.inject(place.log, call, "signal=STOP")
    return place.attempt(place.mails[run.mail], under=under, meanwhile=meanwhile, adopted=False)


def _judge(place: Place, run: Run, *ended: Ended) -> Verdict:
    """Each copy delivers once: two of them twice, with the same links."""
    reap()
    return judge_all(place, place.mails[run.mail], ended)
