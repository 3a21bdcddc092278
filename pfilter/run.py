"""One message's run in a process, by either door: its log, its limits, and by when what must be done."""

from time import monotonic

from pfilter.base.errors import DeadlineError
from pfilter.base.log import Log
from pfilter.base.privileges import become_owner
from pfilter.base.rlimits import confine
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal  # the module signal brings enum along

AFTERWARDS = 10  # seconds for the log and the notification; in the pipe a crash within them doubles the message
HARD_LIMIT = 5  # seconds over the reinjection's own time limits
SIGNALS = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT)


class Run:
    """What belongs to one message. `deadline` is by when it must be handed over, `end` when the alarm raises."""

    def __init__(self) -> None:
        self.log = Log("")
        self.deadline = self.end = monotonic()

    def begin(self, settings: Settings, began: float) -> None:
        """Become who works on the store, and take on the limits. Raises OSError, StoreError; later DeadlineError."""
        become_owner(settings.store_path)
        confine(processor_seconds(settings))
        self.log = Log("" if settings.log_to == "stderr" else settings.log_to, settings.log_level, settings.log_format)
        self.deadline = self.end = began + settings.deadline
        _signal.signal(_signal.SIGALRM, self._on_alarm)
        # Again and again: a first alarm can get lost where Python can't raise, in a destructor for example.
        _signal.setitimer(_signal.ITIMER_REAL, settings.deadline, 1)

    def limit(self, seconds: float) -> None:
        """Let what follows take so long, whatever the deadline was."""
        self.end = monotonic() + seconds
        _signal.setitimer(_signal.ITIMER_REAL, seconds, 1)

    def _on_alarm(self, *_: object) -> None:
        """Raise where the time is over; an alarm from elsewhere means nothing."""
        if monotonic() >= self.end:
            raise DeadlineError("the deadline for one message has passed")

    def refuse_late(self, settings: Settings) -> None:
        """Raise DeadlineError where all up to the final dot does not fit in before the deadline."""
        if monotonic() + settings.reinject_timeout > self.deadline:
            raise DeadlineError("no time left for reinjection before the deadline; nothing was sent")

    def hand_over(self, settings: Settings) -> None:
        """From here on the reinjection's own time limits count, and nothing else may interrupt."""
        stop_by(_signal.SIG_IGN)
        self.limit(settings.reinject_timeout + settings.reinject_data_done_timeout + HARD_LIMIT)


def processor_seconds(settings: Settings) -> int:
    """Return how much CPU time a message may use. To wait for Postfix's last answer takes none."""
    return settings.deadline + settings.reinject_timeout + HARD_LIMIT + AFTERWARDS


def stop_by(handler: "Callable[..., object] | _signal.Handlers | int") -> None:
    """Set what happens at the signals by which somebody wants us to stop."""
    for number in SIGNALS:
        _signal.signal(number, handler)


def last_words() -> None:
    """Let nothing raise any more, and nothing hang: death by a signal is a deferral too."""
    stop_by(_signal.SIG_IGN)
    _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)
    _signal.setitimer(_signal.ITIMER_REAL, AFTERWARDS)


def quietly(meanwhile: "Callable[[], None]") -> None:
    """Do what is only a convenience: Postfix has the message by now, and no failure of ours may take it back."""
    try:
        meanwhile()
    except Exception:  # noqa: BLE001, S110  # MemoryError is one
        pass


def size_limit(envelope: Envelope, settings: Settings) -> int:
    """Return how many octets go back with this envelope, 0 for any."""
    from pfilter.delivery import postconf

    return postconf.size_limit(settings, envelope)


def workspace(settings: Settings) -> str:
    """Return the directory for temporary files. Raises StoreError, OSError."""
    from pfilter.store import select

    return select.workspace(settings)
