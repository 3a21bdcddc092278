"""An upgrade under load, the documented way, under a real Postfix: and one that was interrupted.

While messages pass, a new environment is made beside the old one and the symbolic link renamed, forward and back. Then
the link leads to environments that an interrupted upgrade leaves: half of one, an empty one, none.
"""

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.e2e import mails
from tests.e2e.conftest import LAYOUTS, PIPES, why_not
from tests.e2e.installed import Venv, wheel
from tests.e2e.rig import Gate, Instance, wait
from tests.lib.support import message
from tests.tools.faults.oracle import Verdict
from tests.tools.faults.report import Result

MESSAGES = 1000
CLIENTS = 4
LINKED = 20  # one message in so many
FIRST_PORT = 24000
SECONDS = 600.0
SWITCH = 1.0  # seconds between two renames
WITHOUT_NET = ("-P", "pfilter/unix/pipe_delivery_status_filter=")


def run(folder: Path) -> list[Result]:
    """Upgrade in each layout."""
    if reason := why_not():
        print(f"faults: upgrade not tried: {reason}")
        return []
    built = wheel(folder)
    old = Venv(folder / "0.1.0", built)
    results = []
    for layout in LAYOUTS:
        net = WITHOUT_NET if layout in PIPES else ()
        instance = Instance(folder / f"postfix-{layout}", layout, FIRST_PORT, old.path, *net)
        try:
            for name, upgrade in (("under load", _under_load), ("interrupted", _interrupted)):
                began = time.monotonic()
                verdict = _judged(upgrade, Gate(instance), folder, built, old)
                results.append(Result("upgrade", f"{name}, {layout}", verdict, time.monotonic() - began))
        finally:
            instance.stop()
    return results


def _judged(
    upgrade: Callable[[Gate, Path, Path, Venv], str], gate: Gate, folder: Path, built: Path, old: Venv
) -> Verdict:
    try:
        note = upgrade(gate, folder, built, old)
    except AssertionError as error:
        return Verdict("refused", problems=(str(error)[:2000],))
    return Verdict("delivered", note=note)


def _letter(number: int) -> bytes:
    return mails.letter(mails.film()) if number % LINKED == 0 else message(mails.both())


def _send(gate: Gate, numbers: range, ready: threading.Event) -> list[threading.Thread]:
    """Send messages from several clients at once, each to a recipient of its own; the second half when all is ready."""

    def client(some: range) -> None:
        for number in some:
            if number >= len(numbers) // 2:
                ready.wait(SECONDS)
            gate.send(_letter(number), recipients=[f"r{number}@example.net"])

    threads = [threading.Thread(target=client, args=(numbers[first::CLIENTS],)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    return threads


def _all_once(gate: Gate, numbers: range) -> None:
    """Each recipient got one message, and every link leads to the file."""
    wait(gate.instance.is_settled, "an empty queue", SECONDS)
    arrived = [one for one in gate.at_sink() if one.sender]
    counts = Counter(one.recipients[0] for one in arrived)
    expected = {f"<r{number}@example.net>" for number in numbers}
    assert set(counts) == expected, f"LOST: {sorted(expected - set(counts))}"
    twice = {name: count for name, count in counts.items() if count != 1}
    assert not twice, f"delivered more than once: {twice}"
    for one in arrived:
        number = int(one.recipients[0].removeprefix("<r").partition("@")[0])
        if number % LINKED == 0:
            assert gate.linked(one) == {"film.mp4": mails.FILM}, one.recipients


def _rename(gate: Gate, target: Path) -> None:
    """Make an environment the current one, as pfilter-gateway(7) has it."""
    new = gate.instance.root / "new"
    subprocess.run(["ln", "-sfn", str(target), str(new)], check=True)
    subprocess.run(["mv", "-T", str(new), str(gate.instance.current)], check=True)


def _under_load(gate: Gate, folder: Path, built: Path, old: Venv) -> str:
    numbers = range(MESSAGES)
    began = time.monotonic()
    ready = threading.Event()
    threads = _send(gate, numbers, ready)
    new = folder / f"0.2.0-{gate.layout}"
    renames = 0
    try:
        Venv(new, built)
    finally:
        ready.set()
    while any(thread.is_alive() for thread in threads) or not gate.instance.is_settled():
        assert time.monotonic() < began + SECONDS, "not all messages through in time"
        _rename(gate, (new, old.path)[renames % 2])
        renames += 1
        time.sleep(SWITCH)
    _rename(gate, new)
    _all_once(gate, numbers)
    deferred = len(gate.put_off())
    return (
        f"{MESSAGES} messages in {time.monotonic() - began:.0f} s, link renamed {renames + 1} times, {deferred} put off"
    )


def _interrupted(gate: Gate, folder: Path, built: Path, old: Venv) -> str:
    """Whatever an interrupted upgrade leaves as the current environment: mail waits, and goes out once."""
    gate.trouble_expected = True
    half = folder / f"half-{gate.layout}"
    program = "pfilter-pipe" if gate.layout in PIPES else "pfilter-lmtp"
    states: dict[str, Callable[[], None]] = {
        "no packages": lambda: shutil.rmtree(next(half.glob("lib/python3.*/site-packages"))),
        "half of the modules": lambda: _remove_half(half),
        f"no {program}": (half / "bin" / program).unlink,
        f"{program} not executable yet": lambda: (half / "bin" / program).chmod(0o644),
        "no interpreter": (half / "bin" / "python").unlink,
        "no environment": lambda: shutil.rmtree(half),
    }
    for count, (name, state) in enumerate(states.items()):
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(old.path, half, symlinks=True)
        script = half / "bin" / program
        script.write_text(script.read_text().replace(str(old.path), str(half)))
        state()
        _rename(gate, half)
        number = (count + 1) * LINKED
        queue_id = gate.send(_letter(number), recipients=[f"r{number}@example.net"])
        lines = wait(partial(gate.filter_lines, queue_id), f"an attempt with {name}")
        assert all("status=deferred" in line for line in lines), f"{name}: {lines}"
    _rename(gate, old.path)
    gate.instance.run("postqueue", "-f")
    _all_once(gate, range(LINKED, (len(states) + 1) * LINKED, LINKED))
    return f"{len(states)} states, all put off and then delivered once"


def _remove_half(venv: Path) -> None:
    modules = sorted(venv.glob("lib/python3.*/site-packages/pfilter/*.py"))
    for module in modules[::2]:
        module.unlink()
