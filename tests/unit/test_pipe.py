"""The arguments of pipe(8)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter import pipe
from pfilter.base.errors import UsageError
from pfilter.message.model import Envelope


def test_all_options() -> None:
    """Every option of master.cf's argv arrives."""
    config, envelope, told = pipe.parse(
        [b"--config=/etc/x.toml", b"--queue-id=4F2A", b"--client=192.0.2.7", b"--helo=mx", b"--sasl=ann",
         b"--end=blank-line", b"--size=4711", b"-f", b"a@b", b"--", b"c@d", b"e@f"]
    )  # fmt: skip
    assert config == "/etc/x.toml"
    assert envelope == Envelope(
        sender=b"a@b", recipients=(b"c@d", b"e@f"), queue_id="4F2A", client="192.0.2.7", helo="mx", sasl_user="ann"
    )
    assert (told.marked, told.size) == (True, 4711)


def test_options_may_be_empty() -> None:
    """Local mail has neither client nor SASL user: pipe(8) gives empty words."""
    assert pipe.parse([b"--client=", b"--sasl=", b"-f", b"a@b", b"--", b"c"])[1].client == ""


@pytest.mark.parametrize("sender", [b"", b"<>", b"MAILER-DAEMON"])
def test_the_null_sender_in_all_its_forms(sender: bytes) -> None:
    """The null sender is empty, whether or not master.cf says null_sender=."""
    assert pipe.parse([b"-f", sender, b"--", b"c"])[1].sender == b""


@pytest.mark.parametrize(
    "address", [b"-fevil@x", b"--", b"--config=/evil", b"a b@c", b'"a;b"@c', b"\xff\xfe@x", b"$(id)", b"-"]
)
def test_no_address_is_an_option(address: bytes) -> None:
    """Whatever sender and recipients look like, they are addresses."""
    envelope = pipe.parse([b"-f", address, b"--", address, address])[1]
    assert (envelope.sender, envelope.recipients) == (address, (address, address))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "-f SENDER"),
        ([b"--", b"c"], "-f SENDER"),
        ([b"-f", b"a@b"], "recipients"),
        ([b"-f", b"a@b", b"--"], "recipients"),
        ([b"-f"], "-f"),
        ([b"-fa@b", b"--", b"c"], "-fa@b"),
        ([b"--unknown=1", b"-f", b"a", b"--", b"c"], "--unknown=1"),
        ([b"--config", b"/x", b"-f", b"a", b"--", b"c"], "--config"),
        ([b"a@b", b"-f", b"a", b"--", b"c"], "a@b"),
        ([b"--\xff=1", b"-f", b"a", b"--", b"c"], "unknown argument"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: list[bytes], why: str) -> None:
    """What is missing or unknown is said; nothing is guessed."""
    with pytest.raises(UsageError, match=why.replace("-", r"\-")):
        pipe.parse(arguments)


@given(st.lists(st.sampled_from([b"-f", b"--", b"a@b", b"--config=x", b"--sasl=\xff", b"", b"=", b"--="]), max_size=8))
def test_parsing_raises_nothing_else(arguments: list[bytes]) -> None:
    """Whatever the arguments, they are an envelope with recipients, or a usage error."""
    with suppress(UsageError):
        assert pipe.parse(arguments)[1].recipients
