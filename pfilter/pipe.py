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
    DeadlineError,
    PfilterError,
    StoppedError,
    UsageError,
    dsn,
    exit_status,
)
from pfilter.base.log import Log
from pfilter.base.privileges import become_owner
from pfilter.base.rlimits import confine
from pfilter.base.spool import Spool, receive
from pfilter.config.cache import load
from pfilter.config.settings import DEFAULT_PATH, Settings
from pfilter.delivery.whole import Told, refuse_orphan, whole
from pfilter.message.model import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Sequence
else:
    import _signal  # the module signal brings enum along

OPTIONS = ("config", "queue-id", "client", "helo", "sasl", "end", "size")
BLANK_LINE = "blank-line"  # the one value of --end: pipe(8)'s flag B
AFTERWARDS = 10  # seconds for the log and the notification; each is a second in which a crash doubles the message
HARD_LIMIT = 5  # seconds over the reinjection's own time limits
# pipe(8) expands an empty ${sender} to this where master.cf lacks null_sender=
NULL_SENDERS = (b"", b"<>", b"MAILER-DAEMON")
FALLBACK_WORKSPACE = "/var/tmp"  # noqa: S108  # for files without a name


class _Run:
    """One message's run: how far it came decides what a failure means."""

    def __init__(self, parent: int, delivered: list[bool]) -> None:
        self.delivered = delivered
        self.refused = 0  # recipients, for their addresses
        self.log = Log("")
        self.queue_id = ""
        self.end = 0.0
        self.parent = parent

    def on_alarm(self, *_: object) -> None:
        """Raise where the time is over; an alarm from elsewhere means nothing."""
        if monotonic() >= self.end:
            raise DeadlineError("the deadline for one message has passed")


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
            _last_words()
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


def _last_words() -> None:
    """Let nothing raise any more, and nothing hang: death by a signal is a deferral too."""
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)


def _process(run: _Run, arguments: "Sequence[bytes]") -> str:
    began = monotonic()
    config, envelope, told = parse(arguments)
    run.queue_id = envelope.queue_id
    settings = load(config or DEFAULT_PATH)
    become_owner(settings.store_path)
    # To wait for Postfix's last answer takes no processor time: that limit is not among these.
    confine(settings.deadline + settings.reinject_timeout + HARD_LIMIT + AFTERWARDS)
    run.log = Log("" if settings.log_to == "stderr" else settings.log_to, settings.log_level, settings.log_format)
    run.end = began + settings.deadline
    _signal.signal(_signal.SIGALRM, run.on_alarm)
    _signal.signal(_signal.SIGTERM, _on_term)
    # Again and again: a first alarm can get lost where Python can't raise, in a destructor for example.
    _signal.setitimer(_signal.ITIMER_REAL, settings.deadline, 1)

    from pfilter import pipeline
    from pfilter.delivery import loop

    def workspace() -> str:
        return _workspace(settings)

    spool = receive(0, workspace)
    if not spool.size:
        raise UsageError("no message on stdin")
    refuse_orphan(run.parent)
    spool = whole(spool, told, run.parent)
    loop.refuse_loop(spool, settings)
    context = pipeline.Context(
        deliver=lambda result, meanwhile: _deliver(run, result, envelope, settings, meanwhile),
        size_limit=lambda: _size_limit(envelope, settings),
        workspace=workspace,
        log=run.log,
        may_notify=True,
    )
    line = pipeline.process(spool, envelope, settings, context).line()
    return f"{line}; {run.refused} of {len(envelope.recipients)} recipients refused" if run.refused else line


def _workspace(settings: Settings) -> str:
    """Return where temporary files go: beside the blobs, or where mail that needs no store finds room."""
    from pfilter.store.local import LocalStore

    store = LocalStore(settings.store_path, settings.store_base_url)
    try:
        if store.has_room(0, settings.store_min_free):
            return store.workspace()
    except (PfilterError, OSError):
        pass  # what has to be stored will say so itself
    return FALLBACK_WORKSPACE


def _size_limit(envelope: Envelope, settings: Settings) -> int:
    from pfilter.delivery import postconf

    return postconf.size_limit(settings, envelope)


def _deliver(run: _Run, result: Spool, envelope: Envelope, settings: Settings, meanwhile: "Callable[[], None]") -> None:
    """Reinject once. From here on the reinjection's own time limits count, and nothing else may interrupt.

    It starts where all up to the final dot fits in before the deadline; the answer to that is waited for beyond.

    What comes after it has a short limit of its own, whose end is a success.
    """
    from pfilter.delivery import reinject

    if monotonic() + settings.reinject_timeout > run.end:
        raise DeadlineError("no time left for reinjection before the deadline; nothing was sent")
    refuse_orphan(run.parent)
    for ignored in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
        _signal.signal(ignored, _signal.SIG_IGN)
    limit = settings.reinject_timeout + settings.reinject_data_done_timeout + HARD_LIMIT
    run.end = monotonic() + limit
    _signal.setitimer(_signal.ITIMER_REAL, limit, 1)
    refused = reinject.send(result, envelope, settings, lambda: _quietly(meanwhile))
    run.delivered[0] = True
    _signal.signal(_signal.SIGALRM, lambda *_: os._exit(EX_OK))
    _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)
    if refused:
        from pfilter.delivery import bounce

        run.refused = len(refused)
        _signal.setitimer(_signal.ITIMER_REAL, settings.reinject_timeout + HARD_LIMIT)
        bounce.tell(refused, result, envelope, settings, run.log)
        _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)


def _quietly(meanwhile: "Callable[[], None]") -> None:
    """Do what is only a convenience: Postfix has the message by now, and no failure of ours may take it back."""
    try:
        meanwhile()
    except Exception:  # noqa: BLE001, S110  # MemoryError is one
        pass


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
