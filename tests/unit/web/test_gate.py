"""Whom connections are counted for."""

import pytest

from pfilter.web import gate


@pytest.mark.parametrize(
    ("address", "like", "unlike"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ("fe80::1%eth0", "fe80::1", "fe80:0:0:1::1"),
    ],
)
def test_whom_connections_are_counted_for(address: str, like: str, unlike: str) -> None:
    """An IPv6 network of 64 bits is one client; IPv4 is the same in either dress."""
    assert gate.client(address) == gate.client(like) != gate.client(unlike)
