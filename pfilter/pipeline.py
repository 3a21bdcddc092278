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
from pfilter.config.settings import Settings
from pfilter.decision import decide
from pfilter.message import roles
from pfilter.message.model import Action, Envelope, Measured, Message, Outcome, Plan
from pfilter.message.scan import Limits, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pfilter.base.spool import Workspace
    from pfilter.message.scratch import Scratch
    from pfilter.rewriting.execute import Result

# Why a message passes that was to be changed; the line that Postfix logs says so.
NO_ROOM = "no room in the store"
TOO_LARGE = "result over the size limit"


class Context(Frozen):
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
    scratch: "Scratch | None"


def process(spool: Spool, envelope: Envelope, settings: Settings, context: Context) -> Outcome:
    """Take one message through. Raises PfilterError or OSError where it was not delivered: then try again."""
    began = monotonic()
    held, untouched = _guarded(spool, envelope, settings, context)
    if held:
        return _hold(spool, held, envelope, settings, context)
    if untouched:
        found = _unscanned(spool, untouched, envelope, settings)
    else:
        found = examine(spool, envelope, settings, context.workspace)
    try:
        held = _ambiguous(found, settings)
        if held:
            return _hold(spool, held, envelope, settings, context)
        result = _change(spool, found, envelope, settings, context) if found.plan.changes else None
        context.deliver(result.spool if result else spool, lambda: _prepare(found, context.log))
    finally:
        if found.scratch:
            found.scratch.close()
    passed = Outcome(size_in=spool.size, size_out=spool.size, note=decide.in_a_word(found.plan))
    outcome = result.outcome if result else passed
    if result and result.download and context.may_notify:
        _notify(found, envelope, settings, context, result)
    if context.log.wants(_level(found)):
        _tell(found, outcome, envelope, context.log, result, monotonic() - began)
    if context.may_notify and settings.notify_sender and _overdue(settings):
        _catch_up(settings, context.log)
    return outcome


def _guarded(spool: Spool, envelope: Envelope, settings: Settings, context: Context) -> tuple[str, str]:
    """Return why the message goes to quarantine, and why it passes untouched: by a scanner, before all other rules."""
    if not settings.clamav_socket:
        return "", ""
    from pfilter.antivirus import screen

    screening = screen.inspect(spool, envelope, limits(settings), settings, context.log)
    return screening.hold, screening.untouched


def _unscanned(spool: Spool, reason: str, envelope: Envelope, settings: Settings) -> Examined:
    """Return a message that passes since clamd could not take it, looked into only for being ambiguous."""
    found = _left_alone(reason)
    if settings.ambiguous == "pass" or decide.why_untouched(envelope, settings):
        return found
    return found.replace(message=scan(spool, limits(settings)))


def _ambiguous(found: Examined, settings: Settings) -> str:
    """Return why an ambiguous message goes to quarantine. Raises AmbiguousError where it shall wait."""
    defects = found.message.defects if found.message else ()
    if not defects or settings.ambiguous == "pass" or settings.mode == "observe":
        return ""
    if settings.ambiguous == "defer":
        raise AmbiguousError(f"ambiguous: {defects[0]}")
    return f"ambiguous: {defects[0]}"


def _hold(spool: Spool, reason: str, envelope: Envelope, settings: Settings, context: Context) -> Outcome:
    from pfilter.antivirus import screen

    return screen.hold(spool, envelope, reason, settings, context.log, may_notify=context.may_notify)


def _left_alone(reason: str) -> Examined:
    return Examined(message=None, measured=Measured(), plan=Plan(reason=reason), scratch=None)


def limits(settings: Settings) -> Limits:
    """Return the limits of the scanner."""
    return Limits(
        parts=settings.limits_parts,
        nesting=settings.limits_nesting,
        header=settings.limits_header,
        boundary=settings.limits_boundary,
    )


def _level(found: Examined) -> str:
    if not found.plan.changes:
        return "debug"
    return "warning" if decide.breaks_signature(found.plan) else "info"


def _prepare(found: Examined, log: Log) -> None:
    if log.wants(_level(found)):
        log.prepare()


def examine(
    spool: Spool, envelope: Envelope, settings: Settings, workspace: "Workspace", *, full: bool = False
) -> Examined:
    """Scan, measure, decide. `full` looks into messages too whose envelope decides (for people). Raises OSError."""
    reason = decide.why_untouched(envelope, settings)
    if reason and not full:
        return _left_alone(reason)
    message = scan(spool, limits(settings))
    if not roles.files(message):
        plan = decide.decide(message, Measured(), envelope, settings)
        return Examined(message=message, measured=Measured(), plan=plan, scratch=None)
    from pfilter.decision.measure import measure
    from pfilter.message.scratch import Scratch

    scratch = Scratch(workspace)
    try:
        measured = measure(spool, message, envelope, settings, scratch)
        plan = decide.decide(message, measured, envelope, settings)
    except BaseException:
        scratch.close()
        raise
    return Examined(message=message, measured=measured, plan=plan, scratch=scratch)


def _change(spool: Spool, found: Examined, envelope: Envelope, settings: Settings, context: Context) -> "Result":
    """Carry the plan out; where the result can't be sent, the original goes."""
    from pfilter.rewriting.execute import Result, carry_out

    assert found.message
    assert found.scratch
    untouched = Outcome(size_in=spool.size, size_out=spool.size)
    if settings.mode == "observe":
        return Result(spool=spool, outcome=untouched.replace(note=f"observe: would {_intended(found.plan)}"))
    result = carry_out(spool, found.message, found.plan, envelope, settings, found.scratch)
    if result.no_room:
        return result.replace(outcome=untouched.replace(note=NO_ROOM))
    limit = context.size_limit() if result.spool.size > spool.size else 0
    if limit and result.spool.size > limit:
        if result.original:
            raise PfilterError(f"result of {result.spool.size} octets is over the size limit of {limit}")
        return Result(spool=spool, outcome=untouched.replace(note=TOO_LARGE))
    return result


def _intended(plan: Plan) -> str:
    counts = ((len(plan.chosen(what)), what) for what in ("link", "zip", "strip"))
    return ", ".join(f"{what} {count}" for count, what in counts if count)


def _notify(found: Examined, envelope: Envelope, settings: Settings, context: Context, result: "Result") -> None:
    """Tell the sender. The message is sent: whatever goes wrong here is an event, and no more."""
    from pfilter.delivery import notification

    assert found.message
    assert result.download
    try:
        if not notification.why_not(found.message, envelope, settings):
            notification.notify(found.message, envelope, result.download, settings, _held_back(settings))
    except (PfilterError, OSError, ValueError) as error:
        context.log.event(
            "warning", "sender not notified", queue_id=envelope.queue_id, reason=without_tokens(sentence(error))
        )


def _held_back(settings: Settings) -> str:
    from pfilter.store.layout import HELD_BACK

    return os.path.join(settings.store_path, HELD_BACK)


def _overdue(settings: Settings) -> bool:
    """Whether there is a sender to be told what was held back from him. One system call."""
    try:
        return os.stat(_held_back(settings)).st_mtime <= time()
    except OSError:
        return False


def _catch_up(settings: Settings, log: Log) -> None:
    """Tell one sender, whoever he is; best effort as above."""
    from pfilter.delivery import notification

    try:
        notification.catch_up(settings, _held_back(settings))
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
    from pfilter.store.layout import short

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
        download=short(result.download.id) if result and result.download else "",
        original=result.original if result else "",
        seconds=round(seconds, 3),
    )


def _describe(action: Action) -> dict[str, object]:
    sizes = {"size": action.size, **({"zip_size": action.zip_size} if action.what == "zip" else {})}
    return {"file": action.name, **sizes, "action": action.what, "reason": action.reason}
