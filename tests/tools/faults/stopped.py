"""A filter that is stopped at a call, as long as somebody wants it to be."""

import os
import signal
import subprocess
from pathlib import Path

from tests.tools.faults.process import descendants, wait_for

SECONDS = 10.0


def wait(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Wait until the filter below strace has stopped, and return it; 0 where it ended instead."""

    def is_stopped() -> bool:
        return process.poll() is not None or (log.exists() and b"--- stopped by SIGSTOP" in log.read_bytes())

    if not wait_for(is_stopped, SECONDS) or process.poll() is not None:
        return 0
    return next(iter(descendants(process.pid)), 0)


def go_on(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)
