"""From one layout to another with postfix/install while mail comes in, and who goes past the filter."""

import base64
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.client import Client, RefusedError
from tests.e2e.conftest import Make, only
from tests.e2e.rig import READER, SENDER, Gate, wait
from tests.lib.support import PROJECT, crlf, message

AMBIGUOUS = message(mails.both(), "Content-Type: text/plain\n")
MESSAGES = 120
SENDERS = 4
DOVECOT = "/usr/sbin/dovecot"


class AgainError(Exception):
    """Mail of the layout before waits for it."""


def install(gate: Gate, layout: str, *options: str) -> str:
    """Run postfix/install on a gate, as its first run was; the gate is of that layout from then on."""
    instance = gate.instance
    program = "pfilter-lmtp" if layout == "lmtp" else "pfilter-pipe"
    argv = ["--no-check", "--layout", layout, "--service", f"127.0.0.1:{instance.port}/inet", "--user", "nobody"]
    argv += ["--reinject", f"127.0.0.1:{instance.port + 1}", "--config", str(instance.config)]
    argv += ["--command", str(instance.current / "bin" / program), *options]
    gate.layout = instance.layout = layout
    if (layout == "sendmail") != (gate.sections["reinject"]["method"] == "sendmail"):
        gate.configure(reinject={"method": "sendmail" if layout == "sendmail" else "smtp"})
    try:
        return instance.run(str(PROJECT / "postfix" / "install"), *argv)
    except AssertionError as error:
        if re.search(r"run this again|Run this again", str(error)):
            raise AgainError(str(error)) from None
        raise


class Senders:
    """Some clients that each keep one connection, and send numbered messages as fast as they are taken."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent: list[int] = []
        self._numbers = iter(range(MESSAGES))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        self.go_on = threading.Event()
        for thread in self._threads:
            thread.start()

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _send(self) -> None:
        while True:
            with Client(self.port) as client:
                client.command("EHLO client.example.org")
                for _ in range(20):  # then another connection
                    if len(self.sent) >= MESSAGES // 2:
                        self.go_on.wait(60)
                    number = self._next()
                    if number is None:
                        return
                    client.command(f"MAIL FROM:<{SENDER}>")
                    client.command(f"RCPT TO:<{READER}>")
                    client.data(crlf(message(mails.plain(f"number {number} \n"))))
                    self.sent.append(number)

    def join(self) -> None:
        """Wait until all is sent."""
        self.go_on.set()
        for thread in self._threads:
            thread.join(60)
        assert len(self.sent) == MESSAGES


@pytest.mark.parametrize("before_after", ["smtp lmtp", "lmtp sendmail"])
def test_change_under_load(start: Make, before_after: str) -> None:
    """While mail comes in and waits, the layout changes: each message arrives once, what waited too."""
    before, after = before_after.split()
    gate = start(before)
    gate.trouble_expected = True
    senders = Senders(gate.instance.port)
    wait(lambda: len(senders.sent) > MESSAGES // 6, "mail to be sent")
    done = ""
    threading.Timer(1.0, senders.go_on.set).start()
    while "is attached" not in done:
        with contextlib.suppress(AgainError):
            done = install(gate, after)
    senders.join()
    gate.instance.run("postqueue", "-f")
    arrived = gate.settle()
    numbers = Counter(re.search(rb"number (\d+)", one.raw)[1] for one in arrived)  # type: ignore[index]
    assert len(numbers) == MESSAGES
    assert set(numbers.values()) == {1}
    assert {event["done"] for event in gate.events("message")} == {"passed (no attachments)"}
    assert len(gate.events("message")) == MESSAGES
    assert "status=bounced" not in gate.instance.log()


def test_what_waits_goes_by_the_layout_of_then(start: Make) -> None:
    """Mail put off in layout lmtp is taken by the pipe; that put off by the pipe keeps its layout until it is gone."""
    gate = start("lmtp")
    gate.configure(policy={"ambiguous": "defer"})
    gate.waits_in_queue(gate.send(AMBIGUOUS), "pfilter: ambiguous")
    assert "is attached" in install(gate, "smtp")
    second = gate.send(AMBIGUOUS)
    gate.waits_in_queue(second, "pfilter: ambiguous")
    with pytest.raises(AgainError, match=r"message\(s\) in the queue wait for the filter of layout smtp"):
        install(gate, "lmtp")
    gate.layout = gate.instance.layout = "smtp"
    gate.configure()
    assert len(gate.retry()) == 2
    assert "is attached" in install(gate, "lmtp")
    gate.send(mails.letter())
    assert len(gate.settle()) == 3


@contextlib.contextmanager
def dovecot(users: dict[str, str]) -> Iterator[Path]:
    """Run Dovecot for logins alone, with a socket that smtpd can reach."""
    folder = Path(tempfile.mkdtemp(prefix="pfilter-login-", dir="/var/tmp"))
    folder.chmod(0o755)
    (folder / "users").write_text("".join(f"{name}:{{PLAIN}}{word}::::::\n" for name, word in users.items()))
    (folder / "conf").write_text(
        f"base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/log\nprotocols =\nssl = no\n"
        "disable_plaintext_auth = no\nauth_mechanisms = plain\ndefault_internal_user = nobody\n"
        "default_internal_group = nogroup\ndefault_login_user = nobody\n"
        f"passdb {{\n driver = passwd-file\n args = {folder}/users\n}}\n"
        "userdb {\n driver = static\n args = uid=65534 gid=65534 home=/nonexistent\n}\n"
        f"service auth {{\n unix_listener {folder}/login {{\n  mode = 0666\n }}\n}}\n"
    )
    process = subprocess.Popen([DOVECOT, "-F", "-c", str(folder / "conf")], stdin=subprocess.DEVNULL)
    try:
        wait(lambda: (folder / "login").exists() or process.poll() is not None, "Dovecot")
        assert process.poll() is None, (folder / "log").read_text()
        yield folder / "login"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def log_in_and_send(gate: Gate, user: str, data: bytes, recipients: list[str]) -> str:
    """Send a message as who has logged in, nobody for ""; return its queue id."""
    with Client(gate.instance.port) as client:
        client.command("EHLO client.example.org")
        if user:
            word = base64.b64encode(f"\0{user}\0secret".encode()).decode()
            client.command(f"AUTH PLAIN {word}")
        client.command(f"MAIL FROM:<{SENDER}>")
        for recipient in recipients:
            client.command(f"RCPT TO:<{recipient}>")
        return client.data(crlf(data)).rpartition(" ")[2]


@pytest.mark.skipif(not os.access(DOVECOT, os.X_OK), reason="needs Dovecot (dovecot-core) for real logins")
@only("lmtp")
def test_exempt_users_go_past_the_filter(layout: str, start: Make) -> None:
    """Who has logged in as one of them is not filtered; others, and whoever fails to log in, are. All come once."""
    with dovecot({"robot": "secret", "clerk": "secret"}) as login:
        gate = start(layout, "-o", f"smtpd_sasl_path={login}", "-o", "smtpd_sasl_type=dovecot")
        front = f"127.0.0.1:{gate.instance.port}/inet"
        gate.instance.run("postconf", "-P", f"{front}/smtpd_sasl_auth_enable=yes")
        gate.instance.run("postconf", "-e", "smtp_tls_security_level=encrypt", "smtp_bind_address=192.0.2.1")
        gate.configure(policy={"exempt_sasl_users": ["Robot"]}, notify={"sender": False})
        install(gate, "lmtp")
        gate.instance.run("postconf", "-e", "smtp_tls_security_level=none", "smtp_bind_address=")
        many = [f"reader{number}@example.net" for number in range(120)]
        sent = mails.letter(mails.film())
        log_in_and_send(gate, "robot", sent, many)
        passed = gate.delivered()
        assert passed.files == {"film.mp4": mails.FILM}
        assert len(passed.recipients) == len(many)
        assert gate.events("message") == []
        assert passed.content == crlf(sent)
        taken = [line for line in gate.instance.log().splitlines() if "postfix/reinject/smtpd" in line]
        assert sum("client=" in line for line in taken) == 1
        gate.forget()
        for user in ("clerk", ""):
            log_in_and_send(gate, user, sent, [READER])
            assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
            gate.forget()
        with pytest.raises(RefusedError, match="535"):
            log_in_and_send(gate, "stranger", sent, [READER])
        gate.configure(policy={"exempt_sasl_users": []})
        install(gate, "lmtp")
        log_in_and_send(gate, "robot", sent, [READER])
        assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
