"""The command `pfilter`, run as people and cron run it."""

import subprocess
import sys

from tests.lib.support import PROJECT


def pfilter(*arguments: str, data: bytes = b"", config: str = "") -> "subprocess.CompletedProcess[bytes]":
    """Run the command."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
    if config:
        environment["PFILTER_CONFIG"] = config
    command = [sys.executable, "-P", "-m", "pfilter.cli", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, env=environment)


def without_traceback(done: "subprocess.CompletedProcess[bytes]", status: int) -> str:
    """Assert an exit status, and an error for people on stderr alone; return it."""
    said = done.stderr.decode("utf-8")
    assert (done.returncode, done.stdout) == (status, b""), (done, said)
    assert "Traceback" not in said
    return said
