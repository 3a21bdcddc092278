"""Names of servers."""

import pytest

from pfilter.base.sockets import host_and_port


@pytest.mark.parametrize(
    ("server", "found"),
    [
        ("127.0.0.1:10026", ("127.0.0.1", 10026)),
        ("[::1]:25", ("::1", 25)),
        ("::1:25", ("::1", 25)),
        ("files.example:0", ("files.example", 0)),
    ],
)
def test_a_server_is_a_host_and_a_port(server: str, found: tuple[str, int]) -> None:
    """The port stands behind the last colon; brackets are no part of an address."""
    assert host_and_port(server) == found


@pytest.mark.parametrize(
    "server", ["", "host", ":25", "host:", "host:smtp", "host:-1", "host: 25", "host:2_5", "/run/x"]
)
def test_what_is_no_server(server: str) -> None:
    """A port is digits, and there is a host."""
    with pytest.raises(ValueError, match="no host and port"):
        host_and_port(server)
