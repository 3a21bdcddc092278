"""Checks that an administrator runs before Postfix hands over the first message."""

import os
import stat

from pfilter.base import users
from pfilter.base.errors import PfilterError
from pfilter.base.frozen import Frozen
from pfilter.base.text import sentence
from pfilter.cli import wiring
from pfilter.config.settings import Settings
from pfilter.delivery import postconf
from pfilter.notices import texts
from pfilter.store.select import open_local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Finding(Frozen):
    """One thing looked at: `level` is "ok", "warning" or "error"."""

    level: str
    text: str


def run(settings: Settings) -> "list[Finding]":
    """Look at everything that mail will need. Raises nothing."""
    findings: list[Finding] = []
    for check in (_store, _secret, _bucket, _links, _templates, _reinjection, _scanner, _wiring, _log):
        try:
            findings += check(settings)
        except (PfilterError, OSError) as error:
            findings.append(Finding("error", sentence(error)))
    return findings


def _store(settings: Settings) -> "Iterator[Finding]":
    root = settings.store_path
    try:
        found = os.stat(root)
    except FileNotFoundError:
        yield Finding("error", f"store {root} does not exist: install -d -o pfilter -g pfilter -m 0711 {root}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("error", f"store {root} is not a directory")
        return
    if found.st_uid == 0:
        yield Finding(
            "error",
            f"store {root} belongs to root, but pipe(8) refuses to run filters as root: "
            f"chown -R pfilter:pfilter {root}",
        )
    if found.st_mode & 0o022:
        yield Finding("error", f"store {root} can be written by others (mode {found.st_mode & 0o777:04o}): chmod 0711")
    if settings.link_enabled and not found.st_mode & 0o001:
        yield Finding("error", f"store {root} can't be entered by the web server: chmod 0711 {root}")
    if not os.access(root, os.W_OK | os.X_OK):
        yield Finding("error", f"store {root} can't be written by {users.name(os.geteuid())}")
        return
    store = open_local(settings)
    store.workspace()
    if store.has_room(0, settings.store_min_free):
        yield Finding("ok", f"store {root} can be written, and has room")
    else:
        yield Finding(
            "error",
            f"store {root} has less free space, or fewer inodes, than [store] min_free asks for: nothing is stored",
        )


def _secret(settings: Settings) -> "Iterator[Finding]":
    if not settings.store_secret_file:
        if settings.store_url:
            secret = os.path.join(settings.store_path, "secret")
            yield Finding("ok", f"the key that links are made with is {secret}: other gateways need a copy of it")
        return
    open_local(settings).secret()
    yield from _private("secret_file", settings.store_secret_file)


def _private(key: str, file: str) -> "Iterator[Finding]":
    found = os.stat(file)
    if found.st_mode & 0o007:
        yield Finding("error", f"[store] {key} = {file} can be read by everybody: chmod o-rwx {file}")
    else:
        yield Finding("ok", f"[store] {key} = {file} can be read here, but not by everybody")


def _bucket(settings: Settings) -> "Iterator[Finding]":
    if not settings.store_url:
        return
    from pfilter.store.s3 import Bucket

    if settings.store_credentials:
        yield from _private("credentials", settings.store_credentials)
    bucket = Bucket(settings)
    if bucket.endpoint.startswith("http://"):
        yield Finding("warning", "[store] endpoint is not https: others can read what is stored on its way")
    key = f"records/check-{os.getpid()}"
    written = [bucket.put(key, b"pfilter check", {}, e_tag="") for _ in range(2)]
    found = bucket.get(key)
    bucket.delete([key])
    if not found or found[0] != b"pfilter check":
        yield Finding("error", f"{bucket}: what was written can't be read")
    elif written != [True, False]:
        yield Finding("error", f"{bucket} ignores conditional writes (If-None-Match): it can't be shared")
    else:
        yield Finding("ok", f"{bucket} can be written to and read, and supports conditional writes")


def _links(settings: Settings) -> "Iterator[Finding]":
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


def _templates(settings: Settings) -> "Iterator[Finding]":
    texts.check(settings)
    where = settings.notice_templates or "built in"
    yield Finding("ok", f"templates can be used ({where}), in {', '.join(settings.languages)}")
    for key, folder in (("templates", settings.notice_templates), ("locale", settings.notice_locale)):
        if folder and not os.path.isdir(folder):
            yield Finding("error", f"[notice] {key} = {folder}: no such directory")


def _reinjection(settings: Settings) -> "Iterator[Finding]":
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


def _scanner(settings: Settings) -> "Iterator[Finding]":
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


def _no_new_privileges() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii") as stream:
            return "NoNewPrivs:\t1" in stream.read()
    except OSError:
        return False


def _wiring(settings: Settings) -> "Iterator[Finding]":
    for wrong in [*wiring.time_limit(settings), *wiring.recipient_limit(settings)]:
        yield Finding("error", wrong)
    for wrong in wiring.size_limit(settings):
        yield Finding("warning", wrong)


def can_log(settings: Settings) -> bool:
    """Whether we can write to the file that events go to."""
    path = settings.log_to.removeprefix("file:")
    return os.access(path if os.path.exists(path) else os.path.dirname(path), os.W_OK)


def _log(settings: Settings) -> "Iterator[Finding]":
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


def _span(seconds: int) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
