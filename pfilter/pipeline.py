"""The way of a message: screen, scan, measure, decide, carry out, deliver, tell.

Keeps no state between calls, never exits the process, sets no signal handler: all that is the door's. What a message
does not need is not imported.
"""

import os
from time import monotonic, time

from pfilter.base.errors import AmbiguousError, PfilterError
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.config.settings import HELD_BACK, Settings
from pfilter.decision import decide, exempt
from pfilter.decision.plan import Measured, Outcome, Plan
from pfilter.message import roles
from pfilter.message.model import Envelope, Message
from pfilter.message.scan import scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfilter.base.spool import Workspace
    from pfilter.delivery.smtp import Way
    from pfilter.message.scratch import Scratch
    from pfilter.rewriting.execute import Result
    from pfilter.store.record import Download

NO_ROOM = "no room in the store"  # why a message passes that was to be changed; see `events.TOO_LARGE`


class Share(Frozen):
    """What goes to some of the recipients, in one transaction; to all, where they need not be told apart."""

    places: tuple[int, ...]  # whose it is: indices of the envelope's recipients
    envelope: Envelope  # theirs alone
    spool: Spool
    plan: Plan
    outcome: Outcome
    download: "Download | None" = None
    original: str = ""  # name of the copy in the trouble folder
    no_room: bool = False
    failure: Exception | None = None  # why there is nothing for them


class Context(Frozen):
    """What the process around a message provides.

    `deliver` takes all shares, tries each that has no failure, and returns those that were taken: of them nothing may
    fail any more. Where none was it raises. It may call its last argument while it waits: to prepare for what comes
    after. There is one share, but where `apart` says that recipients can be told different things.
    `size_limit` says how many octets it takes (0: any). `workspace` is a directory for temporary files.
    Mail of our own goes by `way`, where there is one.
    """

    deliver: "Callable[[Sequence[Share], Callable[[], None]], Sequence[Share]]"
    size_limit: "Callable[[], int]"
    workspace: "Workspace"
    log: Log
    may_notify: bool
    apart: bool = False
    way: "Way | None" = None


class Examined(Frozen):
    """What was found out and decided about a message, before anything is done."""

    message: Message
    measured: Measured
    plan: Plan


def process(spool: Spool, envelope: Envelope, settings: Settings, context: Context) -> Outcome:
    """Take one message through. Raises PfilterError or OSError where it was not delivered: then try again."""
    began = monotonic()
    reason = exempt.why_untouched(envelope, settings)
    if reason and not settings.clamav_socket:
        return _pass_on(spool, Plan(reason=reason), "", envelope, settings, context, began)
    message = scan(spool, settings.limits)
    hold, unscanned = _screen(spool, message, envelope, settings, context.log)
    hold = hold or ("" if reason else _why_held(message, settings))
    if hold:
        return _quarantine(spool, hold, envelope, settings, context)
    reason = unscanned or reason
    if reason or not roles.files(message):
        plan = Plan(reason=reason) if reason else decide.decide(message, Measured(), envelope, settings)
        return _pass_on(spool, plan, message.message_id, envelope, settings, context, began)
    from pfilter.message.scratch import Scratch

    with Scratch(context.workspace) as scratch:
        shares = _shares(spool, message, envelope, settings, context, scratch)
        delivered = context.deliver(shares, lambda: _prepare(shares, context.log))
    for share in delivered:
        if share.download:
            _notify(message, share.envelope, share.download, settings, context)
        _tell(share, message.message_id, context, began)
    _catch_up(settings, context)
    return delivered[0].outcome


def examine(spool: Spool, envelope: Envelope, settings: Settings, workspace: "Workspace") -> Examined:
    """Scan, measure, decide: for people, and with all that is found out. Raises OSError."""
    from pfilter.message.scratch import Scratch

    with Scratch(workspace) as scratch:
        return _examine(spool, scan(spool, settings.limits), envelope, settings, scratch)


def _examine(spool: Spool, message: Message, envelope: Envelope, settings: Settings, scratch: "Scratch") -> Examined:
    from pfilter.decision.measure import measure

    measured = measure(spool, message, envelope, settings, scratch)
    return Examined(message=message, measured=measured, plan=decide.decide(message, measured, envelope, settings))


def _pass_on(
    spool: Spool, plan: Plan, message_id: str, envelope: Envelope, settings: Settings, context: Context, began: float
) -> Outcome:
    """Deliver a message as it came, the file itself."""
    shares = (_untouched(spool, plan, envelope, _all(envelope)),)
    context.deliver(shares, lambda: _prepare(shares, context.log))
    _tell(shares[0], message_id, context, began)
    _catch_up(settings, context)
    return shares[0].outcome


def _all(envelope: Envelope) -> tuple[int, ...]:
    return tuple(range(len(envelope.recipients)))


def _untouched(spool: Spool, plan: Plan, envelope: Envelope, places: tuple[int, ...]) -> Share:
    outcome = Outcome(size_in=spool.lf_size, size_out=spool.lf_size, note=decide.in_a_word(plan))
    return Share(places=places, envelope=envelope, spool=spool, plan=plan, outcome=outcome)


def _shares(
    spool: Spool, message: Message, envelope: Envelope, settings: Settings, context: Context, scratch: "Scratch"
) -> tuple[Share, ...]:
    """Return what the filter makes of a message, for all; beside it the original, for those who are exempt.

    What goes wrong with the one is nothing to the others.
    """
    exempted = exempt.recipients(envelope, settings) if context.apart else ()
    if not exempted:
        return (_filtered(spool, message, envelope, _all(envelope), settings, context, scratch),)
    others = tuple(sorted(set(_all(envelope)).difference(exempted)))
    original = _untouched(spool, Plan(reason=exempt.RECIPIENTS), envelope.only(exempted), exempted)
    theirs = envelope.only(others)
    try:
        share = _filtered(spool, message, theirs, others, settings, context, scratch)
    except Exception as error:  # noqa: BLE001  # the door says so to those whom it is about
        failure = error.with_traceback(None)  # which holds on to all that was at hand
        return original.replace(places=others, envelope=theirs, failure=failure), original
    if share.spool is spool:
        return (share.replace(places=_all(envelope), envelope=envelope),)
    return share, original


def _filtered(
    spool: Spool,
    message: Message,
    envelope: Envelope,
    places: tuple[int, ...],
    settings: Settings,
    context: Context,
    scratch: "Scratch",
) -> Share:
    plan = _examine(spool, message, envelope, settings, scratch).plan
    if not plan.changes:
        return _untouched(spool, plan, envelope, places)
    made = _change(spool, message, plan, envelope, settings, context, scratch)
    return Share(
        places=places,
        envelope=envelope,
        spool=made.spool,
        plan=plan,
        outcome=made.outcome,
        download=made.download,
        original=made.original,
        no_room=made.no_room,
    )


def _screen(spool: Spool, message: Message, envelope: Envelope, settings: Settings, log: Log) -> tuple[str, str]:
    """Return why the message goes to quarantine, and why it passes untouched: by a scanner, before all other rules."""
    if not settings.clamav_socket:
        return "", ""
    from pfilter.antivirus import screen

    screening = screen.inspect(spool, message, envelope, settings, log)
    return screening.hold, screening.untouched


def _why_held(message: Message, settings: Settings) -> str:
    """Return why an ambiguous message goes to quarantine, or "". Raises AmbiguousError where it shall wait."""
    if not message.defects or settings.ambiguous == "pass" or settings.mode == "observe":
        return ""
    reason = f"ambiguous: {message.defects[0]}"
    if settings.ambiguous == "defer":
        raise AmbiguousError(reason)
    return reason


def _quarantine(spool: Spool, reason: str, envelope: Envelope, settings: Settings, context: Context) -> Outcome:
    from pfilter.delivery import quarantine

    return quarantine.hold(spool, envelope, reason, settings, context.log, context.way, may_notify=context.may_notify)


def _change(
    spool: Spool,
    message: Message,
    plan: Plan,
    envelope: Envelope,
    settings: Settings,
    context: Context,
    scratch: "Scratch",
) -> "Result":
    """Carry the plan out; where the result can't be sent, the original goes."""
    from pfilter import events
    from pfilter.rewriting.execute import Result, carry_out

    untouched = Outcome(size_in=spool.lf_size, size_out=spool.lf_size)
    if settings.mode == "observe":
        return Result(spool=spool, outcome=untouched.replace(note=f"observe: would {events.intended(plan)}"))
    result = carry_out(spool, message, plan, envelope, settings, scratch)
    if result.no_room:
        return result.replace(outcome=untouched.replace(note=NO_ROOM))
    limit = context.size_limit() if result.spool.lf_size > spool.lf_size else 0
    if limit and result.spool.lf_size > limit:
        if result.original:
            raise PfilterError(f"result of {result.spool.lf_size} octets is over the size limit of {limit}")
        return Result(spool=spool, outcome=untouched.replace(note=events.TOO_LARGE))
    return result


def _notify(message: Message, envelope: Envelope, download: "Download", settings: Settings, context: Context) -> None:
    """Tell the sender. The message is sent: whatever goes wrong here is an event, and no more."""
    if not context.may_notify:
        return
    from pfilter.delivery import notification

    try:
        if not notification.why_not(message, envelope, settings):
            notification.notify(message, envelope, download, settings, _held_back(settings), context.way)
    except (PfilterError, OSError, ValueError) as error:
        from pfilter.base.text import sentence, without_tokens

        context.log.event(
            "warning", "sender not notified", queue_id=envelope.queue_id, reason=without_tokens(sentence(error))
        )


def _held_back(settings: Settings) -> str:
    return os.path.join(settings.store_path, HELD_BACK)


def _is_told(plan: Plan, log: Log) -> bool:
    """Whether there may be an event: a message that passes is one for those who look for faults."""
    return plan.changes or log.wants("debug")


def _prepare(shares: "Sequence[Share]", log: Log) -> None:
    for share in shares:
        if _is_told(share.plan, log):
            from pfilter import events

            events.prepare(share.plan, log)


def _tell(share: Share, message_id: str, context: Context, began: float) -> None:
    if _is_told(share.plan, context.log):
        from pfilter import events

        events.tell(
            share.plan,
            share.outcome,
            share.envelope,
            context.log,
            monotonic() - began,
            message_id=message_id,
            download=share.download.id if share.download else "",
            original=share.original,
            failed=share.no_room,
        )


def _overdue(settings: Settings) -> bool:
    """Whether there is a sender to be told what was held back from him. One system call."""
    try:
        return os.stat(_held_back(settings)).st_mtime <= time()
    except OSError:
        return False


def _catch_up(settings: Settings, context: Context) -> None:
    """Tell one sender, whoever he is, what was held back from him; best effort as above."""
    if not (context.may_notify and settings.notify_sender and _overdue(settings)):
        return
    from pfilter.delivery import notification

    try:
        notification.catch_up(settings, _held_back(settings), context.way)
    except (PfilterError, OSError, ValueError) as error:
        from pfilter.base.text import sentence, without_tokens

        context.log.event("warning", "sender not notified", reason=without_tokens(sentence(error)))
