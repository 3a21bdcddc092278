"""Killed, stopped, out of time at each stage of the way of a message: nothing is lost, doubled or cut short."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.conftest import PIPES, only
from tests.e2e.faults import goes_out_once
from tests.e2e.rig import SENDER, Gate, wait
from tests.e2e.stages import BEFORE_REINJECTION, Stages, parent, recipient

LOST = {"lmtp": "lost connection", "sendmail": "signal 9", "smtp": "signal 9"}  # what Postfix says of a kill


def uptime() -> float:
    """Return a clock in seconds."""
    return float(Path("/proc/uptime").read_text().split()[0])


def sent_to(gate: Gate, names: tuple[str, ...]) -> dict[str, str]:
    """Send a message for each stage; return the queue ids."""
    return {stage: gate.send(mails.letter(mails.film()), recipients=[recipient(stage)]) for stage in names}


def is_called(pid: int, name: bytes) -> bool:
    """Whether a process is the program of Postfix's of that name."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name + b"\0")


def all_go_out_once(gate: Gate, names: tuple[str, ...]) -> None:
    """Each was delivered once, with a link of its own that works."""
    gate.retry()
    arrived = {one.recipients[0]: one for one in gate.at_sink() if one.sender == SENDER}
    assert sorted(arrived) == sorted(f"<{recipient(stage)}>" for stage in names)
    assert len([one for one in gate.at_sink() if one.sender == SENDER]) == len(names)
    for one in arrived.values():
        assert gate.linked(one) == {"film.mp4": mails.FILM}
    assert len(gate.records) == len(names)
    assert len(gate.blobs) == 1
    assert len([one for one in gate.at_sink() if one.sender == ""]) == len(names)


def test_deadline_at_each_stage(gate: Gate, stages: Stages) -> None:
    gate.instance.use(stages.venv.path)
    gate.configure(policy={"deadline": "2s"}, reinject={"timeout": "1s"})
    stages.stop()
    ids = sent_to(gate, BEFORE_REINJECTION)
    for stage, queue_id in ids.items():
        stages.reached(stage)
        # Who is still sending a message does not hear what is said meanwhile.
        deaf = gate.layout == "lmtp" and stage == "receive"
        gate.waits_in_queue(queue_id, "" if deaf else "pfilter: the deadline for one message has passed")
    gate.configure()
    stages.go()
    all_go_out_once(gate, BEFORE_REINJECTION)


def test_no_time_left_for_reinjection(gate: Gate, stages: Stages) -> None:
    """It starts only if its own limit fits before the deadline."""
    gate.instance.use(stages.venv.path)
    gate.configure(policy={"deadline": "21s"}, reinject={"timeout": "20s"})
    stages.stop()
    queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("edit")])
    stages.reached("edit")
    began = uptime()
    wait(lambda: uptime() > began + 1.5, "more than a second to pass")
    stages.go()
    gate.waits_in_queue(queue_id, "no time left for reinjection before the deadline; nothing was sent")
    gate.configure()
    goes_out_once(gate, (recipient("edit"),))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV])
def test_killed_at_each_stage(gate: Gate, stages: Stages, number: signal.Signals) -> None:
    gate.instance.use(stages.venv.path)
    stages.stop()
    names = (*BEFORE_REINJECTION, "reinject")
    # A reinjection is not to be interrupted in the middle, by what can be ignored.
    ignored = number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    killed = BEFORE_REINJECTION if ignored else names
    ids = sent_to(gate, names)
    pids = {stage: stages.reached(stage) for stage in names}
    for pid in pids.values():
        os.kill(pid, number)
    for stage in killed:
        gate.waits_in_queue(ids[stage], "status=deferred")
    stages.go()
    all_go_out_once(gate, names)
    for stage in set(names) - set(killed):
        assert all("status=sent" in line for line in gate.filter_lines(ids[stage]))


def test_postfix_dies_at_each_stage(gate: Gate, stages: Stages) -> None:
    """Without pipe(8) nobody hears the exit status, nor a reply without lmtp(8): what is not sent yet is not sent.

    The next attempt does it.
    """
    gate.instance.use(stages.venv.path)
    stages.stop()
    names = BEFORE_REINJECTION
    sent_to(gate, names)
    pids = {stage: stages.reached(stage) for stage in names}
    if gate.layout == "lmtp":
        clients = [pid for pid in gate.instance.processes("lmtp\0") if is_called(pid, b"lmtp")]
        assert len(clients) >= len(names)
    else:
        clients = [parent(pid) for pid in pids.values()]
        assert all(is_called(pid, b"pipe") for pid in clients)
    for client in clients:
        os.kill(client, signal.SIGKILL)
    wait(lambda: not any(Path(f"/proc/{client}").exists() for client in clients), "pipe(8) or lmtp(8) to be gone")
    for stage in names:
        (stages.folder / stage).unlink()
    stages.go()
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids.values()), "the orphans to end")
    all_go_out_once(gate, names)
    reasons = [event["reason"] for event in gate.events("failed")]
    refused = [reason for reason in reasons if "that handed the message over is gone" in reason]
    assert len(refused) >= len(names) - 1  # at "receive" the message was cut short


@pytest.mark.parametrize("how", ["deadline", "SIGTERM", "raises", "hangs"])
def test_after_reinjection_nothing_fails(gate: Gate, stages: Stages, how: str) -> None:
    """The message is sent: whatever happens to the notification, Postfix must not send it again."""
    gate.instance.use(stages.venv.path)
    gate.configure(policy={"deadline": "2s"}, reinject={"timeout": "1s"})
    stages.stop()
    queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("notify")])
    pid = stages.reached("notify")
    if how == "SIGTERM":
        os.kill(pid, signal.SIGTERM)
    if how == "deadline":
        began = uptime()
        wait(lambda: uptime() > began + 2.2, "the deadline to pass")
    if how != "hangs":
        stages.go(broken=how == "raises")
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert all("status=sent" in line for line in gate.filter_lines(queue_id))
    assert (gate.notification() is None) == (how in ("raises", "hangs"))


@only("lmtp")
def test_killed_after_the_reply_is_no_harm(gate: Gate, stages: Stages) -> None:
    """Postfix has been told before the sender is: the message goes out once, only the notification is lost."""
    gate.instance.use(stages.venv.path)
    stages.stop()
    queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("notify")])
    pid = stages.reached("notify")
    wait(lambda: any("status=sent" in line for line in gate.filter_lines(queue_id)), "the reply")
    os.kill(pid, signal.SIGKILL)
    stages.go()
    gate.retry()
    got = gate.delivered()
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert len(gate.filter_lines(queue_id)) == 1
    assert gate.notification() is None


@only(*PIPES)
def test_killed_in_the_window_doubles_but_keeps_the_link(gate: Gate, stages: Stages) -> None:
    """Between sendmail's success and our exit lies a window that can't be closed: better twice than never."""
    gate.instance.use(stages.venv.path)
    stages.stop()
    queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("notify")])
    os.kill(stages.reached("notify"), signal.SIGKILL)
    wait(lambda: any("signal 9" in line for line in gate.filter_lines(queue_id)), "pipe(8) to notice")
    stages.go()
    gate.retry()
    first, second = (one for one in gate.at_sink() if one.sender == SENDER)
    assert gate.linked(first) == gate.linked(second) == {"film.mp4": mails.FILM}
    assert len(gate.records) == 1
    assert first.text.split("until")[0] == second.text.split("until")[0]
    assert gate.records[0]["id"] in first.text
    assert gate.records[0]["id"] in second.text


def test_retry_finds_what_is_stored(gate: Gate, stages: Stages) -> None:
    """The same link after a failed attempt, with the later date."""
    gate.instance.use(stages.venv.path)
    stages.stop()
    queue_id = gate.send(mails.letter(mails.film()), recipients=[recipient("edit")])
    pid = stages.reached("edit")
    (record,) = gate.records
    os.kill(pid, signal.SIGKILL)
    gate.waits_in_queue(queue_id, LOST[gate.layout])
    gate.configure(store={"keep": "30d"})
    stages.go()
    goes_out_once(gate, (recipient("edit"),))
    (after,) = gate.records
    assert after["id"] == record["id"]
    assert after["until"] >= record["until"] + 22 * 86400
