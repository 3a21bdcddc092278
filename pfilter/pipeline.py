"""The way of a message: spool -> scan -> measure -> decide -> store, notice, edits -> reinject -> notify -> outcome.

Keeps no state between calls, never exits the process, sets no signal handler: all that is the door's. What a message
does not need is not imported.
"""

import os
from time import monotonic, time

from pfilter.base.errors import AmbiguousError, PfilterError, sentence, without_tokens
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.config.settings import Policy
from pfilter.decision import decide
from pfilter.message import roles
from pfilter.message.model import Action, Envelope, Measured, Message, Outcome, Plan
from pfilter.message.scan import Limits, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pfilter.base.spool import Workspace
    from pfilter.message.scratch import Materials
    from pfilter.rewriting.execute import Result

# Why a message passes that was to be changed; the line that Postfix logs says so.
NO_ROOM = "no room in the store"
TOO_LARGE = "result over the size limit"
HELD_BACK = "notices"  # in the store: what senders are told later, see `heldback`


class Door(Frozen):
    """What the process around a message provides.

    `deliver` takes the result: it raises and nothing was sent, or it returns and nothing may fail any more. It may
    call its second argument while it waits: to prepare for what comes after.
    `size_limit` says how many octets it takes (0: any). `workspace` is a directory for temporary files.
    """

    deliver: "Callable[[Spool, Callable[[], None]], None]"
    size_limit: "Callable[[], int]"
    workspace: "Workspace"
    log: Log
    may_notify: bool


class Examined(Frozen):
    """What was found out and decided about a message, before anything is done."""

    message: Message | None  # None: nothing in it could change the decision
    measured: Measured
    plan: Plan
    materials: "Materials | None"


def process(spool: Spool, envelope: Envelope, policy: Policy, door: Door) -> Outcome:
    """Take one message through. Raises PfilterError or OSError where it was not delivered: then try again."""
    began = monotonic()
    held, untouched = _guarded(spool, envelope, policy, door)
    if held:
        return _hold(spool, held, envelope, policy, door)
    if untouched:
        found = _unscanned(spool, untouched, envelope, policy)
    else:
        found = examine(spool, envelope, policy, door.workspace)
    try:
        held = _ambiguous(found, policy)
        if held:
            return _hold(spool, held, envelope, policy, door)
        result = _change(spool, found, envelope, policy, door) if found.plan.changes else None
        door.deliver(result.spool if result else spool, lambda: _prepare(found, door.log))
    finally:
        if found.materials:
            found.materials.close()
    passed = Outcome(size_in=spool.size, size_out=spool.size, note=decide.in_a_word(found.plan))
    outcome = result.outcome if result else passed
    if result and result.download and door.may_notify:
        _notify(found, envelope, policy, door, result)
    if door.log.wants(_level(found)):
        _tell(found, outcome, envelope, door.log, result, monotonic() - began)
    if door.may_notify and policy.notify_sender and _overdue(policy):
        _catch_up(policy, door.log)
    return outcome


def _guarded(spool: Spool, envelope: Envelope, policy: Policy, door: Door) -> tuple[str, str]:
    """Return why the message goes to quarantine, and why it passes untouched: by a scanner, before all other rules."""
    if not policy.clamav_socket:
        return "", ""
    from pfilter.antivirus import screen

    ruling = screen.inspect(spool, envelope, limits(policy), policy, door.log)
    return ruling.hold, ruling.untouched


def _unscanned(spool: Spool, reason: str, envelope: Envelope, policy: Policy) -> Examined:
    """Return a message that passes since clamd could not take it, looked into only for being ambiguous."""
    found = _left_alone(reason)
    if policy.ambiguous == "pass" or decide.why_untouched(envelope, policy):
        return found
    return found.replace(message=scan(spool, limits(policy)))


def _ambiguous(found: Examined, policy: Policy) -> str:
    """Return why an ambiguous message goes to quarantine. Raises AmbiguousError where it shall wait."""
    defects = found.message.defects if found.message else ()
    if not defects or policy.ambiguous == "pass" or policy.mode == "observe":
        return ""
    if policy.ambiguous == "defer":
        raise AmbiguousError(f"ambiguous: {defects[0]}")
    return f"ambiguous: {defects[0]}"


def _hold(spool: Spool, reason: str, envelope: Envelope, policy: Policy, door: Door) -> Outcome:
    from pfilter.antivirus import screen

    return screen.hold(spool, envelope, reason, policy, door.log, may_notify=door.may_notify)


def _left_alone(reason: str) -> Examined:
    return Examined(message=None, measured=Measured(), plan=Plan(reason=reason), materials=None)


def limits(policy: Policy) -> Limits:
    """Return the limits of the scanner."""
    return Limits(
        parts=policy.limits_parts,
        nesting=policy.limits_nesting,
        header=policy.limits_header,
        boundary=policy.limits_boundary,
    )


def _level(found: Examined) -> str:
    if not found.plan.changes:
        return "debug"
    return "warning" if decide.breaks_signature(found.plan) else "info"


def _prepare(found: Examined, log: Log) -> None:
    if log.wants(_level(found)):
        log.prepare()


def examine(
    spool: Spool, envelope: Envelope, policy: Policy, workspace: "Workspace", *, full: bool = False
) -> Examined:
    """Scan, measure, decide. `full` looks into messages too whose envelope decides (for people). Raises OSError."""
    reason = decide.why_untouched(envelope, policy)
    if reason and not full:
        return _left_alone(reason)
    message = scan(spool, limits(policy))
    if not roles.files(message):
        plan = decide.decide(message, Measured(), envelope, policy)
        return Examined(message=message, measured=Measured(), plan=plan, materials=None)
    from pfilter.decision.measure import measure
    from pfilter.message.scratch import Materials

    materials = Materials(workspace)
    try:
        measured = measure(spool, message, envelope, policy, materials)
        plan = decide.decide(message, measured, envelope, policy)
    except BaseException:
        materials.close()
        raise
    return Examined(message=message, measured=measured, plan=plan, materials=materials)


def _change(spool: Spool, found: Examined, envelope: Envelope, policy: Policy, door: Door) -> "Result":
    """Carry the plan out; where the result can't be sent, the original goes."""
    from pfilter.rewriting.execute import Result, carry_out

    assert found.message
    assert found.materials
    untouched = Outcome(size_in=spool.size, size_out=spool.size)
    if policy.mode == "observe":
        return Result(spool=spool, outcome=untouched.replace(note=f"observe: would {_intended(found.plan)}"))
    result = carry_out(spool, found.message, found.plan, envelope, policy, found.materials)
    if result.no_room:
        return result.replace(outcome=untouched.replace(note=NO_ROOM))
    limit = door.size_limit() if result.spool.size > spool.size else 0
    if limit and result.spool.size > limit:
        if result.original:
            raise PfilterError(f"result of {result.spool.size} octets is over the size limit of {limit}")
        return Result(spool=spool, outcome=untouched.replace(note=TOO_LARGE))
    return result


def _intended(plan: Plan) -> str:
    counts = ((len(plan.chosen(what)), what) for what in ("link", "zip", "strip"))
    return ", ".join(f"{what} {count}" for count, what in counts if count)


def _notify(found: Examined, envelope: Envelope, policy: Policy, door: Door, result: "Result") -> None:
    """Tell the sender. The message is sent: whatever goes wrong here is an event, and no more."""
    from pfilter.delivery import notification

    assert found.message
    assert result.download
    try:
        if not notification.why_not(found.message, envelope, policy):
            notification.notify(found.message, envelope, result.download, policy, _held_back(policy))
    except (PfilterError, OSError, ValueError) as error:
        door.log.event(
            "warning", "sender not notified", queue_id=envelope.queue_id, reason=without_tokens(sentence(error))
        )


def _held_back(policy: Policy) -> str:
    return os.path.join(policy.store_path, HELD_BACK)


def _overdue(policy: Policy) -> bool:
    """Whether there is a sender to be told what was held back from him. One system call."""
    try:
        return os.stat(_held_back(policy)).st_mtime <= time()
    except OSError:
        return False


def _catch_up(policy: Policy, log: Log) -> None:
    """Tell one sender, whoever he is; best effort as above."""
    from pfilter.delivery import notification

    try:
        notification.catch_up(policy, _held_back(policy))
    except (PfilterError, OSError, ValueError) as error:
        log.event("warning", "sender not notified", reason=without_tokens(sentence(error)))


def _tell(
    found: Examined,
    outcome: Outcome,
    envelope: Envelope,
    log: Log,
    result: "Result | None",
    seconds: float,
) -> None:
    """Write one event for each file that is changed, and one for the message. Never a token that opens a download."""
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender}
    done = bool(outcome.linked or outcome.zipped or outcome.stripped)
    for action in found.plan.actions:
        if action.event:  # none for what stays, and for a form of the body, which is a remark
            log.event("info", action.event, **about, **_describe(action), applied=done)
    level = "error" if result and result.no_room else _level(found)
    if level == "warning" and outcome.note == TOO_LARGE:
        level = "info"  # it went as it came: its signature holds
    log.event(
        level,
        "message",
        **about,
        message_id=found.message.message_id if found.message else "",
        recipients=len(envelope.recipients),
        size_in=outcome.size_in,
        size_out=outcome.size_out,
        done=outcome.line(),
        reason=found.plan.reason,
        remarks="; ".join(found.plan.remarks),
        download=result.download.id[:8] if result and result.download else "",
        original=result.original if result else "",
        seconds=round(seconds, 3),
    )


def _describe(action: Action) -> dict[str, object]:
    sizes = {"size": action.size, **({"zip_size": action.zip_size} if action.what == "zip" else {})}
    return {"file": action.name, **sizes, "action": action.what, "reason": action.reason}
