"""A pfilter that stops where a test wants it to: at a stage of the way of a message, for as long as a file is there.

Through Postfix there is no other way to be slow in `measure`, or to be killed just before the reinjection. The stage is
chosen by the recipient, so that many messages can stop at once, each somewhere else: stop-measure@example.net.
"""

import os
from collections.abc import Callable
from pathlib import Path

from pfilter.base import spool
from pfilter.decision import measure
from pfilter.delivery import notification, reinject
from pfilter.message import scan
from pfilter.notices import texts
from pfilter.rewriting import splice
from pfilter.store import local
from tests.e2e.installed import Venv
from tests.e2e.rig import give, wait

# What is called at each stage, in the order of the way of a message.
CALLS: dict[str, Callable[..., object]] = {
    "receive": spool.receive,
    "scan": scan.scan,
    "measure": measure.measure,
    "store": local.LocalStore.save,
    "render": texts.for_links,
    "edit": splice.apply,
    "reinject": reinject.send,
    "notify": notification.compose,
}
BEFORE_REINJECTION = tuple(CALLS)[:6]

CODE = """
def _stopping(call):
    import os
    import sys
    import time

    def stop_and_call(*arguments, **named):
        if any("stop-{stage}@" in word for word in sys.argv) and os.path.exists("{folder}/stop"):
            with open("{folder}/{stage}", "w") as file:
                file.write(str(os.getpid()))
            while os.path.exists("{folder}/stop"):
                time.sleep(0.02)
            if os.path.exists("{folder}/raise"):
                raise RuntimeError("broken on purpose")
        return call(*arguments, **named)

    return stop_and_call


{call} = _stopping({call})
"""

# By lmtp(8) a process has many messages: what the stages look at is the one that it has now.
OF_LMTP = """
_take = _Door.take


def _taking(self, envelope):
    import sys

    sys.argv[1:] = [os.fsdecode(recipient) for recipient in envelope.recipients]
    return _take(self, envelope)


_Door.take = _taking
"""


def recipient(stage: str) -> str:
    """Return the recipient of a message that stops at a stage."""
    return f"stop-{stage}@example.net"


class Stages:
    """An installation with stops in it."""

    def __init__(self, folder: Path, venv: Venv) -> None:
        self.folder = folder
        folder.mkdir()
        give(folder)
        self.venv = venv
        for stage, call in CALLS.items():
            module = call.__module__.partition(".")[2].replace(".", "/") + ".py"
            venv.append(module, CODE.format(stage=stage, folder=folder, call=call.__qualname__))
        venv.append("lmtp/door.py", OF_LMTP)
        venv.append("lmtp/door.py", CODE.format(stage="receive", folder=folder, call="_Door._receive"))

    def stop(self) -> None:
        """From now on, messages stop."""
        for name in os.listdir(self.folder):
            (self.folder / name).unlink()
        (self.folder / "stop").touch()

    def go(self, *, broken: bool = False) -> None:
        """Let them go on; or stumble."""
        if broken:
            (self.folder / "raise").touch()
        (self.folder / "stop").unlink(missing_ok=True)

    def reached(self, stage: str) -> int:
        """Wait until a message has stopped at a stage; return the process."""
        path = self.folder / stage
        wait(lambda: path.exists() and path.read_text(), f"a message at {stage}")
        return int(path.read_text())


def parent(pid: int) -> int:
    """Return a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
