"""What pfilter-pipe tells Postfix, and where the message is then: sent exactly once and 0, or not sent and 75."""

import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO

import pytest

from pfilter.delivery.smtp import own_name
from tests.lib import support
from tests.lib.smtp_server import Server
from tests.lib.support import BASE_URL, Ended, Gateway

PLAIN = support.message(support.part(b"Hello\n"))
BIG = support.message(
    support.multipart("mixed", support.part(b"Hello\n"), support.attachment(support.noise(900_000), "a.bin"))
)
SMALL_LIMITS = "part_limit = 10"
ATTACHED = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 100, "a.bin")))


def deferred(ended: Ended) -> str:
    """Assert that Postfix keeps the message, as the first octets on stdout say; return the reason."""
    assert ended.status == 75
    assert ended.stdout.startswith(b"4.3.0 pfilter: ")
    assert ended.stderr == b""
    assert len(ended.stdout) < 1100  # Postfix reads 4096, and closes the pipe beyond
    return ended.line


def delivered(ended: Ended) -> str:
    """Assert that the message was sent; return the line that Postfix logs."""
    assert (ended.status, ended.stderr) == (0, b""), ended
    assert not ended.stdout.startswith((b"4", b"5"))
    return ended.line


# --- Sent


def test_a_message_that_needs_nothing(gateway: Gateway) -> None:
    """It goes to sendmail byte for byte, with its envelope, and the line says why it passed."""
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"
    ((argv, stdin),) = gateway.calls
    assert argv == ["-G", "-i", "-f", "sender@example.org", "--", "reader@example.net"]
    assert stdin == PLAIN
    assert list(gateway.store.iterdir()) == []


def test_a_message_with_a_big_attachment(gateway: Gateway) -> None:
    """Its attachment becomes a link that leads to the file, and the line says so."""
    assert delivered(gateway.pipe(BIG)).startswith("1 linked, 1.2 MB -> ")
    text = support.text_of(support.leaves(support.parsed(gateway.sent))[0])
    (url,) = set(support.addresses(text))
    stored = gateway.store / "downloads" / url.removeprefix(BASE_URL).strip("/")
    assert (stored / "files" / "a.bin").read_bytes() == support.noise(900_000)


def test_the_same_message_twice_is_sent_twice_with_the_same_link(gateway: Gateway) -> None:
    """A retry of Postfix gives the same links."""
    delivered(gateway.pipe(BIG))
    delivered(gateway.pipe(BIG))
    first, second = (support.addresses(stdin.decode("ascii")) for _, stdin in gateway.calls)
    assert first == second != []


def test_all_recipients_in_one_run(gateway: Gateway) -> None:
    """There is one reinjection, with all recipients in their order."""
    recipients = tuple(f"r{number}@example.net" for number in range(120))
    delivered(gateway.pipe(PLAIN, recipients=recipients))
    ((argv, _),) = gateway.calls
    assert argv[argv.index("--") + 1 :] == list(recipients)


@pytest.mark.parametrize("sender", ["", "<>", "MAILER-DAEMON"])
def test_the_null_sender_stays_the_null_sender(gateway: Gateway, sender: str) -> None:
    """Mail of the null sender goes out with `-f ''`."""
    delivered(gateway.pipe(PLAIN, sender=sender))
    assert gateway.calls[0][0][2:4] == ["-f", ""]


def test_odd_addresses_arrive_as_they_are(gateway: Gateway) -> None:
    """No shell, no splitting, no options: addresses are single arguments."""
    odd = ("-oi@example.net", '"a b;`id`$(id)"@example.net', "ü@example.net", "*@example.net")
    delivered(gateway.pipe(PLAIN, sender="-x@example.org", recipients=odd))
    argv = gateway.calls[0][0]
    assert (argv[3], tuple(argv[5:])) == ("-x@example.org", odd)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".\n",
        b"\n.\n.\n",
        b"\0\n",
        b"\xff\xfe\n",
        b"x" * 100_000 + b"\n",
        b"no end",
        b"bare\rcr\n",
        b"From here\n",
    ],
    ids=["empty", "dot", "dots", "nul", "8-bit", "long line", "no line end", "bare cr", "From"],
)
def test_odd_bodies_arrive_as_they_are(gateway: Gateway, body: bytes) -> None:
    """Whatever is in a body, sendmail gets it octet for octet."""
    data = b"Subject: x\n\n" + body
    delivered(gateway.pipe(data))
    assert gateway.sent == data


def test_no_message(gateway: Gateway) -> None:
    """No octets are no message: Postfix never sends such a one, and what is lost before us is not sent on."""
    assert "no message" in deferred(gateway.pipe(b""))
    assert gateway.calls == []


def test_the_notification_is_a_second_mail(gateway: Gateway) -> None:
    """After the message its sender gets one notification, from the null sender."""
    gateway.configure(notify="sender = true")
    delivered(gateway.pipe(BIG))
    (first, _), (second, mail) = gateway.calls
    assert first[-1] == "reader@example.net"
    assert second == ["-G", "-i", "-f", "", "--", "sender@example.org"]
    assert b"Auto-Submitted: auto-replied" in mail


# --- After the message is sent nothing makes the exit status non-zero


def test_a_notification_that_fails(gateway: Gateway) -> None:
    """If the notification can't be sent the message is not sent again."""
    gateway.configure(notify="sender = true")
    gateway.stub("", before='case "$4" in "") exit 75;; esac')
    delivered(gateway.pipe(BIG))
    assert len(gateway.calls) == 1


def test_a_notification_that_hangs(gateway: Gateway) -> None:
    """A notification that hangs has its time limit, and then the exit status is 0."""
    gateway.configure(notify="sender = true", reinject='timeout = "1s"\ndata_done_timeout = "60s"')
    gateway.stub("", before='case "$4" in "") exec sleep 60;; esac')
    assert delivered(gateway.pipe(BIG, seconds=20)).startswith("1 linked")
    assert len(gateway.calls) == 1


def test_a_notification_that_hangs_at_its_end(gateway: Gateway) -> None:
    """The notification's time limit is for all of it: what is known of its failure gets into the log."""
    slow = 'timeout = "1s"\ndata_done_timeout = "60s"'
    gateway.configure(notify="sender = true", reinject=slow)
    gateway.stub("", before='case "$4" in "") cat >/dev/null; exec sleep 60;; esac')
    assert delivered(gateway.pipe(BIG, seconds=20)).startswith("1 linked")
    assert "sender not notified" in gateway.log.read_text()


@pytest.mark.parametrize("target", ["/proc/none/log", "/dev/full", "/"])
def test_a_log_that_cannot_be_written(gateway: Gateway, target: str) -> None:
    """Without a log the message goes its way."""
    gateway.configure(log=f'to = "file:{target}"\nlevel = "debug"')
    assert delivered(gateway.pipe(BIG)).startswith("1 linked")
    assert len(gateway.calls) == 1


def test_the_log_to_stderr_never_reaches_postfix(gateway: Gateway) -> None:
    """Stderr is a pipe to Postfix: with log to stderr events are dropped."""
    gateway.configure(log='to = "stderr"\nlevel = "debug"')
    ended = gateway.pipe(BIG)
    assert delivered(ended).startswith("1 linked")
    assert ended.stderr == b""


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGALRM,), (signal.SIGTERM, signal.SIGALRM)])
def test_signals_during_reinjection_do_not_count(gateway: Gateway, signals: tuple[signal.Signals, ...]) -> None:
    """Once reinjection began neither SIGTERM nor the alarm can make a sent message look unsent."""
    kills = "; ".join(f"kill -{int(number)} $PPID" for number in signals)
    gateway.stub(f"{kills}; sleep 0.3; {kills}")
    delivered(gateway.pipe(PLAIN))
    assert len(gateway.calls) == 1


def test_a_sendmail_that_talks(gateway: Gateway) -> None:
    """What sendmail prints does not reach Postfix when all went well."""
    gateway.stub("head -c 100000 /dev/zero; echo 5.7.1 nonsense; echo 5.7.1 >&2")
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"


def test_a_bug_after_delivery(monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
    """Whatever goes wrong once the message was handed over, the exit status is 0."""
    from pfilter import events, pipe
    from pfilter.delivery import reinject

    sent: list[bytes] = []

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipe, "receive", lambda *_: support.BytesSpool(PLAIN))
    monkeypatch.setattr(reinject, "send", lambda message, *_: sent.append(support.content(message)))
    monkeypatch.setattr(events, "tell", fail)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
    try:
        assert pipe.main([os.fsencode(argument) for argument in gateway.argv()]) == (0, "passed")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert sent == [PLAIN]


# --- Not sent: arguments and configuration


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["-f", "a@b"],
        ["-f", "a@b", "--"],
        ["--unknown=1", "-f", "a", "--", "b"],
        ["x" * 5000],
        ["\udcff"],
    ],
    ids=["none", "help", "no recipients", "empty recipients", "unknown", "long", "octets"],
)
def test_bad_arguments(gateway: Gateway, arguments: list[str]) -> None:
    """Arguments that can't be used defer."""
    deferred(gateway.pipe(PLAIN, arguments))
    assert gateway.calls == []


def test_a_missing_configuration(gateway: Gateway) -> None:
    """Without its configuration the pipe defers, and names the file."""
    gateway.config.unlink()
    assert str(gateway.config) in deferred(gateway.pipe(PLAIN))
    assert gateway.calls == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[policy\n", "not TOML"),
        ("[policy]\nown_domain = []\n", "own_domains"),
        ("", "own_domains"),
        ("\x00", "not TOML"),
    ],
    ids=["syntax", "unknown key", "empty", "nul"],
)
def test_a_broken_configuration(gateway: Gateway, content: str, words: str) -> None:
    """A configuration that can't be used defers, and the reason says what is wrong with it."""
    gateway.config.write_text(content)
    assert words in deferred(gateway.pipe(PLAIN))
    assert gateway.calls == []


def test_a_configuration_that_cannot_be_read(gateway: Gateway) -> None:
    """A directory in the place of the configuration defers."""
    gateway.config.unlink()
    gateway.config.mkdir()
    assert str(gateway.config) in deferred(gateway.pipe(PLAIN))
    assert gateway.calls == []


def test_a_broken_template(gateway: Gateway, tmp_path: Path) -> None:
    """A template that can't be used defers, and names its file."""
    (tmp_path / "notice.txt").write_text("{% for %}")
    gateway.configure(notice=f'templates = "{tmp_path}"')
    assert "notice.txt" in deferred(gateway.pipe(BIG))
    assert gateway.calls == []


# --- Not sent: the store


def test_a_missing_store_defers_what_needs_it(gateway: Gateway) -> None:
    """Without its store a message that needs one is kept; one that needs none passes."""
    gateway.store.rmdir()
    assert "install -d" in deferred(gateway.pipe(ATTACHED, sender=""))
    deferred(gateway.pipe(BIG))
    assert gateway.calls == []
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"


def test_an_unwritable_store_defers(gateway: Gateway, tmp_path: Path) -> None:
    """A store that belongs to somebody else defers what needs it."""
    if os.geteuid() == 0:
        as_nobody(gateway, tmp_path)
    gateway.store.chmod(0o555)
    try:
        reason = deferred(gateway.pipe(BIG))
    finally:
        gateway.store.chmod(0o711)
    assert "Permission denied" in reason or "belongs to" in reason
    assert gateway.calls == []


def as_nobody(gateway: Gateway, tmp_path: Path) -> None:
    """Let the door run as a user who can't write everywhere."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == "root" and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o001)
        if directory.name.startswith("pytest-of-"):
            break
    as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    try:
        probe = [*as_other, sys.executable, "-P", "-c", "import pfilter.pipe"]
        reached = subprocess.run(probe, check=False, capture_output=True, env=gateway.environment).returncode == 0
    except FileNotFoundError:
        reached = False
    if not reached:
        pytest.skip("root can write everywhere, and no other user can reach this Python (or there is no setpriv)")
    gateway.launcher = [*as_other, *gateway.launcher]


@pytest.mark.parametrize("place", ["downloads", "blobs", "records", "secret"])
def test_something_odd_in_the_store_defers(gateway: Gateway, place: str) -> None:
    """A file where a directory should be, or the other way round, defers."""
    if place == "secret":
        (gateway.store / place).mkdir()
    else:
        (gateway.store / place).write_bytes(b"x")
    deferred(gateway.pipe(BIG))
    assert gateway.calls == []


def test_a_reason_opens_no_download(gateway: Gateway) -> None:
    """A reason is mailed to the envelope sender: an id in a path is cut."""
    delivered(gateway.pipe(BIG))
    (download,) = (gateway.store / "downloads").glob("*/")
    shutil.rmtree(download)
    download.write_bytes(b"")
    reason = deferred(gateway.pipe(BIG))
    assert download.name not in reason
    assert download.name not in gateway.log.read_text()
    assert download.name[:8] in reason


def test_no_room_passes_untouched(gateway: Gateway) -> None:
    """Without room for the file the message passes with its attachment, and the log has an error."""
    gateway.configure(store='min_free = "1000 TiB"')
    assert delivered(gateway.pipe(BIG)) == "passed (no room in the store)"
    assert gateway.sent == BIG
    assert '"level": "error"' in gateway.log.read_text()


def test_no_room_for_the_original_passes_untouched(gateway: Gateway) -> None:
    """Without room for the original a message of the null sender keeps its attachments."""
    gateway.configure(store='min_free = "1000 TiB"')
    delivered(gateway.pipe(ATTACHED, sender=""))
    assert gateway.sent == ATTACHED


# --- Not sent: reinjection


@pytest.mark.parametrize("status", [1, 64, 65, 69, 70, 75, 77, 127, 255])
def test_sendmail_fails(gateway: Gateway, status: int) -> None:
    """Whatever exit status sendmail has, ours is 75, and its words are the reason."""
    gateway.stub(f"echo 'sendmail: fatal: no' >&2; exit {status}")
    reason = deferred(gateway.pipe(PLAIN))
    assert f"exited with {status}" in reason
    assert "sendmail: fatal: no" in reason


def test_sendmail_is_killed(gateway: Gateway) -> None:
    """A sendmail that dies by a signal defers."""
    gateway.stub("kill -KILL $$")
    assert "signal 9" in deferred(gateway.pipe(PLAIN))


def test_sendmail_hangs(gateway: Gateway) -> None:
    """A sendmail that hangs is killed after its time limits, with all that it started."""
    gateway.configure(reinject='timeout = "1s"\ndata_done_timeout = "1s"')
    gateway.stub(f"sleep 61 & echo $! > {gateway.root}/child; wait")
    began = time.monotonic()
    assert "longer than 2 s" in deferred(gateway.pipe(PLAIN))
    assert time.monotonic() - began < 10
    child = int((gateway.root / "child").read_text())
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{child}/exe") and time.monotonic() < end:
        time.sleep(0.02)
    with pytest.raises(OSError, match="No such"):
        os.readlink(f"/proc/{child}/exe")


def test_a_sendmail_that_reads_nothing_hangs(gateway: Gateway) -> None:
    """What has not read the message can't have queued it, and has the short limit."""
    gateway.configure(reinject='timeout = "1s"\ndata_done_timeout = "60s"')
    gateway.stub("", before="exec sleep 61")
    assert "longer than 1 s" in deferred(gateway.pipe(PLAIN, seconds=20))


def test_a_sendmail_that_is_slow(gateway: Gateway) -> None:
    """A sendmail that has read all may have queued it: it is waited for, or the message would go out twice."""
    gateway.configure(reinject='timeout = "1s"\ndata_done_timeout = "60s"')
    gateway.stub("sleep 1.5")
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"


def test_a_slow_answer_to_the_final_dot(gateway: Gateway) -> None:
    """A server that needs longer than the time limit for its last answer is believed: the message went out once."""
    server = Server()
    server.dot_delay = 7  # over timeout and what the alarm leaves it
    limits = 'timeout = "1s"\ndata_done_timeout = "60s"'
    gateway.configure(policy='deadline = "3s"', reinject=f'method = "smtp"\nsmtp = "{server.address}"\n{limits}')
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"
    server.stop()
    assert server.verbs[-1] == b"QUIT"


def test_a_final_dot_that_is_never_answered(gateway: Gateway) -> None:
    """After its own time limit, and no earlier, the message is kept."""
    server = Server({b".": b"silence"})
    limits = 'timeout = "1s"\ndata_done_timeout = "2s"'
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"\n{limits}')
    began = time.monotonic()
    assert "did not answer the end of data within 2 s" in deferred(gateway.pipe(PLAIN))
    assert time.monotonic() - began >= 2
    server.stop()


@pytest.mark.parametrize("how", ["missing", "not executable", "directory"])
def test_sendmail_is_not_there(gateway: Gateway, how: str) -> None:
    """A sendmail that can't be started defers, and is named."""
    gateway.sendmail.unlink()
    if how == "not executable":
        gateway.sendmail.write_text("#!/bin/sh\n")
    elif how == "directory":
        gateway.sendmail.mkdir()
    assert str(gateway.sendmail) in deferred(gateway.pipe(PLAIN))


def test_a_reason_is_one_printable_line(gateway: Gateway) -> None:
    """What a child says is not mailed to the sender in many lines, nor with controls."""
    gateway.stub("printf 'one\\ntwo\\033[31m\\001'; head -c 100000 /dev/zero | tr '\\0' x; exit 1")
    reason = deferred(gateway.pipe(PLAIN))
    assert reason.isprintable()
    assert "one two" in reason


def test_nobody_listens_for_smtp(gateway: Gateway) -> None:
    """Without the smtpd that takes results the message is kept."""
    gateway.configure(reinject='method = "smtp"\nsmtp = "127.0.0.1:1"')
    assert "127.0.0.1:1" in deferred(gateway.pipe(PLAIN))


def test_smtp_takes_it(gateway: Gateway) -> None:
    """With SMTP the message goes to the server, and nobody calls sendmail."""
    server = Server()
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"
    server.stop()
    assert server.data == support.crlf(PLAIN)
    assert gateway.calls == []


def test_smtp_refuses(gateway: Gateway) -> None:
    """A refusal, even for good, keeps the message: a broken relay must not bounce a company's mail."""
    server = Server({b"RCPT": b"550 5.7.1 relay access denied"})
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    assert "550" in deferred(gateway.pipe(PLAIN))
    server.stop()


def test_smtp_refuses_all_recipients_for_their_addresses(gateway: Gateway) -> None:
    """Postfix bounces, as it would have without us: exit 69, with the server's status in front."""
    server = Server({b"RCPT": b"501 5.1.3 Bad recipient address syntax"})
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    ended = gateway.pipe(PLAIN)
    assert (ended.status, ended.stderr) == (69, b"")
    assert ended.line.startswith("5.1.3 pfilter: ")
    assert "501 5.1.3 Bad recipient address syntax" in ended.line
    server.stop()


def refusing_one(gateway: Gateway, sender: str, report: bytes = b"250 ok") -> "tuple[Ended, Server]":
    """Send a message whose second recipient is refused, to a server with that reply to the report's recipient."""
    bad = b"501 5.1.3 Bad recipient address syntax"
    replies = {b"RCPT TO:<-evil@example.net>": bad, b"RCPT TO:<sender@example.org>": report}
    server = Server(replies, sessions=2 if sender else 1)
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    ended = gateway.pipe(PLAIN, sender=sender, recipients=("reader@example.net", "-evil@example.net"))
    server.stop()
    return ended, server


def test_one_recipient_refused_for_the_address(gateway: Gateway) -> None:
    """The others get the message; its sender gets a report from the null sender, and the line says it."""
    ended, server = refusing_one(gateway, "sender@example.org")
    assert delivered(ended) == "passed (no attachments); 1 of 2 recipients refused"
    message, _, report = server.data.partition(b"From: MAILER-DAEMON@mx.example.org")
    assert message == support.crlf(PLAIN)
    assert b"Final-Recipient: rfc822; -evil@example.net" in report
    assert [line.split()[1] for line in server.commands if line.startswith(b"MAIL")] == [
        b"FROM:<sender@example.org>",
        b"FROM:<>",
    ]
    assert '"event": "recipient refused"' in gateway.log.read_text()


def test_a_report_that_can_not_be_sent(gateway: Gateway) -> None:
    """The message is out: that its sender could not be told is an error in the log, with the number of recipients."""
    ended, _ = refusing_one(gateway, "sender@example.org", b"450 later")
    delivered(ended)
    (line,) = [line for line in gateway.log.read_text().splitlines() if "refusal not reported" in line]
    assert '"level": "error"' in line
    assert '"recipients": 1' in line


def test_nobody_is_told_of_mail_from_the_null_sender(gateway: Gateway) -> None:
    """A report about a report would never end: the log has it."""
    ended, server = refusing_one(gateway, "")
    assert delivered(ended) == "passed (no attachments); 1 of 2 recipients refused"
    assert server.data == support.crlf(PLAIN)
    assert '"event": "recipient refused"' in gateway.log.read_text()


# --- Not sent: time, signals, loops


def test_the_deadline_passes_while_reading(gateway: Gateway) -> None:
    """A message whose end does not come is given up at the deadline, and nothing is sent."""
    gateway.configure(policy='deadline = "2s"', reinject='timeout = "1s"')
    ended = unfinished(gateway, None)
    assert "deadline" in deferred(ended)
    assert gateway.calls == []


def test_sigterm_while_reading(gateway: Gateway) -> None:
    """Stopped while it reads, it sends nothing and keeps the message."""
    ended = unfinished(gateway, signal.SIGTERM)
    assert "SIGTERM" in deferred(ended)
    assert gateway.calls == []


def wait_until_read(pipe: IO[bytes]) -> None:
    """Wait until nothing is left in a pipe: who reads has begun, and what it sets up before that is there."""
    end = time.monotonic() + 20
    while fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) != bytes(4):
        assert time.monotonic() < end
        time.sleep(0.001)


def unfinished(gateway: Gateway, number: "signal.Signals | None") -> Ended:
    """Send half a message and leave the pipe open; signal the process then."""
    with subprocess.Popen(
        [*gateway.launcher, *gateway.argv()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=gateway.environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(PLAIN)
        process.stdin.flush()
        if number:
            wait_until_read(process.stdin)
            process.send_signal(number)
        stdout, stderr = process.stdout.read(), process.stderr.read()
        process.wait(20)
    return Ended(process.returncode, stdout, stderr)


def test_too_little_time_for_reinjection(gateway: Gateway) -> None:
    """Reinjection starts only if its own time limit fits before the deadline."""
    gateway.configure(policy='deadline = "3s"', reinject='timeout = "2s"')
    with subprocess.Popen(
        [*gateway.launcher, *gateway.argv()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=gateway.environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(PLAIN)
        process.stdin.flush()
        time.sleep(1.5)
        process.stdin.close()
        said = process.stdout.read()
    assert process.returncode == 75
    assert b"no time left for reinjection" in said
    assert gateway.calls == []


def test_a_parent_that_is_gone(gateway: Gateway) -> None:
    """Killed with pipe(8), stdin ends early: what came so far is not sent as if it were the message."""
    command = [*gateway.launcher, *gateway.argv()]
    code = (
        "import os, sys, time\n"
        "reader, writer = os.pipe()\n"
        "middle = os.fork()\n"
        "if middle == 0:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os.dup2(reader, 0); os.close(writer)\n"
        "        out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600); os.dup2(out, 1)\n"
        "        os.execv(sys.argv[2], sys.argv[2:])\n"
        "    time.sleep(1); os._exit(0)\n"
        "os.close(reader)\n"
        "os.waitpid(middle, 0)\n"
        "os.write(writer, b'Subject: half a mess'); os.close(writer)\n"
    )
    said = gateway.root / "said"
    subprocess.run([sys.executable, "-c", code, str(said), *command], check=True, env=gateway.environment)
    end = time.monotonic() + 10
    while not said.read_bytes() and time.monotonic() < end:
        time.sleep(0.05)
    assert said.read_bytes().startswith(b"4.3.0 pfilter: the process that handed the message over is gone")
    assert gateway.calls == []


def test_a_loop(gateway: Gateway) -> None:
    """A message that we ourselves have just reinjected means that the wiring loops: it is kept, and that is said."""
    looped = b"Received: by mx (Postfix, from userid %d)\n\tid 4F2A; now\n" % os.getuid() + PLAIN
    assert "loop" in deferred(gateway.pipe(looped))
    assert gateway.calls == []


def by_smtp(gateway: Gateway, server: str) -> bytes:
    """Make the way back SMTP; return the Received field that smtpd writes for what comes by it."""
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server}"')
    name = own_name(server)
    return b"Received: from %s (unknown [127.0.0.1])\n\tby mx (Postfix) with ESMTP id 4F2A; now\n" % name


def test_a_loop_by_smtp(gateway: Gateway) -> None:
    """What has just come back by SMTP is kept, and the service of master.cf that is wrong is named."""
    looped = by_smtp(gateway, "127.0.0.1:1") + PLAIN
    reason = deferred(gateway.pipe(looped))
    assert "loop: this message has just been reinjected" in reason
    assert "127.0.0.1:1 goes to the filter: set -o content_filter= there" in reason
    assert "postsuper -r" in reason


def test_what_only_looks_like_a_loop_by_smtp(gateway: Gateway) -> None:
    """An older hop of ours, another gateway's or another pfilter's hop, and a stranger with our name are no loops."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(5):
            server = Server()
            stack.callback(server.stop)
            made.append(server)
        ours = [by_smtp(gateway, server.address) for server in made]
        other = b"Received: from client.example.org (unknown [192.0.2.1])\n\tby mx (Postfix) id 4F2A; now\n"
        looks = [
            other + ours[0],
            ours[1].replace(b".", b".another-", 1),
            ours[2].replace(b"127.0.0.1]", b"192.0.2.1]"),
            by_smtp(gateway, "127.0.0.1:1"),
            ours[4].replace(b"from ", b"by "),
        ]
        for server, field in zip(made, looks, strict=True):
            by_smtp(gateway, server.address)
            assert delivered(gateway.pipe(field + PLAIN)) == "passed (no attachments)"


def test_what_only_looks_like_a_loop(gateway: Gateway) -> None:
    """An older hop of ours, another user's mail, or such a text in the body is no loop."""
    other = b"Received: by mx (Postfix, from userid 99999)\n\tid 4F2A; now\n"
    ours = b"Received: by mx (Postfix, from userid %d)\n\tid 4F2A; now\n" % os.getuid()
    claimed = b"Received: from from userid %d) (unknown [192.0.2.1])\n\tby mx (Postfix) id 4F2A; now\n" % os.getuid()
    for data in (other + PLAIN, other + ours + PLAIN, PLAIN + ours, claimed + PLAIN):
        assert delivered(gateway.pipe(data)) == "passed (no attachments)"
    assert len(gateway.calls) == 4


LONG_NOTICE = f'contact = "https://help.example.org/{"x" * 60}"'  # so that the result is larger, whatever day it is


def test_a_result_over_the_size_limit(gateway: Gateway) -> None:
    """If the result became too large for Postfix the original goes."""
    gateway.configure(link=SMALL_LIMITS, reinject="max_size = 390", notice=LONG_NOTICE)
    tiny = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 11)))
    assert "size limit" in delivered(gateway.pipe(tiny))
    assert gateway.sent == tiny


def test_a_stripped_result_over_the_size_limit(gateway: Gateway) -> None:
    """A stripped message that became too large is kept: its original must not go."""
    gateway.configure(reinject="max_size = 390")
    tiny = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 20)))
    assert "size limit" in deferred(gateway.pipe(tiny, sender=""))
    assert gateway.calls == []


def test_the_size_limit_is_asked_from_postfix(gateway: Gateway) -> None:
    """Without max_size postconf, beside sendmail, says what Postfix takes; only where the result is larger."""
    postconf = gateway.root / "postconf"
    postconf.write_text(f"#!/bin/sh\necho asked >> {gateway.root}/asked\necho warning: odd >&2\necho 390\n")
    postconf.chmod(0o755)
    gateway.configure(link=SMALL_LIMITS, notice=LONG_NOTICE)
    tiny = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x" * 11)))
    assert "size limit" in delivered(gateway.pipe(tiny))
    delivered(gateway.pipe(BIG))
    assert (gateway.root / "asked").read_text() == "asked\n"


# --- Not sent: a broken installation


def installed_gateway(installed: Path, tmp_path: Path, *, copied: bool) -> tuple[Gateway, Path]:
    """Return a gateway that runs the installed script, or a copy of the installation that can be broken."""
    venv = installed
    if copied:
        venv = tmp_path / "venv"
        shutil.copytree(installed, venv, symlinks=True)
    script = [str(venv / "bin" / "pfilter-pipe")]
    (tmp_path / "gateway").mkdir()
    gateway = Gateway(tmp_path / "gateway")
    gateway.launcher = [str(venv / "bin" / "python"), *script] if copied else script
    gateway.environment.pop("PYTHONPATH")
    return gateway, next((venv / "lib").glob("python3*")) / "site-packages"


def test_the_installed_script(installed: Path, tmp_path: Path) -> None:
    """The script that pip installs takes messages through."""
    gateway, _ = installed_gateway(installed, tmp_path, copied=False)
    assert delivered(gateway.pipe(BIG)).startswith("1 linked")


def test_the_installed_script_without_site(installed: Path, tmp_path: Path) -> None:
    """With `python -I -S` in master.cf's argv it finds its package all the same."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=False)
    python, script = str(installed / "bin" / "python"), gateway.launcher[0]
    gateway.launcher = [python, "-I", "-S", script]
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"
    assert packages.is_dir()


@pytest.mark.parametrize("damage", ["removed", "empty", "syntax", "nul", "no main", "module missing"])
def test_a_broken_package(installed: Path, tmp_path: Path, damage: str) -> None:
    """Whatever a bad upgrade left of the package, the message is kept."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    for cache in packages.glob("pfilter/**/__pycache__"):
        shutil.rmtree(cache)
    package = packages / "pfilter"
    if damage == "removed":
        shutil.rmtree(package)
    elif damage == "module missing":
        (package / "pipeline.py").unlink()
    else:
        text = {"empty": "", "syntax": "def (", "nul": "\0", "no main": "x = 1\n"}[damage]
        (package / "pipe.py").write_text(text)
    deferred(gateway.pipe(BIG))
    assert gateway.calls == []


def test_a_package_that_talks(installed: Path, tmp_path: Path) -> None:
    """What a module prints, on stdout or stderr, never reaches Postfix."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    with (packages / "pfilter" / "pipe.py").open("a") as stream:
        stream.write("\nimport sys\nprint('noise', flush=True)\nprint('5.7.1 noise', file=sys.stderr, flush=True)\n")
    assert delivered(gateway.pipe(PLAIN)) == "passed (no attachments)"


UNSPEAKABLE = """

class Unspeakable(Exception):
    def __str__(self):
        raise MemoryError

def main(*arguments):
    raise Unspeakable
"""


def test_an_error_that_can_not_be_told(installed: Path, tmp_path: Path) -> None:
    """Where there is no memory left to say what happened, the message is kept all the same."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    with (packages / "pfilter" / "pipe.py").open("a") as stream:
        stream.write(UNSPEAKABLE)
    ended = gateway.pipe(PLAIN)
    assert (ended.status, ended.stdout, ended.stderr) == (75, b"", b"")
    assert gateway.calls == []


@pytest.mark.parametrize("step", ["sentence", "without_tokens"])
def test_an_error_after_delivery_that_can_not_be_told(installed: Path, tmp_path: Path, step: str) -> None:
    """What is sent is sent, even where the log can't be told what failed afterwards."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    fails = f"def fails(*_):\n    raise MemoryError\n\n{step} = fails\n"
    with (packages / "pfilter" / "base" / "text.py").open("a") as stream:
        stream.write(f"\n\n{fails}")
    with (packages / "pfilter" / "events.py").open("a") as stream:
        stream.write("\n\ndef tell(*_, **__):\n    raise RuntimeError('after delivery')\n")
    assert gateway.pipe(BIG).status == 0
    assert len(gateway.calls) == 1


@pytest.mark.parametrize("module", ["minijinja", "config/load", "message/model", "rewriting/execute", "base/child"])
def test_a_missing_dependency(installed: Path, tmp_path: Path, module: str) -> None:
    """A dependency that is gone, or a module that fails at its import, keeps the message."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    for cache in packages.glob("pfilter/**/__pycache__"):
        shutil.rmtree(cache)
    broken = packages / ("minijinja.py" if module == "minijinja" else f"pfilter/{module}.py")
    broken.write_text("raise ImportError('gone')\n")
    deferred(gateway.pipe(BIG))
    assert gateway.calls == []


def test_a_missing_structlog_does_not_stop_mail(installed: Path, tmp_path: Path) -> None:
    """Without structlog events are lost, messages are not."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    (packages / "structlog.py").write_text("raise ImportError('gone')\n")
    assert delivered(gateway.pipe(BIG)).startswith("1 linked")


# --- The log


def test_no_token_is_logged(gateway: Gateway) -> None:
    """No line of the log opens a download: ids are cut, and there is no link."""
    delivered(gateway.pipe(BIG))
    (url,) = set(support.addresses(support.text_of(support.leaves(support.parsed(gateway.sent))[0])))
    token = url.removeprefix(BASE_URL).strip("/")
    assert token not in gateway.log.read_text()
    assert token[:8] in gateway.log.read_text()


def test_a_failure_is_logged_with_its_queue_id(gateway: Gateway) -> None:
    """What was not sent is an error in the log."""
    gateway.stub("exit 1")
    deferred(gateway.pipe(PLAIN))
    text = gateway.log.read_text()
    assert '"level": "error"' in text
    assert "4F2A" in text


@pytest.mark.parametrize("own", ["straße.example", "xn--strae-oqa.example"])
@pytest.mark.parametrize("sender", ["a@straße.example", "a@xn--strae-oqa.example", "a@STRAßE.example"])
def test_a_domain_in_another_script(gateway: Gateway, own: str, sender: str) -> None:
    """As Postfix hands them over, with or without SMTPUTF8, both forms of our domain are ours, kept or read anew."""
    gateway.configure(policy=f'own_domains = ["{own}"]')
    for _ in range(2):
        assert delivered(gateway.pipe(BIG, gateway.argv(sender))).startswith("1 linked")
    assert delivered(gateway.pipe(BIG, gateway.argv("a@strasse.example"))) == "passed (not our sender)"


# --- No memory once the message is sent

WITHOUT_MEMORY = """
import os, runpy, sys

number, method, count, launcher, sys.argv = int(sys.argv[1]), *sys.argv[2:5], sys.argv[4:]
seen = -1  # calls since it is known that the message was taken


def is_known(frame):
    code = frame.f_code
    if method == "smtp":
        return code.co_name == "expect" and frame.f_locals["what"] == "end of data"
    return code.co_name == "_status"


def profile(frame, event, argument):
    global seen
    if seen < 0:
        seen = 0 if event == "return" and is_known(frame) else -1
    elif getattr(argument, "__name__", "") == "_exit":
        sys.setprofile(None)
        with open(count, "w") as stream:
            stream.write(str(seen))
    elif event in ("call", "c_call"):
        seen += 1
        if seen == number:
            raise MemoryError


sys.setprofile(profile)
runpy.run_path(launcher, run_name="__main__")
"""


@pytest.mark.parametrize("method", ["sendmail", "smtp"])
def test_no_memory_after_delivery(gateway: Gateway, method: str) -> None:
    """Each call after the message was taken, of Python or of C, fails for lack of memory: the exit status is 0."""
    count = gateway.root / "count"
    gateway.launcher = [sys.executable, "-P", "-c", WITHOUT_MEMORY, "0", method, str(count), str(support.LAUNCHER)]
    gateway.environment.pop(support.MEASURED, None)  # coverage would call functions, too
    for number in itertools.count():
        server = Server()
        smtp = f'smtp = "{server.address}"\n' if method == "smtp" else ""
        gateway.configure(reinject=f'method = "{method}"\n{smtp}', log='level = "info"')
        gateway.launcher[4] = str(number)
        ended = gateway.pipe(PLAIN)
        assert (ended.status, ended.stderr) == (0, b""), (number, ended)
        if method == "smtp":
            server.stop()
        if number == 0:
            assert ended.stdout == b"passed (no attachments)\n"
            calls = int(count.read_text())
            assert calls > 10
        if number > calls:
            break


AMBIGUOUS = b"Received: by mx\nContent-Type: text/plain\nContent-Type: text/html\n\nwhich?\n"


@pytest.mark.parametrize("broken", ["no template engine", "a template that calls wrongly"])
def test_a_message_in_quarantine_is_not_put_off(installed: Path, tmp_path: Path, broken: str) -> None:
    """It is kept: whatever goes wrong with the mail to the administrator, Postfix does not try it again."""
    gateway, packages = installed_gateway(installed, tmp_path, copied=True)
    folder = tmp_path / "templates"
    folder.mkdir()
    if broken == "no template engine":
        (packages / "minijinja.py").write_text("raise ImportError('gone')\n")
    else:
        (folder / "quarantined.txt").write_text('{{ ngettext("one message", "messages") }}')
    gateway.configure(
        policy='ambiguous = "quarantine"', notify='admin = "root@example.org"', notice=f'templates = "{folder}"'
    )
    assert delivered(gateway.pipe(AMBIGUOUS)).startswith("quarantined")
    assert gateway.calls == []
    assert len(list((gateway.store / "quarantine").glob("*.eml"))) == 1
    assert "administrator not notified" in gateway.log.read_text()


def test_a_message_on_its_way_finishes_with_the_old_version(installed: Path, tmp_path: Path) -> None:
    """Once it has begun, an upgrade that renames the link gives it nothing of the new version (pfilter-gateway(7))."""
    gateway, _ = installed_gateway(installed, tmp_path, copied=False)
    versions = [tmp_path / "1", tmp_path / "2"]
    for version in versions:
        shutil.copytree(installed, version, symlinks=True)
    mark = tmp_path / "new"
    for module in versions[1].glob("lib/python3*/site-packages/pfilter/**/*.py"):
        with module.open("a") as stream:
            stream.write(f"\nopen({str(mark)!r}, 'a').write(__name__ + ' ')\n")
    others = (versions[0] / "lib").glob("python3*/site-packages/others.pth")
    environment = {**gateway.environment, "PYTHONPATH": next(others).read_text().strip()}
    current = tmp_path / "current"
    current.symlink_to(versions[0])
    command = [
        str(versions[0] / "bin" / "python"),
        "-S",
        str(current / "bin" / "pfilter-pipe"),
        *gateway.argv(data=BIG),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin
        process.stdin.write(BIG[:1000])
        process.stdin.flush()
        wait_until_read(process.stdin)
        current.unlink()
        current.symlink_to(versions[1])
        out, _ = process.communicate(BIG[1000:] + b"\n", timeout=30)
    assert (process.returncode, out.startswith(b"1 linked")) == (0, True)
    assert not mark.exists(), mark.read_text()
