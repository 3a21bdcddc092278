"""The replies to one message."""

import pytest

from pfilter.base.errors import (
    AmbiguousError,
    ConfigError,
    DeadlineError,
    RecipientsError,
    RefusedError,
    ReinjectError,
)
from pfilter.decision.plan import Outcome
from pfilter.lmtp import answers
from pfilter.lmtp.answers import Answers
from pfilter.message.model import Refused


def refused(index: int, status: str, said: str = "no") -> Refused:
    """Return a recipient whom the server refused."""
    return Refused(address=b"a@example.net", status=status, said=said, server="mx", index=index)


def test_what_was_said_stays() -> None:
    """A recipient has one answer, the first; and each has one in the end, in his place."""
    given = Answers(4)
    given.give((1, 3), b"250 x")
    given.give((0, 1), b"550 y")
    assert not given.is_complete
    given.fill(b"451 z")
    assert given.is_complete
    assert given.octets() == b"550 y\r\n250 x\r\n451 z\r\n250 x\r\n"


@pytest.mark.parametrize(
    ("error", "final", "begins"),
    [
        (ReinjectError("x"), True, b"451 4.3.0 pfilter: x"),
        (ConfigError("x"), True, b"451 4.3.5 pfilter: x"),
        (AmbiguousError("x"), True, b"451 4.3.0 pfilter: x"),
        (DeadlineError("x"), True, b"451 4.3.0 pfilter: x"),
        (MemoryError(), True, b"451 4.3.0 pfilter: "),
        (OSError(28, "No space left on device"), True, b"451 4.3.0 pfilter: No space left on device"),
        (RefusedError("x"), True, b"550 5.7.1 pfilter: x"),
        (RefusedError("x"), False, b"451 4.7.1 pfilter: x"),
        (RecipientsError("x", "5.1.3"), True, b"550 5.1.3 pfilter: x"),
        (RecipientsError("x", "5.1.3"), False, b"451 4.1.3 pfilter: x"),
    ],
    ids=repr,
)
def test_failures(error: BaseException, final: bool, begins: bytes) -> None:
    """All but what is meant to be bounced is 4xx; where others have to come again, so is that."""
    assert answers.failed(error, final=final).startswith(begins)


@pytest.mark.parametrize(
    ("status", "begins"),
    [("5.1.1", b"550 5.1.1 "), ("4.2.2", b"451 4.2.2 "), ("5.7.1", b"451 4.7.1 "), ("5.2.2", b"451 4.2.2 ")],
)
def test_a_recipient_is_bounced_for_his_address_alone(status: str, begins: bytes) -> None:
    """Any other refusal of one recipient means that he is tried again."""
    ((place, line),) = answers.refused([refused(1, status)], (2, 5))
    assert place == 5
    assert line.startswith(begins)


def test_recipients_who_are_named_twice() -> None:
    """Each refusal is that of a place, whoever else has the same address."""
    told = dict(answers.refused([refused(0, "4.5.3", "one"), refused(2, "4.5.3", "two")], (1, 2, 3)))
    assert sorted(told) == [1, 3]
    assert told[1].endswith(b"one")
    assert told[3].endswith(b"two")


def test_a_reply_is_one_line_of_bounded_length() -> None:
    """Whatever stands in it, nobody writes a reply of his own."""
    said = answers.failed(ReinjectError("a\r\n250 2.0.0 ok\n" + "ä" * 5000))
    assert not set(said) & {10, 13}
    assert len(said) <= 510


def test_all_is_well() -> None:
    """Each share has its own words."""
    lines = [answers.accepted(Outcome(linked=1, size_in=9, size_out=3)), answers.accepted(Outcome(note="x"))]
    assert answers.all_well(3, [(0, 2), (1,)], lines).split(b"\r\n")[1] == b"250 2.0.0 passed (x)"
