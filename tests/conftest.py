"""Fixtures and settings for all tests."""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import hypothesis
import pytest

from tests.lib import clamd_server, objectstore
from tests.lib.support import PROJECT, Gateway

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=100, print_blob=True)
# Looks for what nobody found yet: HYPOTHESIS_PROFILE=long
hypothesis.settings.register_profile("long", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# What readers are told is in the time of the machine, unless the configuration names another.
os.environ["TZ"] = "UTC"
time.tzset()


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fsync do nothing, where thousands of messages go through a store that nobody will miss."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return an empty store."""
    root = tmp_path / "store"
    root.mkdir(mode=0o711)
    return root


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """Return a folder with a store, a configuration and a stub sendmail."""
    return Gateway(tmp_path)


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[objectstore.Server]:
    """Return a running object store, one for each worker."""
    try:
        server = objectstore.Server(tmp_path_factory.mktemp("objects"))
    except objectstore.UnavailableError as reason:
        pytest.skip(str(reason))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a venv into which the project is installed as a gateway has it; its packages are those of this Python."""
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent
    venv = base / "installed"
    with open(base / "installed.lock", "w") as lock:
        flock(lock, LOCK_EX)
        if not (venv / "done").exists():
            make_venv(venv)
            (venv / "done").touch()
    return venv


def make_venv(venv: Path) -> None:
    """Make a venv with pfilter alone in it, and everybody else's packages on its path."""
    python = os.path.realpath(sys.executable)
    subprocess.run([python, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["--no-build-isolation"] if _has("hatchling") else []  # else pip gets it from the network
    wheels = venv / "wheels"
    run(*pip, "wheel", "--no-deps", *build, "--wheel-dir", str(wheels), str(PROJECT))
    (wheel,) = wheels.iterdir()
    run(*pip, "--python", str(venv / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    packages = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")


def run(*command: str) -> None:
    """Run a command of pip; where it can't work here, skip."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip can't install the project here: {done.stderr.strip()[-200:]}")


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return where a real clamd listens."""
    if not clamd_server.found():
        pytest.skip("no clamd here: apt-get install clamav-daemon")
    running = clamd_server.Clamd(tmp_path_factory.mktemp("clamd"))
    yield running.socket
    running.stop()


@pytest.fixture(autouse=True)
def unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a door that is run in this process from setting its limits on all tests to come."""
    monkeypatch.setattr("pfilter.run.confine", lambda seconds: None)
