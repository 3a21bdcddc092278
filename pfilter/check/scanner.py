"""clamd, and who hears of what it finds."""

from pfilter.base.finding import Finding
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    if not settings.clamav_socket:
        yield Finding("warning", "[clamav] socket is not set: nothing is scanned for viruses before it becomes a link")
        return
    from pfilter.antivirus import clamd

    verdict = clamd.scan([b"pfilter check"], settings.clamav_socket, min(settings.clamav_timeout, 10))
    if verdict.status == "clean":
        yield Finding("ok", f"clamd answers at {settings.clamav_socket}")
    else:
        waits = "mail waits" if settings.clamav_on_error == "defer" else "mail passes unscanned"
        yield Finding("error", f"{verdict.reason}: {waits} until it answers")
    if not settings.notify_admin:
        yield Finding("warning", "[notify] admin is not set: nobody is told about messages put into quarantine")
