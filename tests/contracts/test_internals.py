"""Where pfilter uses the insides of a library: that they are as they were, and what to do when they are not."""

import asyncio
import importlib.metadata
import inspect
import subprocess
import sys
import tomllib

import h11
import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pfilter.web.connection import HttpConnection
from tests.lib.support import PROJECT

USERS = {
    "structlog": (
        "pfilter/base/structlog_loader.py imports structlog.processors and structlog._generic alone. Where that fails, "
        "it imports all of structlog: events are written all the same, only some 60 ms later for each message that is "
        "changed. Find out where BoundLogger is now, or what its module needs, and change structlog_loader.py"
    ),
    "uvicorn": (
        "pfilter/web/connection.py overrides methods of uvicorn's H11Protocol and uses its attributes. Compare "
        "uvicorn/protocols/http/h11_impl.py and server.py with those of the version before, and change connection.py"
    ),
}


def advice(library: str, found: str) -> str:
    """Return what to say where a library is not as it was."""
    version = importlib.metadata.version(library)
    return (
        f"{library} {version}: {found}. {USERS[library]}; run tests/run; then raise the upper bound of {library} in "
        "pyproject.toml. In a hurry, lower that bound to the last version with which this test passes."
    )


@pytest.mark.parametrize("library", USERS)
def test_the_bound_is_what_was_tried(library: str) -> None:
    """pyproject.toml has an upper bound, and the version here, which these tests are about, is below it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    (wanted,) = (found for found in map(Requirement, texts) if found.name == library)
    assert any(one.operator.startswith("<") for one in wanted.specifier), f"{library} needs an upper bound"
    version = importlib.metadata.version(library)
    assert wanted.specifier.contains(version), advice(library, f"not one of {wanted.specifier}")


def overridden() -> list[str]:
    """Return the names of the methods that are meant to be called by uvicorn, or by asyncio through it."""
    return [name for name, value in vars(HttpConnection).items() if inspect.isfunction(value) and name[0] != "_"]


def test_overridden_methods_are_there() -> None:
    """Each method of ours takes the place of one of uvicorn's, with the same parameters."""
    assert {"connection_made", "data_received", "on_response_complete", "send_400_response"} <= set(overridden())
    source = inspect.getsource(inspect.getmodule(H11Protocol) or H11Protocol)
    for name in overridden():
        theirs = getattr(H11Protocol, name, None)
        assert theirs, advice("uvicorn", f"H11Protocol has no {name}() any more")
        ours = list(inspect.signature(getattr(HttpConnection, name)).parameters)
        same = ours == list(inspect.signature(theirs).parameters)
        assert same, advice("uvicorn", f"H11Protocol.{name}() has other parameters than {ours}")
    for name in ("on_response_complete", "send_400_response"):  # the others are asyncio's to call
        assert f"self.{name}" in source, advice("uvicorn", f"nothing calls H11Protocol.{name}()")


def test_attributes_are_there() -> None:
    """What a connection of ours reads and writes of uvicorn's is what it was."""
    config = uvicorn.Config(lambda: None, log_config=None)
    config.load()
    assert hasattr(config, "ssl"), advice("uvicorn", "Config has no ssl any more")
    loop = asyncio.new_event_loop()
    try:
        made = H11Protocol(config, ServerState(), {}, loop)
    finally:
        loop.close()
    for name in ("conn", "loop", "transport"):
        assert hasattr(made, name), advice("uvicorn", f"H11Protocol has no {name} any more")
    assert isinstance(made.conn, h11.Connection), advice("uvicorn", "H11Protocol.conn is not h11's any more")


def test_structlog_can_be_loaded_without_its_init() -> None:
    """The short way goes, and leaves nothing of structlog among the modules."""
    code = "import sys; from pfilter.base import structlog_loader as one; one.load(); print('structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n", advice("structlog", "it is loaded as a whole")
