"""The way back to Postfix: sendmail, or SMTP."""

import os

from pfilter.base.finding import Finding
from pfilter.config.settings import Settings
from pfilter.delivery import postconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    if settings.reinject_method == "smtp":
        yield _smtp(settings.reinject_smtp)
        return
    if not os.access(settings.reinject_sendmail, os.X_OK):
        yield Finding(
            "error", f"[reinject] sendmail = {settings.reinject_sendmail}: does not exist, or is not executable"
        )
        return
    yield Finding("ok", f"results go back by {settings.reinject_sendmail}")
    if _no_new_privileges():
        yield Finding("error", "no_new_privs is set: postdrop(1) can't work; use [reinject] method = smtp")
    classes = postconf.value(settings, "smtputf8_autodetect_classes")
    if "sendmail" in classes or "all" in classes:
        yield Finding(
            "warning",
            "smtputf8_autodetect_classes has sendmail: mail with raw UTF-8 headers would bounce at relays without "
            "SMTPUTF8; postconf -e smtputf8_autodetect_classes=verify, or [reinject] method = smtp",
        )


def _smtp(server: str) -> Finding:
    from pfilter.base import sockets

    try:
        connection = sockets.connect(server, 5)
        greeting = connection.recv(512)
        connection.close()
    except OSError as error:
        return Finding("error", f"[reinject] smtp = {server}: {error.strerror or error}")
    if not greeting.startswith(b"220"):
        return Finding("error", f"[reinject] smtp = {server}: greets with {greeting[:80]!r}")
    return Finding("ok", f"results go back by SMTP to {server}")


def _no_new_privileges() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            return "NoNewPrivs:\t1" in stream.read()
    except OSError:
        return False
