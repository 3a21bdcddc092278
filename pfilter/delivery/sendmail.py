"""One message to Postfix's sendmail(1). It takes any recipient: Postfix bounces by itself."""

import os

from pfilter.base.child import run
from pfilter.base.errors import ReinjectError
from pfilter.base.spool import Spool, finished
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def send(
    message: Spool, envelope: Envelope, settings: Settings, meanwhile: "Callable[[], None] | None"
) -> tuple[Refused, ...]:
    """-G: a gateway, so headers stay as they are. -i: a line with a single dot is a line (Postfix, sendmail(1))."""
    if message.wire:
        message = _with_lf(message, settings)
    os.lseek(message.fd, 0, os.SEEK_SET)
    argv = [os.fsencode(settings.reinject_sendmail), b"-G", b"-i", b"-f", envelope.sender, b"--", *envelope.recipients]

    def more() -> float:
        """Once it has read all it may have queued it, and to kill it would send the message twice."""
        try:
            read = os.lseek(message.fd, 0, os.SEEK_CUR)
        except OSError:
            read = message.size
        return settings.reinject_data_done_timeout if read >= message.size else 0

    try:
        status, said = run(argv, message.fd, settings.reinject_timeout, meanwhile, more)
    except OSError as error:
        from pfilter.base.text import sentence

        raise ReinjectError(f"{settings.reinject_sendmail}: {sentence(error)}") from error
    if status:
        ended = f"exited with {status}" if status > 0 else f"was killed by signal {-status}"
        raise ReinjectError(f"{settings.reinject_sendmail} {ended}: {said.strip() or 'no reason given'}")
    return ()


def _with_lf(message: Spool, settings: Settings) -> Spool:
    """Return a message as a local program hands one over: what becomes of CRLF, Postfix has a parameter for."""
    from pfilter.store import select

    return finished(message.lf_windows(0, message.size), lambda: select.workspace(settings), message.lf_size)
