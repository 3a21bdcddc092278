"""The temporary folder with all that a measurement needs, and running programs in it."""

import hashlib
import marshal
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.tools.bench.messages import SENDER

PROJECT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C"}  # pipe(8) gives little more
CONFIGURATION = """\
[policy]
own_domains = ["example.org"]
{policy}
[limits]
{limits}
[reinject]
sendmail = "{place}/sendmail"
[store]
path = "{place}/store"
base_url = "https://files.example.org/d"
min_free = "64 MiB"
[log]
to = "file:{place}/log"
"""
VARIANTS = {
    "plain": {},
    "parts": {"limits": "parts = 1000000"},
    "recipients": {"policy": 'exempt_recipients = ["@partner.example"]'},
}


class BrokenError(Exception):
    """Something does not do what it should: there is nothing to measure."""


class Command(NamedTuple):
    """A pipeline of programs; the file that is synced when it has ended."""

    pipeline: list[list[str]]
    stdin: str = os.devnull
    stdout: str = os.devnull
    sync: str = ""


class Sample(NamedTuple):
    """What commands took, one after the other."""

    wall: float  # seconds
    cpu: float  # seconds, with the children they waited for
    peak: int  # octets of resident memory, of the largest process


class Place:
    """A folder with an installation, a store and messages."""

    def __init__(self, folder: str, interpreter: str) -> None:
        self.folder = folder
        self.python = self.path("venv", "bin", "python")
        self.pipe = self.path("venv", "bin", "pfilter-pipe")
        os.chmod(folder, 0o711)
        os.mkdir(self.path("store"), 0o711)
        # PYTHONDONTWRITEBYTECODE and the like would have us measure something else.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "-q", str(PROJECT)]
        for argv in ([interpreter, "-m", "venv", self.path("venv")], pip):
            made = subprocess.run(argv, env=clean, capture_output=True, text=True, check=False)
            if made.returncode:
                raise BrokenError(f"{' '.join(argv)}:\n{made.stdout}{made.stderr}")
        first, rest = Path(self.pipe).read_text(encoding="utf-8").split("\n", 1)
        self.write("venv/bin/pfilter-pipe", [f"{first} -IS\n{rest}".encode()], 0o755)  # as pfilter-gateway(7) has it
        starter = [self.python, "-I", "-S", str(Path(__file__).with_name("starter.py"))]
        self.starter = subprocess.Popen(starter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT)
        self.write("sendmail", [b"#!/bin/sh\nexec cat >/dev/null\n"], 0o755)
        for name, changes in VARIANTS.items():
            values = {"policy": "", "limits": "", "place": folder, **changes}
            self.write(f"{name}.toml", [CONFIGURATION.format(**values).encode()])
        time.sleep(2.5)  # pfilter does not trust its compiled form of a file that has just been written

    def path(self, *names: str) -> str:
        """Return a path in the folder."""
        return os.path.join(self.folder, *names)

    def write(self, name: str, chunks: Iterable[bytes], mode: int = 0o644) -> str:
        """Write a file and return its path."""
        with open(self.path(name), "wb") as stream:
            stream.writelines(chunks)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def start(self) -> Command:
        """Return the floor of any Python process."""
        return Command([[self.python, "-I", "-c", "pass"]])

    def filter(self, message: str, *, config: str = "plain", recipients: int = 1, site: bool = False) -> Command:
        """Return pfilter as pipe(8) runs it; `site`: with the site module, as pip leaves it."""
        argv = [self.python, self.pipe] if site else [self.pipe]
        options = [f"--config={self.path(config)}.toml", "--queue-id=4XyZ1234567890", "--client=192.0.2.7"]
        readers = [f"reader{number}@example.net" for number in range(recipients)]
        return Command([[*argv, *options, "-f", SENDER, "--", *readers]], message, self.path("said"))

    def said(self) -> str:
        """Return what pfilter told Postfix, without sizes."""
        return Path(self.path("said")).read_text(encoding="utf-8").strip().partition(", ")[0].partition(" (")[0]

    def stored(self) -> str:
        """Return the SHA-256 of the one file in the store, "" where there is none."""
        found = list(Path(self.path("store", "downloads")).glob("*/files/*"))
        if len(found) != 1:
            return ""
        with found[0].open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def settle(self) -> None:
        """Take the downloads out of the store, whose configuration and key stay, and wait for the disk."""
        for name in ("downloads", "blobs", "records"):
            for entry in Path(self.path("store", name)).glob("*"):
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        Path(self.path("copy")).unlink(missing_ok=True)
        os.sync()

    def clean(self) -> None:
        """Remove messages."""
        self.settle()
        for found in [*Path(self.folder).glob("message*"), *Path(self.folder).glob("data*")]:
            found.unlink()

    def close(self) -> None:
        """End the process that starts others."""
        self.starter.communicate()

    def run(self, commands: Iterable[Command]) -> Sample:
        """Run commands one after the other. Raises BrokenError where a program fails."""
        samples = [self._run(command) for command in commands]
        walls, cpus, peaks = zip(*samples, strict=True)
        return Sample(sum(walls), sum(cpus), max(peaks))

    def _run(self, command: Command) -> Sample:
        assert self.starter.stdin
        assert self.starter.stdout
        marshal.dump((command.pipeline, ENVIRONMENT, *command[1:]), self.starter.stdin)
        self.starter.stdin.flush()
        statuses, *measured = marshal.load(self.starter.stdout)
        for argv, status in zip(command.pipeline, statuses, strict=True):
            if status:
                raise BrokenError(f"{os.path.basename(argv[0])} ended with {status}: {self.said()}")
        return Sample(*(round(value, 6) for value in measured))
