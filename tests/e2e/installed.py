"""Virtual environments with pfilter in them as a gateway has them: whole, or broken on purpose."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from tests.lib.support import PROJECT

PYTHON = "/usr/bin/python3"  # one below somebody's home would be out of the filter user's reach
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class BuildError(Exception):
    """The project can't be built or installed here."""


def wheel(folder: Path) -> Path:
    """Build the project's wheel, without a network where the build backend is there already."""
    isolation = [] if importlib.util.find_spec("hatchling") is None else ["--no-build-isolation"]
    _call(*PIP, "wheel", "--no-deps", *isolation, "--wheel-dir", str(folder), str(PROJECT))
    return next(folder.glob("pfilter-*.whl"))


class Venv:
    """A virtual environment that the filter's user can reach: the wheel, and this Python's copies of what it needs."""

    def __init__(self, path: Path, of: Path) -> None:
        self.path = path
        _call(PYTHON, "-m", "venv", "--without-pip", str(path))
        _call(*PIP, "--python", str(path / "bin" / "python"), "install", "--no-deps", "--no-index", str(of))
        self.packages = next(path.glob("lib/python3.*/site-packages"))
        for name in _needed("pfilter", self.packages):
            copy(name, self.packages)
        self.pipe = path / "bin" / "pfilter-pipe"
        self.lmtp = path / "bin" / "pfilter-lmtp"
        _call("/usr/bin/sed", "-i", "1s/$/ -IS/", str(self.pipe), str(self.lmtp))  # as pfilter-gateway(7) has it
        self.command = path / "bin" / "pfilter"

    def append(self, module: str, code: str) -> None:
        """Add code at the end of one of pfilter's modules: what it defines replaces what was there."""
        with open(self.packages / "pfilter" / module, "a") as file:
            file.write("\n\n" + code)


def _needed(name: str, packages: Path) -> list[str]:
    """Return the names of all distributions that an installed one needs, extras left out."""
    found: list[str] = []
    waiting = list(next(iter(importlib.metadata.distributions(name=name, path=[str(packages)]))).requires or [])
    while waiting:
        wanted = Requirement(waiting.pop())
        if (wanted.marker is None or wanted.marker.evaluate({"extra": ""})) and wanted.name not in found:
            found.append(wanted.name)
            waiting += importlib.metadata.distribution(wanted.name).requires or []
    return found


def copy(name: str, packages: Path) -> None:
    """Copy what a distribution of this Python has in its site-packages."""
    for file in importlib.metadata.distribution(name).files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), target)


def _call(*argv: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not re.match("PYTHON|PIP_", name)}
    done = subprocess.run(argv, capture_output=True, text=True, env=kept, umask=0o022, timeout=300, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(argv[:6])} ...: {(done.stderr or done.stdout).strip()[-500:]}")
