"""What can go wrong, and what it means for the message.

    PfilterError                never raised itself
    ├── ConfigError             the configuration can't be used
    ├── UsageError              the command line can't be used
    ├── TruncatedError          the message came in without its end
    ├── LoopError               the wiring in master.cf sends our own output back to us
    ├── StoreError              the download store can't be used
    ├── ReinjectError           Postfix did not take the result
    │   └── RecipientsError     since no recipient has an address that it takes: the message is bounced
    ├── ScannerError            clamd could not be asked
    ├── AmbiguousError          programs would read this message differently, and it shall wait
    ├── RefusedError            the message is bounced, by policy
    └── InternalError           a bug: an interface between stages was violated

    Interruption                a signal; no Exception, so that no handler for bad mail swallows it
    ├── DeadlineError           no time left
    └── StoppedError            somebody wants us to stop

Bad mail is none of these: it degrades to a value (`Part.defect`, `Message.defects`) and passes as it came.
In the pipe every trouble but RefusedError and RecipientsError is EX_TEMPFAIL: all other exit statuses but 71 bounce the
message (Postfix, sys_exits.c).
"""

EX_OK = 0
EX_FAILURE = 1  # at the command line
EX_USAGE = 2  # at the command line
EX_UNAVAILABLE = 69  # Postfix bounces, with the status at the start of our line (RFC 3463)
EX_TEMPFAIL = 75  # sysexits(3); Postfix keeps the message and tries again

DSN_TEMPFAIL = "4.3.0"  # RFC 3463: other or undefined mail system status
DSN_REFUSED = "5.7.1"  # RFC 3463: delivery not authorized, message refused


class PfilterError(Exception):
    """Base of all errors that pfilter raises on purpose."""


class ConfigError(PfilterError):
    """The configuration can't be used; the message names key, value and what is allowed."""


class UsageError(PfilterError):
    """The command line can't be used."""


class TruncatedError(PfilterError):
    """The message came in without its end: what handed it over was killed, and will do so again."""


class LoopError(PfilterError):
    """The message has just come from ourselves."""


class StoreError(PfilterError):
    """The download store can't be used."""


class ReinjectError(PfilterError):
    """Postfix did not take the result, or it is not known whether it did."""


class RecipientsError(ReinjectError):
    """All recipients were refused for their addresses, so that Postfix would have bounced the message without us.

    `status` is what the server gave as a reason (RFC 3463), such as 5.1.3.
    """

    def __init__(self, reason: str, status: str) -> None:
        super().__init__(reason)
        self.status = status


class ScannerError(PfilterError):
    """clamd could not be asked whether the message has a virus."""


class AmbiguousError(PfilterError):
    """Programs would read this message differently, and the configuration wants it to wait."""


class RefusedError(PfilterError):
    """The configuration wants this message to be refused."""


class InternalError(PfilterError):
    """An interface between stages was violated: a bug, found before anything was sent."""


class Interruption(BaseException):  # as KeyboardInterrupt
    """A signal ended the work on a message."""


class DeadlineError(Interruption):
    """The time allowed for one message is over."""


class StoppedError(Interruption):
    """Somebody wants us to stop, and nothing was sent."""


def exit_status(error: BaseException, *, in_pipe: bool) -> int:
    """Return the exit status for an error: in the pipe 75 but for what is bounced, 2 or 1 at the command line."""
    if in_pipe:
        return EX_UNAVAILABLE if isinstance(error, (RefusedError, RecipientsError)) else EX_TEMPFAIL
    return EX_USAGE if isinstance(error, (UsageError, ConfigError)) else EX_FAILURE


def dsn(error: BaseException) -> str:
    """Return the status code (RFC 3463) that stands before the reason in the line for Postfix."""
    if isinstance(error, RecipientsError):
        return error.status
    return DSN_REFUSED if isinstance(error, RefusedError) else DSN_TEMPFAIL
