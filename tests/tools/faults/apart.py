"""Recipients who are told apart: one is exempt, one is ordinary, one is refused; and a fault in either transaction.

The message is the second of three over a connection: the filtered form goes first, then the original.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tests.tools.faults import trace
from tests.tools.faults.calls import QUIET, Run, errors, failing, imports, in_window, is_answer, trace_of
from tests.tools.faults.case import Case
from tests.tools.faults.mail import EXEMPT, ORDINARY, OTHER
from tests.tools.faults.oracle import Verdict, judge_apart
from tests.tools.faults.place import Place
from tests.tools.faults.server import END, Script
from tests.tools.faults.servers import ANSWERS, LATE, TOO_LATE
from tests.tools.faults.trace import Call

UNKNOWN = "550 5.1.1 no such user"
REFUSALS = {
    "for now": "451 4.3.0 later",
    "by a policy": "554 5.7.1 never",
    "as unknown": UNKNOWN,
    "as unknown, without a status": "550 no such user",
    "as too many": "452 4.5.3 too many recipients",
}
WHO = {
    "an ordinary one": (OTHER,),
    "the exempt one": (EXEMPT,),
    "all but the exempt one": (ORDINARY, OTHER),
    "all but an ordinary one": (EXEMPT, OTHER),
    "all": (ORDINARY, OTHER, EXEMPT),
}
TRANSACTIONS = {1: "the filtered form", 2: "the original"}
REFUSED = {"nobody refused": "", "one refused for now": "for now", "one unknown": "as unknown"}
# The sendmail that is started as the n-th of an attempt.
NTH = 'n=$(ls {calls} | wc -l); [ "$n" -ne {number} ] || '


def cases(place: Place) -> Iterator[Case]:
    """Yield refusals, what a server or a sendmail does wrong in a transaction, errors and signals at each call."""
    for how, reply in REFUSALS.items():
        for whom, readers in WHO.items():
            yield _server(f"{whom} refused {how}", dict.fromkeys(readers, reply), Script(), False)
    for message, form in TRANSACTIONS.items():
        for refused, how in REFUSED.items():
            refuses = {OTHER: REFUSALS[how]} if how else {}
            for what, script, may_double in _scripts():
                name = f"{form}, {refused}: {what}"
                yield _server(name, refuses, replace(script, message=message), may_double)
    for number, form in TRANSACTIONS.items():
        for what in ("exit 75", "exit 69", "kill -KILL $$"):
            for where in ("before", "between", "after"):
                run = partial(_sendmail, number + 1, where, what)
                yield Case("apart: sendmail", f"{form}: {what} {where}", run)
    for config in ("smtp", "sendmail"):
        yield from _calls(place, Run("apart", config, True))


def _scripts() -> Iterator[tuple[str, Script, bool]]:
    for verb in ("MAIL", "RCPT", "DATA", END):
        for name, reply in ANSWERS.items():
            yield f"{name} to {verb}", Script(replies={verb: reply}), verb == END
        yield f"hangs up at {verb}", Script(replies={verb: None}), verb == END
        yield f"hangs up at {verb} by RST", Script(replies={verb: None}, resets=True), verb == END
        yield f"late at {verb}", Script(delays={verb: LATE}), False
        yield f"too late at {verb}", Script(delays={verb: TOO_LATE}), verb == END
    yield "hangs up behind the reply", Script(parting=None), False
    yield "hangs up by 421 behind the reply", Script(parting="421 4.4.2 idle"), False


def _server(name: str, refuses: dict[str, str], script: Script, may_double: bool) -> Case:
    return Case("apart: SMTP server", name, partial(_served, replace(script, refuses=refuses), may_double))


def _served(script: Script, may_double: bool, place: Place) -> Verdict:
    mail = place.mails["apart"]
    place.reset(warm=True)
    place.server.reset(script)
    place.attempt(mail, "smtp-hurried")
    return judge_apart(place, mail, "smtp-hurried", script.refuses, may_double=may_double)


def _sendmail(number: int, where: str, what: str, place: Place) -> Verdict:
    mail = place.mails["apart"]
    place.reset(warm=True)
    folders = number - 1 if where == "before" else number
    place.stub(**{where: NTH.format(calls=place.calls, number=folders) + what})
    place.attempt(mail, "sendmail")
    return judge_apart(place, mail, "sendmail", {}, may_double=where == "after")


def _calls(place: Place, run: Run) -> Iterator[Case]:
    calls = trace_of(place, run)
    before, answered = [call.order for call in calls if is_answer(call, place.inode)][:2]
    loading = imports(calls, place)
    for call in calls:
        if not before < call.order <= answered + 1 or call.order in loading:
            continue
        for error in errors(call):
            yield _case("system call", run, call, failing(call, error))
        if call.name not in QUIET:
            yield _case("SIGKILL", run, call, "signal=KILL")
            yield _case("SIGTERM", run, call, "signal=TERM")


def _case(kind: str, run: Run, call: Call, what: str) -> Case:
    return Case(f"apart: {kind}", f"{run}: {call}: {what.partition('=')[2]}", partial(_inject, run, call, what))


def _inject(run: Run, call: Call, what: str, place: Place) -> Verdict:
    mail = place.mails[run.mail]
    place.reset(warm=run.warm)
    place.attempt(mail, run.config, under=trace.inject_and_record(place.log, call, what))
    reached = trace.was_injected(place.log)
    verdict = judge_apart(place, mail, run.config, {}, may_double=in_window(place.log, place.inode))
    return verdict if reached else verdict._replace(outcome="missed")
