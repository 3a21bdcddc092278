"""The SMTP server refuses at each verb, hangs up at each octet in either direction, is late, answers garbage.

At the door for lmtp(8) all this is about the second of three messages, or the connection by which that one goes.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict, judge
from tests.tools.faults.place import Place
from tests.tools.faults.server import END, Script

VERBS = ("", "EHLO", "MAIL", "RCPT", "DATA", END)
ANSWERS = {
    "4xx": "451 4.3.0 later",
    "5xx": "554 5.7.1 never",
    "421": "421 4.3.2 closing",
    "552": "552 5.3.4 too big",
    "a wrong success": "399 what",
    "no number": "hello there",
    "nothing": "",
    "two digits": "25 ok",
    "binary": "\x00\xff\xfe\x80",
    "half a reply": "250-more",
    "very long": "250 " + "x" * 100_000,
    "many lines": "\r\n".join(["250-x"] * 2000),
}
LATE, TOO_LATE = 0.4, 3.0  # seconds; the limit is 1 in a hurried configuration


def cases(place: Place) -> Iterator[Case]:
    """Yield what a server can do wrong; where it hangs up is tried for each octet of the dialogue."""
    for verb in VERBS:
        said = verb or "the greeting"
        for name, reply in ANSWERS.items():
            yield _case(f"{name} to {said}", Script(replies={verb: reply}), verb == END)
        yield _case(f"hangs up at {said}", Script(replies={verb: None}), verb == END)
        yield _case(f"hangs up at {said} by RST", Script(replies={verb: None}, resets=True), verb == END)
        yield _case(f"late at {said}", Script(delays={verb: LATE}), False)
        yield _case(f"too late at {said}", Script(delays={verb: TOO_LATE}), verb == END)
    for name in ("4xx", "5xx", "no number", "half a reply"):
        yield _case(f"{name} to QUIT", Script(replies={"QUIT": ANSWERS[name]}), False)
    yield _case("hangs up at QUIT", Script(replies={"QUIT": None}, resets=True), False)
    yield _case("too late at QUIT", Script(delays={"QUIT": TOO_LATE}), False)
    for early in ("250 ok, queued", "451 no", "what"):
        yield _case(f"says {early!r} before the end of data", Script(early=early), True)
    for name, parting in (("", None), (" by 421", "421 4.4.2 idle"), (" by nonsense", "what")):
        for resets in (False, True):
            how = f"hangs up{name}{', RST,' if resets else ''} behind the reply to the message"
            yield _case(how, Script(parting=parting, resets=resets), False)
    place.reset(warm=True)
    place.attempt(place.mails["passes"], "smtp")
    sessions = place.server.octets
    reads, writes = sessions[min(1, len(sessions) - 1)]
    for octets in range(reads + 1):
        yield _case(f"hangs up after reading {octets} of {reads} octets", Script(takes=octets), True)
    for octets in range(writes + 1):
        for resets in (False, True):
            name = f"hangs up{' by RST' if resets else ''} after writing {octets} of {writes} octets"
            yield _case(name, Script(gives=octets, resets=resets), True)


def _case(name: str, script: Script, may_double: bool) -> Case:
    return Case("SMTP server", name, partial(_run, script, may_double))


def _run(script: Script, may_double: bool, place: Place) -> Verdict:
    mail = place.mails["passes"]
    place.reset(warm=True)
    if place.door == "lmtp":
        script = replace(script, message=1)
        if script.takes >= 0 or script.gives >= 0 or {"", "EHLO"} & {*script.replies, *script.delays}:
            place.attempt(mail, "smtp")
            script = replace(script, message=-1, session=min(1, len(place.server.octets) - 1))
            place.reset(warm=True)
    place.server.reset(script)
    ended = place.attempt(mail, "smtp-hurried")
    return judge(place, mail, ended, "smtp-hurried", may_double=may_double)
