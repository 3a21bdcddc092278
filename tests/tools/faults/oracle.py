"""The one judge of all runs: nothing lost, nothing doubled, nothing cut short, every link opens, nothing remains."""

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pfilter.base.errors import StoreError
from pfilter.store import kept
from pfilter.store.cleanup import expire
from pfilter.store.local import LocalStore
from tests.lib.support import BASE_URL
from tests.tools.faults.conversation import Answer
from tests.tools.faults.delivery import Delivery
from tests.tools.faults.mail import Mail
from tests.tools.faults.place import GRACE, Place
from tests.tools.faults.process import Ended
from tests.tools.faults.reader import links, wrong
from tests.tools.faults.server import Script

FAR = 3 * 86400  # past every date: what is still there then is a leftover
KEPT = 100 * 365 * 86400  # originals wait for people
STAYS = ("secret", "config.cache", "downloads/expired.html", "notices", "notices.lock", "notices.new")


class Verdict(NamedTuple):
    """What came of one run. `outcome` is queue, delivered, doubled, refused or missed (the fault was not reached)."""

    outcome: str
    lost: bool = False
    problems: tuple[str, ...] = ()
    note: str = ""


def judge(
    place: Place,
    mail: Mail,
    ended: Ended,
    config: str = "sendmail",
    *,
    may_double: bool = False,
    dates_right: bool = True,
) -> Verdict:
    """Say what came of an attempt; where the message waits, try it again, without the fault.

    `may_double`: the fault came between the moment Postfix had the message and the moment it was known that it had.
    `dates_right`: the clock was, so that clean-up takes nothing today.
    """
    first = place.taken(mail)
    problems = [problem for one in first for problem in wrong(mail, one, place.store)]
    outcome, said = "queue", _said_wrong(ended)
    if ended.status == 0:
        outcome = "delivered"
        if len(first) != 1:
            problems.append(f"exit status 0, and delivered {len(first)} times")
    elif ended.waits:
        if len(first) > 1:
            problems.append(f"delivered {len(first)} times by one attempt")
        if first:
            outcome = "doubled"
            if not may_double:
                problems.append("delivered, known to be, and yet kept in the queue")
    else:
        outcome = "refused"
        problems.append("hung" if ended.status is None else f"bounced: exit status {ended.status}")
    others = list(place.others)
    for other in others:
        problems += _neighbour(place, other, may_double=may_double)
    if ended.status != 0:
        if not first:
            problems += _left_without_retry(place)
        problems += _retry(place, mail, config, len(first))
    for other in others:
        if other.status != 0:
            problems += _retry(place, other.mail, config, len(place.taken(other.mail)))
    lost = not place.taken(mail)
    if len({page for one in place.taken(mail) for page in links(one)}) > 1:
        problems.append("the retry gave other links")
    problems += _expires(place, mail) if dates_right else _leaves_nothing(place.store)
    return Verdict(outcome, lost, (*problems, *said))


def judge_apart(
    place: Place, mail: Mail, config: str, refused: Mapping[str, str], *, may_double: bool = False
) -> Verdict:
    """Say what came of an attempt for each recipient by himself; then try again for those who have to come again.

    `refused` is what the server said to recipients of theirs. Only who was refused for his address may be bounced, and
    only where others got the message, or all were refused for theirs.
    """
    answer = place.answer
    assert answer is not None
    taken = place.taken(mail)
    problems = ["hung"] if answer.hung else []
    problems += [problem for one in taken for problem in wrong(mail, one, place.store)]
    waiting: list[str] = []
    bounced: list[str] = []
    before = counts(taken)
    unknown = [reader for reader, said in refused.items() if said[4:8] == "5.1."]
    for reader, said in answer.by_reader:
        count = before[reader]
        if said.startswith(b"250 "):
            if count != 1:
                problems.append(f"{reader}: answered 250, and delivered {count} times")
        elif said.startswith(b"5"):
            bounced.append(reader)
            for_good = reader in unknown and said[4:8] == b"5.1."
            if count or not for_good or not (taken or len(unknown) == len(mail.readers)):
                problems.append(f"{reader}: bounced by {said!r}, delivered {count} times, {len(taken)} transactions")
        else:
            waiting.append(reader)
            if count > may_double:
                problems.append(f"{reader}: delivered {count} times, known to be, and yet kept in the queue: {said!r}")
            if said and (said[:1] != b"4" or said[4:6] != b"4."):
                problems.append(f"{reader}: told {said!r}")
    others = list(place.others)
    for other in others:
        problems += _neighbour(place, other, may_double=may_double)
    if not taken:
        problems += _left_without_retry(place)
    if waiting:
        problems += _retry_of(place, mail, config, tuple(waiting), before)
    for other in others:
        if other.status != 0:
            problems += _retry(place, other.mail, config, len(place.taken(other.mail)))
    after = counts(place.taken(mail))
    if len({page for one in place.taken(mail) for page in links(one)}) > 1:
        problems.append("the retry gave other links")
    problems += _expires(place, mail)
    doubled = any(before[reader] for reader in waiting)
    outcome = "doubled" if doubled else "queue" if waiting else "refused" if bounced else "delivered"
    lost = any(not after[reader] for reader in mail.readers if reader not in bounced)
    return Verdict(outcome, lost, tuple(problems))


def counts(taken: Sequence[Delivery]) -> Counter[str]:
    """Return how often each recipient got it."""
    return Counter(reader for one in taken for reader in one.readers)


def _retry_of(place: Place, mail: Mail, config: str, waiting: tuple[str, ...], before: Counter[str]) -> list[str]:
    """Try again for those who wait, and nobody else, without the fault."""
    place.stub()
    place.server.script = Script()
    some = mail._replace(readers=waiting)
    place.attempt(some, config.removesuffix("-hurried"), alone=True)
    taken = place.taken(mail)
    problems = [problem for one in taken for problem in wrong(mail, one, place.store)]
    if place.answer is None or place.answer.status != 0 or counts(taken) != before + Counter(waiting):
        problems.append(f"the retry for {waiting}: {place.answer}, delivered {dict(before)}, then {counts(taken)}")
    return problems


def judge_all(place: Place, mail: Mail, ended: Sequence[Ended]) -> Verdict:
    """Say what came of attempts without a fault at the same time: each has delivered, with the same links."""
    taken = place.taken(mail)
    problems = [problem for one in taken for problem in wrong(mail, one, place.store)]
    problems += [f"exit status {one.status} ({one.said[:100]!r})" for one in ended if one.status != 0]
    if len(taken) != len(ended):
        problems.append(f"{len(ended)} attempts, {len(taken)} deliveries")
    if len({page for one in taken for page in links(one)}) != 1:
        problems.append("different links for one message")
    return Verdict("delivered", not taken, (*problems, *_expires(place, mail)))


def _neighbour(place: Place, other: Answer, *, may_double: bool) -> list[str]:
    """Say what is wrong with what became of a message before or after, on the same connection."""
    taken, name = place.taken(other.mail), f"the message {other.mail.name}"
    problems = [f"{name}: {problem}" for one in taken for problem in wrong(other.mail, one, place.store)]
    if other.status not in (0, 75, -9):
        problems.append(f"{name}: hung or bounced: {other.replies}")
    if other.status == 0 and len(taken) != 1:
        problems.append(f"{name}: answered 250, and delivered {len(taken)} times")
    if other.status != 0 and len(taken) > may_double:
        problems.append(f"{name}: delivered, known to be, and yet kept in the queue")
    return problems


def _said_wrong(ended: Ended) -> list[str]:
    """pipe(8) takes an enhanced status code from what a filter says: it must not contradict the exit status."""
    if ended.status == 75 and ended.said[:2] != b"4."[: len(ended.said)]:  # a limit of sizes may cut it short
        return [f"said {ended.said[:60]!r} with exit status 75"]
    if ended.status == 0 and ended.said[:1] in (b"4", b"5"):
        return [f"said {ended.said[:60]!r} with exit status 0"]
    return []


def _retry(place: Place, mail: Mail, config: str, before: int) -> list[str]:
    place.stub()
    place.server.script = Script()
    again = place.attempt(mail, config.removesuffix("-hurried"), alone=True)
    taken = place.taken(mail)
    problems = [problem for one in taken for problem in wrong(mail, one, place.store)]
    if again.status != 0 or len(taken) != before + 1:
        said = again.said.decode("utf-8", "replace").strip()
        problems.append(f"the retry: exit status {again.status} ({said}), {len(taken) - before} deliveries")
    return problems


def _expires(place: Place, mail: Mail) -> list[str]:
    """Clean-up now harms no link; clean-up later leaves nothing."""
    problems = clean_up(place.store, time.time())
    problems += [f"after clean-up: {problem}" for one in place.taken(mail) for problem in wrong(mail, one, place.store)]
    return problems + _leaves_nothing(place.store)


def _left_without_retry(place: Place) -> list[str]:
    """Say what would stay of a failed attempt if nobody tried again."""
    shadow = place.root / "shadow"
    subprocess.run(["cp", "-a", str(place.store), str(shadow)], check=True)
    try:
        return [f"without a retry: {problem}" for problem in _leaves_nothing(shadow)]
    finally:
        shutil.rmtree(shadow)


def clean_up(root: Path, now: float) -> list[str]:
    """Do what `pfilter expire` does at a time; return what it complains of."""
    try:
        report = expire(LocalStore(str(root), BASE_URL), now, GRACE)
        kept.expire(str(root), now, KEPT)
    except (OSError, StoreError) as error:
        return [f"clean-up failed: {error}"]
    return [f"clean-up: {problem}" for problem in report.problems]


def _leaves_nothing(root: Path) -> list[str]:
    latest = _latest(root)
    problems = clean_up(root, latest + GRACE + FAR)
    left = [path.relative_to(root) for path in root.rglob("*") if not path.is_dir() or path.parent.name == "downloads"]
    strange = [path for path in left if path.parts[0] not in ("locks", "trouble") and str(path) not in STAYS]
    strange += [path for path in left if path.parts[0] == "trouble" and path.with_suffix(".eml") not in left]
    return problems + ([f"clean-up leaves {', '.join(map(str, strange))}"] if strange else [])


def _latest(root: Path) -> float:
    """Return the latest date that a record promises, or today."""
    from pfilter.store.record import read_record

    dates = [time.time()]
    for path in (root / "records").glob("*.json"):
        try:
            dates.append(read_record(str(path)).until)
        except StoreError:
            continue  # clean-up will say so
    return max(dates)
