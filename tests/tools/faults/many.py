"""Hundreds of messages in one process of pfilter-lmtp, and a fault in any of them: the others are unhurt."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from random import Random

from tests.tools.faults import trace
from tests.tools.faults.calls import failing, in_window, is_answer, may_send
from tests.tools.faults.case import Case
from tests.tools.faults.mail import PASSES, Mail
from tests.tools.faults.oracle import Verdict, clean_up, counts
from tests.tools.faults.place import Place
from tests.tools.faults.reader import wrong
from tests.tools.faults.trace import Call

MESSAGES = 300
LINKED = 20  # one in so many has a link, and one is for recipients who are told apart
FAULTS = 60
SECONDS = 60.0
ERRORS = ("ENOMEM", "EIO", "ENOSPC", "EMFILE")


def letters(place: Place) -> list[Mail]:
    """Return messages, each with a sender of its own."""
    found = []
    for number in range(MESSAGES):
        mail = {LINKED - 1: place.mails["changes"], LINKED // 2: place.mails["apart"]}.get(number % LINKED, PASSES)
        found.append(mail._replace(name=f"m{number}", sender=f"s{number}@example.org"))
    return found


def cases(place: Place) -> Iterator[Case]:
    """Yield a fault in every fifth message or so: an error or a signal, at some call of it."""
    place.reset(warm=True)
    answers = place.talk(letters(place), "smtp", [*trace.record(place.log), *place.argv(PASSES, "smtp")], SECONDS)
    if any(answer.status != 0 for answer in answers):
        raise RuntimeError(f"without a fault, too: {Counter(answer.status for answer in answers)}")
    calls = trace.own(trace.read(place.log), place.command[-1])
    random = Random(0)
    answered = [call.order for call in calls if is_answer(call, place.inode)]
    sending = [call for call in calls if may_send(call, place.inode) and call.order > answered[0]]
    later = [call for call in calls if call.order > answered[0]]
    for number in range(FAULTS):
        call = random.choice(sending if number % 3 == 0 else later)
        what = ("signal=KILL", "signal=TERM", failing(call, random.choice(ERRORS)))[number % 3]
        position = sum(order < call.order for order in answered)
        yield Case("one of hundreds", f"message {position}, {call}: {what}", partial(_run, call, what))


def _run(call: Call, what: str, place: Place) -> Verdict:
    mails = letters(place)
    place.reset(warm=True)
    argv = [*trace.inject_and_record(place.log, call, what), *place.argv(PASSES, "smtp")]
    answers = place.talk(mails, "smtp", argv, SECONDS)
    reached = trace.was_injected(place.log)
    may_double = in_window(place.log, place.inode)
    problems: list[str] = []
    doubled = waiting = 0
    again: list[Mail] = []
    for answer in answers:
        count = counts(place.taken(answer.mail))
        for reader, said in answer.by_reader:
            if said.startswith(b"250 ") and count[reader] != 1:
                problems.append(f"{answer.mail.name}: answered 250, and {reader} got it {count[reader]} times")
        if answer.hung or any(said.startswith(b"5") for said in answer.replies):
            problems.append(f"{answer.mail.name}: hung or bounced: {answer.replies}")
        late = tuple(reader for reader, said in answer.by_reader if not said.startswith(b"250 "))
        if late:
            waiting += 1
            doubled += any(count[reader] for reader in late)
            again.append(answer.mail._replace(readers=late))
    if doubled > may_double:
        problems.append(f"{doubled} delivered, known to be, and yet kept in the queue")
    if waiting > 1:
        problems.append(f"{waiting} messages put off by one fault")
    if again:
        place.talk(again, "smtp", place.argv(PASSES, "smtp"), SECONDS)
    lost = False
    for answer in answers:
        taken = place.taken(answer.mail)
        count = counts(taken)
        lost = lost or any(not count[reader] for reader in answer.mail.readers)
        for reader, said in answer.by_reader:
            if count[reader] > (1 if said.startswith(b"250 ") else 1 + doubled):
                problems.append(f"{answer.mail.name}: {reader} got it {count[reader]} times after the retry")
        problems += [f"{answer.mail.name}: {text}" for one in taken for text in wrong(answer.mail, one, place.store)]
    problems += clean_up(place.store, 0)
    outcome = "missed" if not reached else "doubled" if doubled else "queue" if waiting else "delivered"
    return Verdict(outcome, lost, tuple(problems[:10]))
