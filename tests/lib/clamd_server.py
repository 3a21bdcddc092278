"""A real clamd for tests, with a signature of their own: no network, no database of half a gigabyte."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from pfilter.antivirus import clamd

SIGNATURE = "Pfilter.Test.Virus"
# In two pieces: no scanner shall take this file for what it makes.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!$H+H*"
CONFIGURATION = """\
Foreground yes
LocalSocket {folder}/clamd.ctl
LocalSocketMode 666
DatabaseDirectory {folder}/db
TemporaryDirectory {folder}
LogFile {folder}/log
StreamMaxLength {stream}
AlertExceedsMax yes
MaxFileSize {file}
MaxScanSize {file}
{more}
"""
LIMIT = 30  # seconds


class Clamd:
    """A running clamd; `socket` is where it listens."""

    def __init__(self, folder: Path, stream: str = "8M", file: str = "100M", more: str = "") -> None:
        self.socket = str(folder / "clamd.ctl")
        (folder / "db").mkdir(parents=True)
        (folder / "db" / "test.ndb").write_text(f"{SIGNATURE}:0:*:{EICAR.hex()}\n")
        if os.geteuid() == 0:
            more += "\nUser root"
        text = CONFIGURATION.format(folder=folder, stream=stream, file=file, more=more)
        (folder / "clamd.conf").write_text(text)
        command = [found(), f"--config-file={folder / 'clamd.conf'}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + LIMIT
        while clamd.scan([b"x"], self.socket, 5).status != "clean":
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError((folder / "log").read_text() if (folder / "log").exists() else "no clamd")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(LIMIT)


def found() -> str:
    """Return the path of clamd, "" where there is none."""
    return shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
