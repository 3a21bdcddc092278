"""What Postfix and pfilter must agree on: sizes, loops, and the net below the filter."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import mails
from tests.e2e.client import RefusedError
from tests.e2e.conftest import PIPES, Make, only
from tests.e2e.installed import Venv
from tests.e2e.rig import READER, SENDER, Gate, wait
from tests.lib.support import PROJECT, attachment, crlf, message, noise, plain


def letter_of(size: int) -> bytes:
    """Return a message of about so many octets, with a file that is smaller than a notice about it."""
    lines = "y" * 69 + "\n"
    return mails.letter(attachment(noise(30), "small.bin"), body=mails.both(lines * ((size - 1000) // len(lines))))


def test_result_over_max_size(gate: Gate) -> None:
    """A small file's link takes more room than the file: where that is too much, the original goes."""
    data = letter_of(5000)
    gate.configure(link={"part_limit": 0}, reinject={"max_size": len(data) + 300})
    queue_id = gate.send(data)
    assert gate.delivered().files == {"small.bin": noise(30)}
    assert gate.line(queue_id) == "passed (result over the size limit)"
    assert len(gate.at_sink()) == 1  # nobody is told of links that nobody got


def test_result_near_postfix_size_limit(layout: str, start: Make) -> None:
    """Postfix's limit is for the queue file: the envelope counts. Whatever the front takes comes out at the end."""
    gate = start(layout, "-o", "message_size_limit=20000")
    gate.configure(link={"part_limit": 0}, notify={"sender": False})
    sent, last = 0, ""
    with contextlib.suppress(RefusedError):
        for size in range(15_000, 20_000, 200):
            recipients = [f"reader{number}@example.net" for number in range(1 + sent % 3 * 10)]
            last = gate.send(letter_of(size), recipients=recipients)
            sent += 1
    arrived = gate.settle()
    assert len(arrived) == sent
    assert all(one.sender == SENDER for one in arrived)
    done = [event["done"] for event in gate.events("message")]
    assert any(line.startswith("1 linked") for line in done)
    assert gate.event(last)["done"] == "passed (result over the size limit)"


def test_whatever_the_front_takes_comes_out(layout: str, start: Make) -> None:
    """A message grows on its way back: one as large as the front takes fits in, one larger is refused at once."""
    gate = start(layout, "-o", "message_size_limit=200000")
    gate.configure(notify={"sender": False})
    most = 175_000
    head = mails.letter().replace(b"\n", b"\r\n").partition(b"\r\n\r\n")[0].partition(b"Content-Type")[0] + b"\r\n"
    lines = b"y" * 68 + b"\r\n"
    fitting = (head + lines * (most // len(lines)))[: most - 2] + b"\r\n"
    gate.send(fitting, recipients=[f"reader{number}@example.net" for number in range(50)], raw=True)
    assert gate.delivered().content == fitting
    with pytest.raises(RefusedError, match="552"):
        gate.send(fitting[:-2] + b"yyy\r\n", raw=True)
    assert gate.settle() == gate.at_sink()
    assert len(gate.at_sink()) == 1


def test_result_grows_where_it_may(gate: Gate) -> None:
    """The other half of the test above."""
    data = letter_of(5000)
    gate.configure(link={"part_limit": 0}, reinject={"max_size": len(data) + 2000})
    gate.send(data)
    got = gate.delivered()
    assert gate.linked(got) == {"small.bin": noise(30)}
    assert len(got.content) > len(data) + 300


def test_stripped_result_over_the_size_limit(gate: Gate) -> None:
    """Mail of the null sender must not go out with its attachments: it waits."""
    small = mails.letter(attachment(noise(30), "small.bin"))
    gate.configure(reinject={"max_size": len(small) + 100})
    queue_id = gate.send(small, sender="")
    gate.waits_in_queue(queue_id, "over the size limit")
    gate.configure()
    gate.retry()
    assert gate.delivered(sender="").files == {}
    assert len(list((gate.store / "trouble").glob("*.eml"))) == 1


def edited(gate: Gate, *command: str) -> None:
    """Run postconf on the instance, and let all of Postfix know."""
    gate.instance.run("postconf", *command)
    main_cf = gate.instance.work / "etc" / "main.cf"
    os.utime(main_cf, (os.stat(main_cf).st_mtime - 10,) * 2)
    gate.instance.run("postfix", "reload")


def recipe() -> str:
    """Return the command of pfilter-pipe(8) that frees what was found to loop."""
    text = (PROJECT / "man" / "pfilter-pipe.8").read_text(encoding="utf-8")
    block = text.partition(".Sh LOOPS")[2].partition(".Bd -literal")[2].partition("\n")[2].partition(".Ed")[0]
    return plain(block).strip()


def _to(queued: dict[str, Any]) -> str:
    return str(queued["recipients"][0]["address"])


AMBIGUOUS = message(mails.both(), "Content-Type: text/plain\n")
LOOPING = ("main.cf", "way back", "way back, local mail too")


@pytest.mark.parametrize("wrong", LOOPING)
def test_loop(layout: str, start: Make, wrong: str) -> None:
    """Where results come back to the filter, they do so once, and wait; once that is mended the recipe frees them.

    Other mail that waits for the filter is not freed with them.
    """
    if layout == "sendmail" and wrong != LOOPING[0]:
        pytest.skip("this layout has no listener for results")
    gate = start(layout, *(["--local-mail"] if wrong == LOOPING[2] else []))
    filtered = "pfilter:unix:private/pfilter-in" if layout == "lmtp" else "pfilter:dummy"
    way_back = f"127.0.0.1:{gate.instance.port + 1}/inet/content_filter"
    if wrong == LOOPING[0]:
        gate.instance.run("postconf", "-e", f"content_filter={filtered}")
        edited(gate, *(["-PX", way_back] if layout != "sendmail" else ["-h", "content_filter"]))
    else:
        edited(gate, "-P", f"{way_back}={filtered}")
    gate.send(mails.letter(mails.film()))

    def looped() -> list[str]:
        says = "loop: this message has just been reinjected"
        return [line for line in gate.instance.log().splitlines() if says in line]

    # Several attempts, and still there is one message.
    gate.trouble_expected = True
    wait(lambda: gate.instance.run("postqueue", "-f") or len(looped()) > 2, "the loop to be noticed")
    # Messages move while they are listed: one may be named twice, or not at all. The notification may be late.
    waiting = ([READER], sorted([READER, SENDER]))
    wait(lambda: sorted({one["queue_id"]: _to(one) for one in gate.queue()}.values()) in waiting, "one message each")
    assert all("status=deferred" in line for line in looped())
    assert gate.at_sink() == []
    runs = [line for line in gate.filter_lines(r"\w+") if "status=sent" in line]
    assert len(runs) == 1

    if wrong == LOOPING[0]:
        edited(gate, "-X", "content_filter")
    else:
        edited(gate, "-P", f"{way_back}=")
    gate.configure(policy={"ambiguous": "defer"})
    other = gate.send(AMBIGUOUS)
    gate.waits_in_queue(other, "pfilter: ambiguous")
    gate.instance.run("sh", "-c", recipe())
    gate.instance.run("postkick", "public", "pickup", "W")
    wait(lambda: [one for one in gate.at_sink() if one.sender == SENDER], "what was freed")
    wait(lambda: len(gate.instance.queue_files()) == 1, "an empty queue but for one")
    (got,) = [one for one in gate.at_sink() if one.sender == SENDER]
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    assert gate.queue()[0]["queue_id"] == other
    gate.configure()
    gate.retry()
    (second,) = [one for one in gate.at_sink() if one.sender == SENDER and one.raw != got.raw]
    assert second.raw.endswith(crlf(AMBIGUOUS)[-40:])
    assert "passed" in gate.filter_lines(other)[-1]


NETTED = {
    "exit 1": "cat >/dev/null; echo 'Traceback (most recent call last):'; exit 1",
    "exit 64": "cat >/dev/null; exit 64",
    "exit 70": "cat >/dev/null; exit 70",
    "exit 78": "cat >/dev/null; exit 78",
    "exit 127 unread": "exit 127",
    "much output": "cat >/dev/null; yes | head -c 100000; exit 1",
    "hangs": "exec sleep 600",
}


@only(*PIPES)
def test_status_filter_keeps_what_a_dying_filter_would_bounce(
    layout: str, start: Make, ground: Path, venv: Venv
) -> None:
    """postfix/install's net, for what not even the launcher survives; each way to die at once, then all go out."""
    folder = ground / f"netted-{layout}"
    folder.mkdir(exist_ok=True)
    command = folder / "pfilter-pipe"
    cases = "".join(f"  *fault-{number}@*) {script} ;;\n" for number, script in enumerate(NETTED.values()))
    command.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\n')
    command.chmod(0o755)
    gate = start(layout, "-o", "pfilter_time_limit=2s", pipe=str(command))
    recipients = [f"fault-{number}@example.net" for number in range(len(NETTED))]
    ids = [gate.send(mails.letter(mails.film()), recipients=[one]) for one in recipients]
    for queue_id in ids:
        assert "dsn=4.3.0" in gate.waits_in_queue(queue_id, "status=deferred")
    whole = command.with_suffix(".new")
    whole.write_text(f'#!/bin/sh\nexec {venv.pipe} "$@"\n')
    whole.chmod(0o755)
    whole.rename(command)
    gate.retry()
    arrived = [one for one in gate.at_sink() if one.sender == SENDER]
    assert sorted(one.recipients[0] for one in arrived) == sorted(f"<{one}>" for one in recipients)
    for one in arrived:
        assert gate.linked(one) == {"film.mp4": mails.FILM}
    shutil.rmtree(folder)
