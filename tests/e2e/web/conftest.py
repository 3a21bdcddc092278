"""A place for web servers, and servers with the printed configurations."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.web import servers

Start = Callable[..., tuple[servers.Running, str]]


@pytest.fixture
def place() -> Iterator[servers.Place]:
    """Return a folder that web servers can enter: not below pytest's own, which is root's alone."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pfilter-web-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield servers.Place(folder)
    shutil.rmtree(folder)


@pytest.fixture
def start(place: servers.Place) -> Iterator[Start]:
    """Return a function that starts a server of a kind, with changes to what is printed; and its address for http."""
    running: list[servers.Running] = []

    def begin(kind: str, *changes: tuple[str, str]) -> tuple[servers.Running, str]:
        if absent := servers.missing(kind):
            pytest.skip(f"{absent} is not installed")
        text = servers.site(kind, place)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        plain = servers.free_port()
        running.append(servers.start(kind, place, text, plain))
        return running[-1], f"127.0.0.1:{plain}"

    yield begin
    for server in running:
        server.stop()
