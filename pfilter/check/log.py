"""Where events go."""

import os

from pfilter.base import users
from pfilter.base.finding import Finding
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    if settings.log_to == "stderr":
        yield Finding("warning", '[log] to = "stderr": events of the pipe are dropped, since Postfix reads its stderr')
        return
    if settings.log_to == "syslog" and not os.path.exists("/dev/log"):
        yield Finding("warning", '[log] to = "syslog", but there is no /dev/log here: events are dropped')
        return
    if settings.log_to.startswith("file:") and not can_log(settings):
        path = settings.log_to.removeprefix("file:")
        yield Finding("error", f"log {path} can't be written by {users.name(os.geteuid())}")
        return
    yield Finding("ok", f"events go to {settings.log_to}")


def can_log(settings: Settings) -> bool:
    """Whether we can write to the file that events go to."""
    path = settings.log_to.removeprefix("file:")
    return os.access(path if os.path.exists(path) else os.path.dirname(path), os.W_OK)
