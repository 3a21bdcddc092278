"""The door for Postfix's lmtp(8): one message after the other over one connection, a reply for each recipient.

Started by spawn(8) for each connection. Owns what a process has one of: the connection, signals, limits, deadlines.
Nothing of a message stays for the next. Whatever goes wrong before the message is back in Postfix's queue is 4xx, and
Postfix keeps it; from then on nothing is: a recipient who was told to come again would get it twice. The reply goes out
at that moment, and only then is anybody notified.

Only between messages it ends by itself: when it is old, has grown, or there is another version of the program. After
what may have left something torn (a signal, a bug, no memory) it answers, and ends as well.
"""

import gc
import os
import select
import stat
from time import monotonic

from pfilter import __file__ as package
from pfilter import pipeline
from pfilter.base.errors import (
    EX_OK,
    EX_TEMPFAIL,
    ConfigError,
    DeadlineError,
    PfilterError,
    RecipientsError,
    RefusedError,
    StoppedError,
    UsageError,
    dsn,
)
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.privileges import become_owner
from pfilter.base.rlimits import allow_processor, confine, processor_limit
from pfilter.base.spool import WINDOW, Spool, as_received, finished, write_all
from pfilter.base.text import printable, sentence, without_tokens
from pfilter.config.cache import Watched
from pfilter.config.settings import DEFAULT_PATH, Settings
from pfilter.decision.plan import Outcome
from pfilter.delivery import loop, reinject, smtp
from pfilter.lmtp.protocol import Begin, Closed, Content, Session, replies
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterator, Sequence
else:
    import _signal  # the module signal brings enum along

READ = 1 << 16  # octets
IDLE_LIMIT = 300  # seconds without a word from the client (RFC 5321, 4.5.3.2.7)
LOOK = 10  # seconds: how often one who waits looks whether to end
LIFETIME = 300  # seconds; with one message behind it, well within the time limit of spawn(8)
MESSAGES = 1000
MEMORY_LIMIT = 96 << 20  # octets resident
AFTERWARDS = 10  # seconds for the log and the notification
HARD_LIMIT = 5  # seconds over the reinjection's own time limits
LINE_LIMIT = 400  # octets of a reply; RFC 5321, 4.5.3.1.5 allows 512
FLAGS = ("authenticated",)  # of argv, beside --config
SOME_USER = "(authenticated)"  # who sent it, where all that is known is that it was a user of ours
SIGNALS = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT)


class Options(Frozen):
    """What master.cf's argv says."""

    config: str = DEFAULT_PATH
    authenticated: bool = False  # whether all clients have logged in, so that all senders are ours


class _GoneError(Exception):
    """The client has hung up, or says nothing any more."""


class _Message:
    """One message's way: how far it came decides what a failure means."""

    def __init__(self, envelope: Envelope, end: float) -> None:
        self.envelope = envelope
        self.end = end
        self.delivered = False
        self.answered = False
        self.answer = b""
        self.log = Log("")

    def on_alarm(self, *_: object) -> None:
        """Raise where the time is over; an alarm from elsewhere means nothing."""
        if monotonic() >= self.end:
            raise DeadlineError("the deadline for one message has passed")


class _Door:
    def __init__(self, heard: int, said: int, options: Options, program: str) -> None:
        self.heard = heard
        self.said = said
        self.options = options
        self.program = program
        self.began = monotonic()
        self.identity = _identity(program)
        self.messages = 0
        self.stopped = False
        self.torn = False  # whether something may be left of a message
        self.settings = Watched(options.config)
        self.most = processor_limit()
        self.session = Session(smtp.own_name("0"))
        self.is_socket = stat.S_ISSOCK(os.fstat(heard).st_mode)

    # The connection

    def listen(self) -> None:
        """Take messages until there is a reason to end. Raises _GoneError, StoppedError."""
        while True:
            event = self.session.next_event()
            if isinstance(event, Begin):
                self.take(event.envelope)
                if self.torn:
                    return
                continue
            self.write()
            if isinstance(event, Closed) or (self.session.is_idle and self.is_done()):
                return
            self.read(ends=True)

    def read(self, *, ends: bool = False) -> None:
        """Take what the client says next; between messages (`ends`) less than that may come."""
        self.write()
        silent = monotonic() + IDLE_LIMIT
        poll = select.poll()
        poll.register(self.heard, select.POLLIN)
        while not poll.poll(LOOK * 1000):
            if monotonic() > silent:
                raise _GoneError("the client says nothing")
            if ends and self.session.is_idle and self.is_done():
                return
        try:
            octets = os.read(self.heard, READ)
        except ConnectionError as error:
            raise _GoneError("the client is gone") from error
        if not octets:
            raise _GoneError("the client has hung up")
        self.session.receive(octets)

    def write(self) -> None:
        """Say what there is to be said."""
        octets = self.session.output()
        if octets:
            try:
                write_all(self.said, octets)
            except OSError as error:
                raise _GoneError("the client is gone") from error

    def is_gone(self) -> bool:
        """Whether the client has hung up: then Postfix has put the message off, and tries again."""
        if not self.is_socket:
            return False
        poll = select.poll()
        poll.register(self.heard, select.POLLRDHUP)
        return bool(poll.poll(0))

    def note(self, *_: object) -> None:
        """Take a signal that comes when a message is sent: all that is left to do is to end after it."""
        self.stopped = True

    def is_done(self) -> bool:
        """Whether this process has done its share, or is not what would be started now."""
        return (
            self.stopped
            or monotonic() > self.began + LIFETIME
            or self.messages >= MESSAGES
            or _identity(self.program) != self.identity
            or (self.messages > 0 and _resident() > MEMORY_LIMIT)
        )

    # One message

    def take(self, envelope: Envelope) -> None:
        """Take one message through, and answer it; what is left of it is let go."""
        if self.options.authenticated:
            envelope = envelope.replace(sasl_user=SOME_USER)
        message = _Message(envelope, monotonic() + IDLE_LIMIT)
        try:
            self._take(message)
        except _GoneError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is: the message must stay in the queue
            self.torn = self.torn or not isinstance(error, (PfilterError, OSError))
            self._fail(message, error)
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            _stop_by(_on_stop)
        self.messages += 1
        del message
        gc.collect()  # a cycle may hold a megabyte of a message
        gc.freeze()  # what is left is code that stays: not to be looked at again

    def _take(self, message: _Message) -> None:
        began = monotonic()
        settings = self.settings.load()
        become_owner(settings.store_path)
        confine_to = settings.deadline + settings.reinject_timeout + HARD_LIMIT + AFTERWARDS
        confine(confine_to)
        allow_processor(confine_to, self.most)
        message.log = Log(
            "" if settings.log_to == "stderr" else settings.log_to, settings.log_level, settings.log_format
        )
        message.end = began + settings.deadline
        _signal.signal(_signal.SIGALRM, message.on_alarm)
        # Again and again: a first alarm can get lost where Python can't raise, in a destructor for example.
        _signal.setitimer(_signal.ITIMER_REAL, settings.deadline, 1)
        self.session.go_ahead()
        spool = self._receive(lambda: _workspace(settings))
        spool = as_received(spool, self.session.wire, lambda: _workspace(settings))
        try:
            if not spool.size:
                raise UsageError("a message without any octets")
            loop.refuse_loop(spool, settings)
            context = pipeline.Context(
                deliver=lambda result, outcome, meanwhile: self._deliver(message, result, outcome, settings, meanwhile),
                size_limit=lambda: _size_limit(message.envelope, settings),
                workspace=lambda: _workspace(settings),
                log=message.log,
                may_notify=True,
            )
            outcome = pipeline.process(spool, message.envelope, settings, context)
            if not message.answered:  # it is in quarantine
                message.delivered = True
                self._answer(message, replies(_accepted(outcome, message.envelope)))
        finally:
            spool.close()

    def _receive(self, workspace: "Callable[[], str]") -> Spool:
        """Read the message to its end, also where there is no room for it. Raises OSError, _GoneError."""
        contents = self._contents()
        try:
            pieces: list[bytes] = []
            size = 0
            for octets in contents:
                pieces.append(octets)
                size += len(octets)
                if size > WINDOW:
                    return finished(_chained(pieces, contents), workspace, size)
            return finished(pieces, workspace)
        except OSError:
            for _ in self._contents():
                pass  # there is no other way to get a word in
            raise

    def _contents(self) -> "Iterator[bytes]":
        while not self.session.is_complete:
            event = self.session.next_event()
            if isinstance(event, Content):
                yield event.octets
            elif event is None:
                self.read()

    def _deliver(
        self,
        message: _Message,
        result: Spool,
        outcome: Outcome,
        settings: Settings,
        meanwhile: "Callable[[], None]",
    ) -> None:
        """Reinject once, and answer. From here on the reinjection's own time limits count, and nothing may interrupt.

        What comes after it has a short limit of its own.
        """
        if monotonic() + settings.reinject_timeout > message.end:
            raise DeadlineError("no time left for reinjection before the deadline; nothing was sent")
        if self.is_gone():
            raise StoppedError("the client that handed the message over is gone; nothing was sent")
        lines = _accepted(outcome, message.envelope)
        message.answer = replies(lines)  # made now: there may be no memory for it when it counts
        _stop_by(_signal.SIG_IGN)
        limit = settings.reinject_timeout + settings.reinject_data_done_timeout + HARD_LIMIT
        message.end = monotonic() + limit
        _signal.setitimer(_signal.ITIMER_REAL, limit, 1)
        refused = reinject.send(result, message.envelope, settings, lambda: _quietly(meanwhile))
        message.delivered = True
        _stop_by(self.note)
        message.end = monotonic() + AFTERWARDS
        _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS, 1)
        if refused:
            # Where there is no memory for it: twice for some, rather than never for who was refused.
            message.answer = b""
            message.answer = replies(_with_refused(lines, refused, message.envelope))
        self._answer(message, message.answer)
        if refused:
            about = {"queue_id": message.envelope.queue_id, "sender": message.envelope.sender}
            reason = without_tokens(refused[0].said)
            message.log.event("warning", "recipient refused", **about, recipients=len(refused), reason=reason)

    def _answer(self, message: _Message, octets: bytes) -> None:
        """Answer a message that is taken. Raises nothing but for want of memory."""
        message.answered = True
        self.session.answer(octets)
        try:
            self.write()
        except _GoneError:
            self.torn = True  # there is nobody left

    def _fail(self, message: _Message, error: BaseException) -> None:
        """Say that a message has to be tried again, or, where that is what is wanted, that it is refused."""
        if message.delivered:
            # It is sent: a failure now would send it again.
            if not message.answered and message.answer:
                self._answer(message, message.answer)
            message.log.event(
                "error", "failed after delivery", queue_id=message.envelope.queue_id, reason=_reason(error)
            )
            return
        _last_words()
        reason = _reason(error)
        refused = isinstance(error, (RefusedError, RecipientsError))
        level, name = ("warning", "refused") if refused else ("error", "failed")
        message.log.event(level, name, queue_id=message.envelope.queue_id, reason=reason)
        status = "4.3.5" if isinstance(error, ConfigError) else dsn(error)
        reply = _reply(f"{'550' if refused else '451'} {status} pfilter: {reason}")
        if self.session.is_waiting:  # for a word on DATA
            self.session.refuse(reply)
        elif self.session.is_complete:
            self.session.answer(replies([reply] * len(message.envelope.recipients)))
        else:  # in the middle of the message, and nobody listens
            self.session.close(_reply(f"421 {status} pfilter: {reason}"))
            self.torn = True
        self.write()


def main(arguments: "Sequence[bytes]", heard: int, said: int, program: str) -> int:
    """Serve one client; return an exit status, of which spawn(8) logs any but 0.

    What is wrong with `arguments` is raised: then nothing has been said yet. `program` is the path that we were
    started by.
    """
    gc.disable()
    door = _Door(heard, said, parse(arguments), program)
    status = EX_OK
    _stop_by(_on_stop)
    try:
        door.listen()
    except (_GoneError, StoppedError) as error:
        status = _farewell(door, error)
    except BaseException as error:  # noqa: BLE001  # a client that hears nothing tries again
        status = EX_TEMPFAIL
        _farewell(door, error)
    return EX_TEMPFAIL if door.torn else status


def _farewell(door: _Door, error: BaseException) -> int:
    if not isinstance(error, _GoneError):
        _last_words()
        try:
            door.session.close(_reply(f"421 4.3.2 pfilter: {_reason(error)}"))
            door.write()
        except (_GoneError, MemoryError):
            pass
    return EX_OK


def parse(arguments: "Sequence[bytes]") -> Options:
    """Read `[--config=F] [--authenticated]`. Raises UsageError."""
    options = Options()
    for argument in arguments:
        name, equals, value = argument.partition(b"=")
        if name == b"--config" and value:
            options = options.replace(config=os.fsdecode(value))
        elif name.startswith(b"--") and name[2:].decode("ascii", "replace") in FLAGS and not equals:
            options = options.replace(**{name[2:].decode("ascii"): True})
        else:
            raise UsageError(f"unknown argument {os.fsdecode(argument)!r}; see pfilter-lmtp(8) for master.cf's argv")
    return options


def _chained(pieces: list[bytes], others: "Iterator[bytes]") -> "Iterator[bytes]":
    yield from pieces
    pieces.clear()
    yield from others


def _workspace(settings: Settings) -> str:
    from pfilter.store import select as stores

    return stores.workspace(settings)


def _size_limit(envelope: Envelope, settings: Settings) -> int:
    from pfilter.delivery import postconf

    return postconf.size_limit(settings, envelope)


def _accepted(outcome: Outcome, envelope: Envelope) -> list[bytes]:
    return [_reply(f"250 2.0.0 {outcome.line()}")] * len(envelope.recipients)


def _with_refused(replies: list[bytes], refused: tuple[Refused, ...], envelope: Envelope) -> list[bytes]:
    """Return the replies with those in their places that Postfix bounces: for a recipient without an address."""
    said = {
        one.address: _reply(f"550 {one.status} pfilter: SMTP server refused the recipient: {one.said}")
        for one in refused
    }
    return [said.get(address, reply) for address, reply in zip(envelope.recipients, replies, strict=True)]


def _reply(text: str) -> bytes:
    return printable(text).encode("utf-8", "replace")[:LINE_LIMIT]


def _reason(error: BaseException) -> str:
    return without_tokens(sentence(error))


def _quietly(meanwhile: "Callable[[], None]") -> None:
    """Do what is only a convenience: Postfix has the message by now, and no failure of ours may take it back."""
    try:
        meanwhile()
    except Exception:  # noqa: BLE001, S110  # MemoryError is one
        pass


def _stop_by(handler: "Callable[..., object] | _signal.Handlers | int") -> None:
    for number in SIGNALS:
        _signal.signal(number, handler)


def _on_stop(number: int, *_: object) -> None:
    raise StoppedError(f"stopped by signal {number}; nothing was sent")


def _last_words() -> None:
    """Let nothing raise any more, and nothing hang: death by a signal is a deferral too."""
    _stop_by(_signal.SIG_IGN)
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)


def _identity(program: str) -> "tuple[object, ...]":
    """Return what changes with another version: where the program's path leads to, and the state of what is there."""
    found: list[object] = [os.path.realpath(program)]
    for path in (program, package):
        try:
            of = os.stat(path)
            found += [of.st_dev, of.st_ino, of.st_size, of.st_mtime_ns]
        except OSError:
            found.append(None)
    return tuple(found)


def _resident() -> int:
    """Return how many octets of memory we have, proc(5); 0 where nobody says."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
