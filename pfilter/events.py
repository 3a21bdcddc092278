"""What the log is told about a message: an event for each file that changes, and one for the message."""

from pfilter.base.log import Log
from pfilter.decision import decide
from pfilter.decision.plan import Action, Outcome, Plan
from pfilter.message.model import Envelope
from pfilter.store.layout import short

TOO_LARGE = "result over the size limit"  # why a message passes that was to be changed


def level(plan: Plan) -> str:
    """Return the level of a message's event."""
    if not plan.changes:
        return "debug"
    return "warning" if decide.breaks_signature(plan) else "info"


def prepare(plan: Plan, log: Log) -> None:
    """Do while others work what has to be done before the first event."""
    if log.wants(level(plan)):
        log.prepare()


def tell(
    plan: Plan,
    outcome: Outcome,
    envelope: Envelope,
    log: Log,
    seconds: float,
    *,
    message_id: str = "",
    download: str = "",
    original: str = "",
    failed: bool = False,
) -> None:
    """Write the events of a message. `download` is its id: never is more of it shown than opens nothing.

    `failed` is whether the store had no room for what was planned.
    """
    if not log.wants(level(plan)):
        return
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender}
    done = bool(outcome.linked or outcome.zipped or outcome.stripped)
    for action in plan.actions:
        if action.event:  # none for what stays, and for a form of the body, which is a remark
            log.event("info", action.event, **about, **_describe(action), applied=done)
    breaks = level(plan) == "warning" and outcome.note != TOO_LARGE  # as it came its signature holds
    log.event(
        "error" if failed else "warning" if breaks else "info" if plan.changes else "debug",
        "message",
        **about,
        sasl_user=envelope.sasl_user,
        message_id=message_id,
        recipients=len(envelope.recipients),
        size_in=outcome.size_in,
        size_out=outcome.size_out,
        done=outcome.line(),
        reason=plan.reason,
        remarks="; ".join(plan.remarks),
        download=short(download),
        original=original,
        seconds=round(seconds, 3),
    )


def intended(plan: Plan) -> str:
    """Return in words what would be done, in observe mode."""
    counts = ((len(plan.chosen(what)), what) for what in ("link", "zip", "strip"))
    return ", ".join(f"{what} {count}" for count, what in counts if count)


def _describe(action: Action) -> dict[str, object]:
    sizes = {"size": action.size, **({"zip_size": action.zip_size} if action.what == "zip" else {})}
    return {"file": action.name, **sizes, "action": action.what, "reason": action.reason}
