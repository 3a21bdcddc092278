"""The way back to Postfix fails, in any layout: the message waits, and goes out once when it works again."""

import contextlib
import os
import shlex
import signal
from collections.abc import Callable

import pytest

from tests.e2e import mails
from tests.e2e.conftest import only
from tests.e2e.faults import configured, goes_out_once, stub
from tests.e2e.rig import Gate, wait
from tests.e2e.server import Replies, serving

SENDMAIL = {
    "fails": ("cat >/dev/null; echo 'no thanks' >&2; exit 1", "exited with 1: no thanks"),
    "fails unread": ("exit 75", "exited with 75"),
    "is killed": ("kill -9 $$", "was killed by signal 9"),
    "hangs": ("exec sleep 600", "took longer than 1 s"),
    "hangs when it has read all": ("cat >/dev/null; exec sleep 600", "took longer than 2 s"),
    "hangs with a child that talks": ("yes & wait", "took longer than 1 s"),
    "talks much and fails": ("yes | head -c 100000; exit 1", "exited with 1"),
    "is no program": (None, ""),
}


@only("sendmail")
@pytest.mark.parametrize("name", SENDMAIL)
def test_sendmail(gate: Gate, name: str) -> None:
    script, says = SENDMAIL[name]
    path = stub(gate, script) if script else gate.root / "nothing"
    gate.configure(reinject={"sendmail": str(path), "timeout": "1s", "data_done_timeout": "1s"})
    queue_id = gate.send(mails.letter(mails.film()))
    line = gate.waits_in_queue(queue_id, says)
    assert str(path) in line
    assert gate.instance.processes("yes") == []
    gate.configure()
    goes_out_once(gate)


def code(number: int) -> Callable[[str], str]:
    """Refuse one of the recipients."""
    return lambda line: f"{number} {number // 100}.2.0 not this one" if "<b@" in line else "250 ok"


SMTP: dict[str, tuple[Replies, str]] = {
    "sender refused": ({"MAIL": "553 5.1.8 not you"}, "refused MAIL FROM: 553"),
    "data refused": ({"DATA": "554 5.5.1 no"}, "refused DATA: 554"),
    "message refused": ({".": "552 5.3.4 too big"}, "refused end of data: 552"),
    "message put off": ({".": "451 4.3.0 later"}, "refused end of data: 451"),
    "closes after the data": ({".": None}, "closed the connection"),
    "closes at once": ({"": None}, "closed the connection"),
    "busy": ({"": "421 4.3.2 busy"}, "refused greeting: 421"),
    "talks nonsense": ({"": "HTTP/1.1 400 Bad Request"}, "not a reply"),
    "hangs at the greeting": ({"": "wait"}, ""),
    "hangs after the data": ({".": "wait"}, "did not answer the end of data within 1 s"),
}


@only("smtp", "lmtp")
@pytest.mark.parametrize("name", SMTP)
def test_smtp(gate: Gate, name: str) -> None:
    replies, says = SMTP[name]
    with serving(replies) as server:
        limits = {"timeout": "1s", "data_done_timeout": "1s"}
        gate.configure(reinject={"smtp": f"127.0.0.1:{server.port}", **limits})
        queue_id = gate.send(mails.letter(mails.film()), recipients=("a@example.net", "b@example.net"))
        line = gate.waits_in_queue(queue_id, says)
        assert "SMTP server" in line
        gate.configure()
    goes_out_once(gate, ("a@example.net", "b@example.net"))


@only("smtp")
@pytest.mark.parametrize("number", [450, 550])
def test_smtp_refuses_one_recipient(gate: Gate, number: int) -> None:
    """Nobody gets it, since there is one exit status for all."""
    with serving({"RCPT": code(number)}) as server:
        gate.configure(reinject={"smtp": f"127.0.0.1:{server.port}"})
        queue_id = gate.send(mails.letter(mails.film()), recipients=("a@example.net", "b@example.net"))
        gate.waits_in_queue(queue_id, f"SMTP server refused RCPT TO: {number}")
        assert "RSET" in server.lines
        assert "DATA" not in server.lines
        gate.configure()
    goes_out_once(gate, ("a@example.net", "b@example.net"))


@only("lmtp")
@pytest.mark.parametrize("number", [450, 550])
def test_smtp_refuses_one_recipient_who_waits_alone(gate: Gate, number: int) -> None:
    """The others have it, and he gets it once, when he is no longer refused."""
    with serving({"RCPT": code(number)}) as server:
        gate.configure(reinject={"smtp": f"127.0.0.1:{server.port}"})
        queue_id = gate.send(mails.letter(mails.film()), recipients=("a@example.net", "b@example.net"))
        line = gate.waits_in_queue(queue_id, f"SMTP server refused the recipient: {number}")
        assert "to=<b@example.net>" in line
        assert "dsn=4.2.0" in line
        assert any("to=<a@example.net>" in sent and "dsn=2.0.0" in sent for sent in gate.filter_lines(queue_id))
        gate.configure()
    goes_out_once(gate, ("b@example.net",))


@only("smtp", "lmtp")
def test_smtp_port_closed(gate: Gate) -> None:
    with serving({}) as server:
        closed = server.port
    gate.configure(reinject={"smtp": f"127.0.0.1:{closed}"})
    queue_id = gate.send(mails.letter(mails.film()))
    gate.waits_in_queue(queue_id, f"SMTP server 127.0.0.1:{closed}: Connection refused")
    gate.configure()
    goes_out_once(gate)


def test_other_recipients_of_a_failing_message_get_it_once(gate: Gate) -> None:
    """All or none: nobody gets a second copy because somebody else's was refused."""
    recipients = tuple(f"r{number}@example{number}.net" for number in range(20))
    with configured(gate, reinject={"sendmail": "/nonexistent", "smtp": "127.0.0.1:9"}):
        queue_id = gate.send(mails.letter(mails.film()), recipients=recipients)
        gate.waits_in_queue(queue_id, "pfilter: ")
    goes_out_once(gate, recipients)


@only("sendmail")
def test_killed_while_sendmail_hangs(gate: Gate) -> None:
    path = stub(gate, f": {shlex.quote(str(gate.root))}; exec sleep 600")
    gate.configure(reinject={"sendmail": str(path)})
    queue_id = gate.send(mails.letter(mails.film()))
    sleeping = wait(lambda: gate.instance.processes("sleep\x00600"), "sendmail")
    (victim,) = gate.instance.processes("pfilter-pipe\0--config")
    gate.configure()
    os.kill(victim, signal.SIGKILL)
    wait(lambda: any("signal 9" in line for line in gate.filter_lines(queue_id)), "pipe(8) to notice")
    goes_out_once(gate)
    for pid in sleeping:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
