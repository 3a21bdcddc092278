"""What links promise: where they lead, for how long."""

from pfilter.base.finding import Finding
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    if not settings.link_enabled:
        yield Finding("warning", "[link] enabled = false: what is too big stays in the mail")
        return
    if settings.store_url and settings.store_links == "presigned":
        yield Finding("ok", f"links are presigned, and work for {_span(settings.store_keep)}")
        return
    yield Finding("ok", f"links begin with {settings.store_base_url}/ and work for {_span(settings.store_keep)}")
    if settings.store_base_url.startswith("http://"):
        yield Finding("warning", "[store] base_url is not https: others can read what is downloaded on its way")
    if len(settings.store_base_url) > 36:
        yield Finding("warning", "[store] base_url is long: links over 70 characters get broken by some mail clients")


def _span(seconds: int) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
