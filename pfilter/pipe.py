"""The door for Postfix: one message on stdin, one exit status, one line.

Owns what a process has one of: signals, limits, the deadline, the exit status. 0 means that the message was handed over
or is in quarantine, 75 that Postfix shall keep it and try again, 69 that policy refuses it, or smtpd(8) all of its
recipients' addresses; there is nothing else.
"""

import os
from time import monotonic

from pfilter.base.errors import (
    EX_OK,
    EX_TEMPFAIL,
    StoppedError,
    UsageError,
    dsn,
    exit_status,
)
from pfilter.base.spool import receive
from pfilter.config.cache import load
from pfilter.config.settings import DEFAULT_PATH, Settings
from pfilter.delivery.whole import Told, refuse_orphan, whole
from pfilter.message.model import Envelope
from pfilter.run import AFTERWARDS, HARD_LIMIT, Run, last_words, quietly, size_limit, workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence

    from pfilter.pipeline import Share
else:
    import _signal  # the module signal brings enum along

OPTIONS = ("config", "queue-id", "client", "helo", "sasl", "end", "size")
BLANK_LINE = "blank-line"  # the one value of --end: pipe(8)'s flag B
# pipe(8) expands an empty ${sender} to this where master.cf lacks null_sender=
NULL_SENDERS = (b"", b"<>", b"MAILER-DAEMON")


class _Run(Run):
    """One message's run: how far it came decides what a failure means."""

    def __init__(self, parent: int, delivered: list[bool]) -> None:
        super().__init__()
        self.delivered = delivered
        self.refused = 0  # recipients, for their addresses
        self.queue_id = ""
        self.parent = parent


def main(arguments: "Sequence[bytes]", parent: int = -1, delivered: "list[bool] | None" = None) -> tuple[int, str]:
    """Take the message on stdin through; return exit status and the line for Postfix.

    `parent` is our parent's process id, taken as early as could be. The one item of `delivered` becomes True once
    the message is taken: from then on the exit status is 0, even where this raises MemoryError.
    """
    run = _Run(os.getppid() if parent < 0 else parent, [False] if delivered is None else delivered)
    line = "passed"
    try:
        line = _process(run, arguments)
    except BaseException as error:  # noqa: BLE001  # whatever it is: the message must stay in the queue
        if not run.delivered[0]:
            last_words()
            reason = _reason(error)
            status = exit_status(error, in_pipe=True)
            if status == EX_TEMPFAIL:
                run.log.event("error", "failed", queue_id=run.queue_id, reason=reason)
            else:
                run.log.event("warning", "refused", queue_id=run.queue_id, reason=reason)
            return status, f"{dsn(error)} pfilter: {reason}"
        # It is sent: a failure now would send it again.
        try:
            reason = _reason(error)
            run.log.event("error", "failed after delivery", queue_id=run.queue_id, reason=reason)
        except BaseException:  # noqa: BLE001, S110  # not even that may fail
            pass
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    return EX_OK, line


def _reason(error: BaseException) -> str:
    from pfilter.base.text import sentence, without_tokens

    return without_tokens(sentence(error))


def _process(run: _Run, arguments: "Sequence[bytes]") -> str:
    began = monotonic()
    config, envelope, told = parse(arguments)
    run.queue_id = envelope.queue_id
    settings = load(config or DEFAULT_PATH)
    run.begin(settings, began)
    _signal.signal(_signal.SIGTERM, _on_term)

    from pfilter import pipeline
    from pfilter.delivery import loop

    def room() -> str:
        return workspace(settings)

    spool = receive(0, room)
    if not spool.size:
        raise UsageError("no message on stdin")
    refuse_orphan(run.parent)
    spool = whole(spool, told, run.parent)
    loop.refuse_loop(spool, settings)
    context = pipeline.Context(
        deliver=lambda shares, meanwhile: _deliver(run, shares, settings, meanwhile),
        size_limit=lambda: size_limit(envelope, settings),
        workspace=room,
        log=run.log,
        may_notify=True,
    )
    line = pipeline.process(spool, envelope, settings, context).line()
    return f"{line}; {run.refused} of {len(envelope.recipients)} recipients refused" if run.refused else line


def _deliver(
    run: _Run, shares: "Sequence[Share]", settings: Settings, meanwhile: "Callable[[], None]"
) -> "Sequence[Share]":
    """Reinject once: there is one exit status for all. From then on a short limit counts, whose end is a success."""
    from pfilter.delivery import reinject

    (share,) = shares
    run.refuse_late(settings)
    refuse_orphan(run.parent)
    run.hand_over(settings)
    refused = reinject.send(share.spool, share.envelope, settings, lambda: quietly(meanwhile))
    run.delivered[0] = True
    _signal.signal(_signal.SIGALRM, lambda *_: os._exit(EX_OK))
    _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)
    if refused:
        from pfilter.delivery import bounce

        run.refused = len(refused)
        _signal.setitimer(_signal.ITIMER_REAL, settings.reinject_timeout + HARD_LIMIT)
        bounce.tell(refused, share.spool, share.envelope, settings, run.log)
        _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)
    return shares


def _on_term(*_: object) -> None:
    raise StoppedError("stopped by SIGTERM; nothing was sent")


def parse(arguments: "Sequence[bytes]") -> tuple[str, Envelope, Told]:
    """Read `[--config=F] [--queue-id=Q] ... -f SENDER -- RECIPIENT...`. Raises UsageError."""
    options: dict[str, str] = {}
    sender: bytes | None = None
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == b"--":
            break
        name, equals, value = argument.partition(b"=")
        if argument == b"-f" and waiting:
            sender = waiting.pop(0)
        elif equals and name.startswith(b"--") and name[2:].decode("ascii", "replace") in OPTIONS:
            options[name[2:].decode("ascii")] = os.fsdecode(value)
        else:
            raise UsageError(f"unknown argument {os.fsdecode(argument)!r}; see pfilter-pipe(8) for master.cf's argv")
    if sender is None:
        raise UsageError("-f SENDER is missing in master.cf's argv")
    if not waiting:
        raise UsageError("no recipients after -- in master.cf's argv")
    envelope = Envelope(
        sender=b"" if sender in NULL_SENDERS else sender,
        recipients=tuple(waiting),
        queue_id=options.get("queue-id", ""),
        client=options.get("client", ""),
        helo=options.get("helo", ""),
        sasl_user=options.get("sasl", ""),
    )
    return options.get("config", ""), envelope, _told(options.get("end"), options.get("size"))


def _told(end: str | None, size: str | None) -> Told:
    if end not in (None, BLANK_LINE):
        raise UsageError(f"--end={end} in master.cf's argv: it can only be {BLANK_LINE}")
    if size is not None and not (size.isascii() and size.isdigit()):
        raise UsageError(f"--size={size} in master.cf's argv: it must be ${{size}}")
    return Told(marked=end is not None, size=int(size or "0"))
