"""Instances of Postfix for a whole session, one of each layout and worker, started when the first test wants them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import rig
from tests.e2e.installed import PYTHON, BuildError, Venv, wheel
from tests.e2e.stages import Stages

FIRST_PORT = 21000
LAYOUTS = ("sendmail", "smtp", "lmtp")
PIPES = ("sendmail", "smtp")  # where each message has a process
Make = Callable[..., rig.Gate]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, skip them where there can be no private Postfix; those of web/ need none."""
    here = Path(__file__).parent
    reason = why_not()
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.postfix)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def why_not() -> str:
    """Return why no private Postfix can run here, or ""."""
    if os.geteuid() != 0:
        return "needs root: pipe(8) and mount namespaces"
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    programs = ("postfix", "unshare", "nsenter", "mount", "setpriv")
    missing = [name for name in programs if not shutil.which(name, path=path)]
    if missing or not os.path.exists(PYTHON):
        return f"needs {', '.join(missing) or PYTHON}"
    try:
        pwd.getpwnam(rig.USER)
    except KeyError:
        return f"needs a user {rig.USER}"
    probe = subprocess.run(["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "needs mount namespaces"


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """Return a folder that the filter's user can enter: not below pytest's own, nor anybody's home."""
    path = Path(tempfile.mkdtemp(prefix="pfilter-e2e-", dir="/var/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def built(ground: Path) -> Path:
    """Return the project's wheel."""
    try:
        return wheel(ground)
    except BuildError as error:
        pytest.skip(f"the project can't be built here: {error}")


@pytest.fixture(scope="session")
def venv(ground: Path, built: Path) -> Venv:
    """Return a virtual environment with the project in it."""
    return Venv(ground / "venv", built)


@pytest.fixture(scope="session")
def first_port(worker_id: str) -> int:
    """Return where this worker's ports begin."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    return FIRST_PORT + 400 * number


@pytest.fixture(scope="session")
def instances(ground: Path, venv: Venv, first_port: int) -> Iterator[Callable[[str], rig.Instance]]:
    """Return a function that returns the session's instance of a layout.

    They run without the status filter that postfix/install adds: nothing but pfilter itself keeps mail in the queue.
    """
    running: dict[str, rig.Instance] = {}

    def get(layout: str) -> rig.Instance:
        if layout not in running:
            net = ("-P", "pfilter/unix/pipe_delivery_status_filter=") if layout in PIPES else ()
            running[layout] = rig.Instance(ground / layout, layout, first_port, venv.path, *net)
        return running[layout]

    yield get
    for instance in running.values():
        instance.stop()


@pytest.fixture(scope="session")
def broken(ground: Path, built: Path) -> Venv:
    """Return an installation that may be broken, and mended."""
    return Venv(ground / "broken", built)


@pytest.fixture(scope="session")
def stages(ground: Path, built: Path) -> Stages:
    """Return an installation that stops where it is told to."""
    return Stages(ground / "stages", Venv(ground / "stopping", built))


def _in_one_worker(layout: str) -> Any:
    """With --dist=loadgroup, each worker starts one instance."""
    return pytest.param(layout, marks=pytest.mark.xdist_group(layout))


def only(*layouts: str) -> pytest.MarkDecorator:
    """Mark a test that has a meaning in some layouts alone."""
    return pytest.mark.parametrize("layout", [_in_one_worker(layout) for layout in layouts], indirect=True)


@pytest.fixture(params=[_in_one_worker(layout) for layout in LAYOUTS])
def layout(request: pytest.FixtureRequest) -> str:
    """Return one layout after the other."""
    return str(request.param)


@pytest.fixture
def gate(layout: str, instances: Callable[[str], rig.Instance]) -> Iterator[rig.Gate]:
    """Return a gateway of each layout, with an empty queue and an empty store."""
    made = rig.Gate(instances(layout))
    yield made
    rig.tidy(made, keep=False)


@pytest.fixture
def start(ground: Path, venv: Venv, first_port: int) -> Iterator[Make]:
    """Return a function that starts an instance for this test alone."""
    running: list[rig.Instance] = []

    def make(layout: str, *options: str, pipe: str = "") -> rig.Gate:
        root = Path(tempfile.mkdtemp(prefix="own-", dir=ground))
        root.rmdir()
        running.append(rig.Instance(root, layout, first_port, venv.path, *options, pipe=pipe))
        return rig.Gate(running[-1])

    yield make
    for instance in running:
        instance.stop()
        shutil.rmtree(instance.root, ignore_errors=True)
