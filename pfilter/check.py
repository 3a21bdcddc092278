"""Checks that an administrator runs before Postfix hands over the first message."""

import os
import stat

from pfilter import notice, reinject
from pfilter.errors import PfilterError, sentence
from pfilter.frozen import Frozen
from pfilter.policy import Policy
from pfilter.store.local import LocalStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


DEFAULT_TIME_LIMIT = 1000  # seconds: command_time_limit
AFTERWARDS = 30  # seconds, generously, for log and notification


class Finding(Frozen):
    """One thing looked at: `level` is "ok", "warning" or "error"."""

    level: str
    text: str


def run(policy: Policy) -> "list[Finding]":
    """Look at everything that mail will need. Raises nothing."""
    findings: list[Finding] = []
    for check in (_store, _links, _templates, _reinjection, _time, _log):
        try:
            findings += check(policy)
        except (PfilterError, OSError) as error:
            findings.append(Finding("error", sentence(error)))
    return findings


def _store(policy: Policy) -> "Iterator[Finding]":
    root = policy.store_path
    try:
        found = os.stat(root)
    except FileNotFoundError:
        yield Finding("error", f"store {root} does not exist: install -d -o pfilter -g pfilter -m 0711 {root}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("error", f"store {root} is no directory")
        return
    if found.st_uid == 0:
        yield Finding("error", f"store {root} belongs to root, but pipe(8) refuses to run filters as root: chown it")
    if found.st_mode & 0o022:
        yield Finding("error", f"store {root} can be written by others (mode {found.st_mode & 0o777:04o}): chmod 0711")
    if policy.link_enabled and not found.st_mode & 0o001:
        yield Finding("error", f"store {root} can't be entered by the web server: chmod 0711 {root}")
    if not os.access(root, os.W_OK | os.X_OK):
        yield Finding("error", f"store {root} can't be written by uid {os.geteuid()}")
        return
    store = LocalStore(root, policy.store_base_url)
    store.workspace()
    if store.has_room(0, policy.store_min_free):
        yield Finding("ok", f"store {root} can be written, and has room")
    else:
        yield Finding("error", f"store {root} has less free space than [store] min_free: nothing will be stored")


def _links(policy: Policy) -> "Iterator[Finding]":
    if not policy.link_enabled:
        yield Finding("warning", "[link] enabled = false: what is too big stays in the mail")
        return
    yield Finding("ok", f"links begin with {policy.store_base_url}/ and work for {_span(policy.store_keep)}")
    if policy.store_base_url.startswith("http://"):
        yield Finding("warning", "[store] base_url is not https: others can read along what is downloaded")
    if len(policy.store_base_url) > 36:
        yield Finding("warning", "[store] base_url is long: links over 70 characters get broken by some mail clients")


def _templates(policy: Policy) -> "Iterator[Finding]":
    notice.check(policy)
    where = policy.notice_templates or "built in"
    yield Finding("ok", f"templates can be used ({where})")
    if policy.notice_templates and not os.path.isdir(policy.notice_templates):
        yield Finding("error", f"[notice] templates = {policy.notice_templates}: no such directory")


def _reinjection(policy: Policy) -> "Iterator[Finding]":
    if policy.reinject_method == "smtp":
        yield _smtp(policy.reinject_smtp)
        return
    if not os.access(policy.reinject_sendmail, os.X_OK):
        yield Finding("error", f"[reinject] sendmail = {policy.reinject_sendmail}: not there, or not executable")
        return
    yield Finding("ok", f"results go back by {policy.reinject_sendmail}")
    if _no_new_privileges():
        yield Finding("error", "no_new_privs is set: postdrop(1) can't work; use [reinject] method = smtp")
    classes = reinject.postconf(policy, "smtputf8_autodetect_classes")
    if "sendmail" in classes or "all" in classes:
        yield Finding(
            "warning",
            "smtputf8_autodetect_classes has sendmail: mail with raw UTF-8 headers would bounce at relays without "
            "SMTPUTF8; postconf -e smtputf8_autodetect_classes=verify, or [reinject] method = smtp",
        )


def _smtp(server: str) -> Finding:
    from pfilter import sockets

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


def _time(policy: Policy) -> "Iterator[Finding]":
    said = reinject.postconf(policy, "pfilter_time_limit")
    limit = int(said.removesuffix("s")) if said.removesuffix("s").isdecimal() else DEFAULT_TIME_LIMIT
    needed = policy.deadline + policy.reinject_timeout + AFTERWARDS
    if needed > limit:
        yield Finding(
            "error",
            f"[policy] deadline + [reinject] timeout = {needed} s, over Postfix's pfilter_time_limit of {limit} s, "
            "at whose end it bounces",
        )


def _log(policy: Policy) -> "Iterator[Finding]":
    if policy.log_to == "stderr":
        yield Finding("warning", '[log] to = "stderr": events of the pipe are dropped, since Postfix reads its stderr')
        return
    if policy.log_to == "syslog" and not os.path.exists("/dev/log"):
        yield Finding("warning", '[log] to = "syslog", but there is no /dev/log here: events are dropped')
        return
    if policy.log_to.startswith("file:"):
        path = policy.log_to.removeprefix("file:")
        if not os.access(path if os.path.exists(path) else os.path.dirname(path), os.W_OK):
            yield Finding("error", f"log {path} can't be written by uid {os.geteuid()}")
            return
    yield Finding("ok", f"events go to {policy.log_to}")


def _span(seconds: int) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
