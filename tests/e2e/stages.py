"""A pfilter that stops where a test wants it to: at a stage of the way of a message, for as long as a file is there.

Through Postfix there is no other way to be slow in `measure`, or to be killed just before the reinjection. The stage is
chosen by the recipient, so that many messages can stop at once, each somewhere else: stop-measure@example.net.
"""

import os
from pathlib import Path

from tests.e2e.installed import Venv
from tests.e2e.rig import give, wait

# Stage, module, what is called there; in the order of the way of a message.
CALLS = {
    "receive": ("base/spool.py", "receive"),
    "scan": ("message/scan.py", "scan"),
    "measure": ("decision/measure.py", "measure"),
    "store": ("store/local.py", "LocalStore.save"),
    "render": ("notices/texts.py", "for_links"),
    "edit": ("rewriting/splice.py", "apply"),
    "reinject": ("delivery/reinject.py", "send"),
    "notify": ("delivery/notification.py", "compose"),
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
        for stage, (module, call) in CALLS.items():
            venv.append(module, CODE.format(stage=stage, folder=folder, call=call))

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
