"""The result goes back to Postfix: by sendmail(1), or by SMTP. One attempt, all recipients or none.

A recipient whose address smtpd(8) does not take is the exception; on a `Way` each recipient is by himself.
"""

from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pfilter.delivery.smtp import Way


def send(
    message: Spool,
    envelope: Envelope,
    settings: Settings,
    meanwhile: "Callable[[], None] | None" = None,
    way: "Way | None" = None,
) -> tuple[Refused, ...]:
    """Hand a complete message over; return the recipients who were refused for their addresses and did not get it.

    Raises ReinjectError; then it may have been taken all the same. Raises RecipientsError where all were refused.
    `meanwhile` is called while Postfix works, and must not raise. With a `way`, and SMTP, the message goes by it, and
    those are returned as well who are to be tried again (`smtp.Way.send`).
    """
    return METHODS[settings.reinject_method](message, envelope, settings, meanwhile, way)


def _by_sendmail(
    message: Spool,
    envelope: Envelope,
    settings: Settings,
    meanwhile: "Callable[[], None] | None",
    _way: "Way | None",
) -> tuple[Refused, ...]:
    from pfilter.delivery import sendmail

    return sendmail.send(message, envelope, settings, meanwhile)


def _by_smtp(
    message: Spool,
    envelope: Envelope,
    settings: Settings,
    meanwhile: "Callable[[], None] | None",
    way: "Way | None",
) -> tuple[Refused, ...]:
    limits = (settings.reinject_timeout, settings.reinject_data_done_timeout)
    if way:
        way.lead_to(settings.reinject_smtp)
        return way.send(message, envelope, *limits, meanwhile)
    from pfilter.delivery import smtp

    return smtp.send(message, envelope, settings.reinject_smtp, *limits, meanwhile)


METHODS = {"sendmail": _by_sendmail, "smtp": _by_smtp}
