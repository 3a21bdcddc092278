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

from pfilter import pipeline, run
from pfilter.base.errors import (
    EX_OK,
    EX_TEMPFAIL,
    Interruption,
    PfilterError,
    StoppedError,
    UsageError,
    dsn,
)
from pfilter.base.frozen import Frozen
from pfilter.base.spool import WINDOW, Spool, as_received, finished, write_all
from pfilter.base.text import without_tokens
from pfilter.config.cache import Watched
from pfilter.config.settings import DEFAULT_PATH, Settings
from pfilter.delivery import loop, reinject, smtp
from pfilter.lmtp import answers
from pfilter.lmtp.answers import Answers
from pfilter.lmtp.process import Process
from pfilter.lmtp.protocol import Begin, Closed, Content, Session
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterator, Sequence

    from pfilter.pipeline import Share
else:
    import _signal  # the module signal brings enum along

READ = 1 << 16  # octets
IDLE_LIMIT = 300  # seconds without a word from the client (RFC 5321, 4.5.3.2.7)
LOOK = 10  # seconds: how often one who waits looks whether to end
FLAGS = ("authenticated",)  # of argv, beside --config
SOME_USER = "(authenticated)"  # who sent it, where all that is known is that it was a user of ours


class Options(Frozen):
    """What master.cf's argv says."""

    config: str = DEFAULT_PATH
    authenticated: bool = False  # whether all clients have logged in, so that all senders are ours


class _GoneError(Exception):
    """The client has hung up, or says nothing any more."""


class _Message(run.Run):
    """One message's way: how far it came decides what a failure means."""

    def __init__(self, envelope: Envelope) -> None:
        super().__init__()
        self.envelope = envelope
        self.answers = Answers(len(envelope.recipients))
        self.delivered = False  # to anybody
        self.answered = False
        self.ready = b""  # what is to be said where all goes well
        self.failures: list[tuple[tuple[int, ...], BaseException]] = []  # of shares, and whose
        self.refused: list[Refused] = []  # recipients, one by one


class _Door:
    def __init__(self, heard: int, said: int, options: Options, program: str) -> None:
        self.heard = heard
        self.said = said
        self.options = options
        self.process = Process(program)
        self.settings = Watched(options.config)
        self.way = smtp.Way("")  # it is told later where to
        self.session = Session(smtp.own_name("0"))
        self.is_socket = stat.S_ISSOCK(os.fstat(heard).st_mode)

    # The connection

    def listen(self) -> None:
        """Take messages until there is a reason to end. Raises _GoneError, StoppedError."""
        while True:
            event = self.session.next_event()
            if isinstance(event, Begin):
                self.take(event.envelope)
                # Not behind the reply to a command: lmtp(8) probes what it kept by RSET, and goes on after a 250.
                if self.process.torn or (self.session.is_idle and self.process.is_done()):
                    return
                continue
            self.write()
            if isinstance(event, Closed) or not self.read(ends=True):
                return

    def read(self, *, ends: bool = False) -> bool:
        """Take what the client says next; False where, between messages (`ends`), it is time to end instead."""
        self.write()
        silent = monotonic() + IDLE_LIMIT
        poll = select.poll()
        poll.register(self.heard, select.POLLIN)
        while not poll.poll(LOOK * 1000):
            if monotonic() > silent:
                raise _GoneError("the client says nothing")
            if ends and self.session.is_idle and self.process.is_done():
                return False
        try:
            octets = os.read(self.heard, READ)
        except ConnectionError as error:
            raise _GoneError("the client is gone") from error
        if not octets:
            raise _GoneError("the client has hung up")
        self.session.receive(octets)
        return True

    def write(self) -> None:
        """Say what there is to be said."""
        octets = self.session.output()
        if octets:
            try:
                write_all(self.said, octets)
            except OSError as error:
                raise _GoneError("the client is gone") from error

    def refuse_gone(self) -> None:
        """Raise StoppedError where the client has hung up: Postfix has put the message off, and tries again."""
        if not self.is_socket:
            return
        poll = select.poll()
        poll.register(self.heard, select.POLLRDHUP)
        if poll.poll(0):
            raise StoppedError("the client that handed the message over is gone; nothing was sent")

    # One message

    def take(self, envelope: Envelope) -> None:
        """Take one message through, and answer it; what is left of it is let go."""
        if self.options.authenticated:
            envelope = envelope.replace(sasl_user=SOME_USER)
        message = _Message(envelope)
        try:
            self._take(message)
        except _GoneError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is: the message must stay in the queue
            self._suspect(error)
            self._fail(message, error)
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            _signal.signal(_signal.SIGALRM, _signal.SIG_IGN)  # it held on to the message
            run.stop_by(_on_stop)
        self.process.messages += 1
        del message, envelope
        gc.collect()  # a cycle may hold a megabyte of a message
        gc.freeze()  # what is left is code that stays: not to be looked at again

    def _take(self, message: _Message) -> None:
        began = monotonic()
        settings = self.settings.load()
        message.begin(settings, began)
        self.process.allow(run.processor_seconds(settings))
        self.session.go_ahead()
        spool = self._receive(lambda: run.workspace(settings))
        spool = as_received(spool, self.session.wire, lambda: run.workspace(settings))
        try:
            if not spool.size:
                raise UsageError("a message without any octets")
            loop.refuse_loop(spool, settings)
            context = pipeline.Context(
                deliver=lambda shares, meanwhile: self._deliver(message, shares, settings, meanwhile),
                size_limit=lambda: run.size_limit(message.envelope, settings),
                workspace=lambda: run.workspace(settings),
                log=message.log,
                may_notify=True,
                apart=True,
                way=self.way,
            )
            outcome = pipeline.process(spool, message.envelope, settings, context)
            if not message.answered:  # it is in quarantine
                run.stop_by(self.process.stop)
                message.delivered = True
                message.answers.fill(answers.accepted(outcome))
                self._answer(message)
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
        self, message: _Message, shares: "Sequence[Share]", settings: Settings, meanwhile: "Callable[[], None]"
    ) -> "Sequence[Share]":
        """Hand each share over, answer all recipients, and return the shares that were taken.

        Once one was, nothing may interrupt, and those who got it are told so, whatever becomes of the others.
        """
        # Made now: there may be no memory for it when it counts.
        lines = [answers.accepted(share.outcome) for share in shares]
        message.ready = answers.all_well(len(message.envelope.recipients), [share.places for share in shares], lines)
        taken = []
        stopped: Interruption | None = None
        for share, line in zip(shares, lines, strict=True):
            failure = share.failure or stopped or self._try(message, share, line, settings, meanwhile)
            if failure is None:
                taken.append(share)
                continue
            message.failures.append((share.places, failure))
            if isinstance(failure, Interruption):
                stopped = failure
        if not taken:
            raise message.failures[0][1]
        run.stop_by(self.process.stop)
        message.limit(run.AFTERWARDS)
        self._answer(message)
        self._tell_failures(message)
        return taken

    def _try(
        self, message: _Message, share: "Share", line: bytes, settings: Settings, meanwhile: "Callable[[], None]"
    ) -> BaseException | None:
        """Reinject once; return what kept it from being sent."""
        try:
            message.refuse_late(settings)
            self.refuse_gone()
            message.hand_over(settings)
            refused = reinject.send(share.spool, share.envelope, settings, lambda: run.quietly(meanwhile), self.way)
            message.delivered = True
            if refused:
                # Where there is no memory for it: twice for some, rather than never for who was refused.
                for place, said in answers.refused(refused, share.places):
                    message.answers.give((place,), said)
                message.refused += refused
            message.answers.give(share.places, line)
        except (Exception, Interruption) as error:  # noqa: BLE001  # what it is, is told to whom it is about
            return error
        return None

    def _answer(self, message: _Message) -> None:
        """Answer a message that is taken, by some at least. Raises nothing but for want of memory."""
        message.answered = True
        if message.failures or message.refused or not message.ready:
            self._give_failures(message)
            message.ready = message.answers.octets()
        self.session.answer(message.ready)
        try:
            self.write()
        except _GoneError:
            self.process.torn = True  # there is nobody left

    def _give_failures(self, message: _Message) -> None:
        final = all(answers.is_refusal(failure) for _, failure in message.failures)
        for places, failure in message.failures:
            message.answers.give(places, answers.failed(failure, final=final))

    def _tell_failures(self, message: _Message) -> None:
        """Tell the log about those who did not get it while others did."""
        about = {"queue_id": message.envelope.queue_id, "sender": message.envelope.sender}
        for places, failure in message.failures:
            self._suspect(failure)
            level, name = ("warning", "refused") if answers.is_refusal(failure) else ("error", "failed")
            message.log.event(level, name, **about, recipients=len(places), reason=answers.reason(failure))
        if message.refused:
            reason = without_tokens(message.refused[0].said)
            message.log.event("warning", "recipient refused", **about, recipients=len(message.refused), reason=reason)

    def _suspect(self, error: BaseException) -> None:
        """Take note of what may have left something behind."""
        if not isinstance(error, (PfilterError, OSError)):
            self.process.torn = True

    def _fail(self, message: _Message, error: BaseException) -> None:
        """Say that a message has to be tried again, or, where that is what is wanted, that it is refused."""
        reason = answers.reason(error)
        if message.delivered:
            # It is sent: a failure now would send it again.
            message.limit(run.AFTERWARDS)
            if not message.answered:
                if not message.answers.is_complete:
                    message.failures.append((tuple(range(len(message.envelope.recipients))), error))
                self._answer(message)
            message.log.event("error", "failed after delivery", queue_id=message.envelope.queue_id, reason=reason)
            return
        run.last_words()
        level, name = ("warning", "refused") if answers.is_refusal(error) else ("error", "failed")
        message.log.event(level, name, queue_id=message.envelope.queue_id, reason=reason)
        if self.session.is_waiting:  # for a word on DATA
            self.session.refuse(answers.failed(error))
        elif self.session.is_complete:
            self._give_failures(message)
            message.answers.fill(answers.failed(error))
            self.session.answer(message.answers.octets())
        else:  # in the middle of the message, and nobody listens
            self.session.close(answers.reply(f"421 {dsn(error)} pfilter: {reason}"))
            self.process.torn = True
        self.write()


def main(arguments: "Sequence[bytes]", heard: int, said: int, program: str) -> int:
    """Serve one client; return an exit status, of which spawn(8) logs any but 0.

    What is wrong with `arguments` is raised: then nothing has been said yet. `program` is the path that we were
    started by.
    """
    gc.disable()
    gc.freeze()  # modules stay: the collection behind the first message need not look at them
    door = _Door(heard, said, parse(arguments), program)
    status = EX_OK
    run.stop_by(_on_stop)
    try:
        door.listen()
    except (_GoneError, StoppedError) as error:
        status = _farewell(door, error)
    except BaseException as error:  # noqa: BLE001  # a client that hears nothing tries again
        status = EX_TEMPFAIL
        _farewell(door, error)
    run.last_words()
    door.way.close()
    return EX_TEMPFAIL if door.process.torn else status


def _farewell(door: _Door, error: BaseException) -> int:
    if not isinstance(error, _GoneError):
        run.last_words()
        try:
            door.session.close(answers.reply(f"421 4.3.2 pfilter: {answers.reason(error)}"))
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


def _on_stop(number: int, *_: object) -> None:
    raise StoppedError(f"stopped by signal {number}; nothing was sent")
