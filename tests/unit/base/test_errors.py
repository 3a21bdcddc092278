"""What is said about trouble."""

import pytest

from pfilter.base import errors
from pfilter.base.errors import (
    ConfigError,
    DeadlineError,
    InternalError,
    StoreError,
    UsageError,
    exit_status,
)
from pfilter.base.text import sentence, without_tokens


@pytest.mark.parametrize(
    "error",
    [UsageError("x"), ConfigError("x"), StoreError("x"), DeadlineError("x"), OSError(28, "full"), KeyboardInterrupt(),
     MemoryError(), InternalError("x"), SystemExit(0)],
)  # fmt: skip
def test_in_the_pipe_every_trouble_defers(error: BaseException) -> None:
    """All other exit statuses but 71 would bounce the message."""
    assert exit_status(error, in_pipe=True) == 75


def test_what_is_refused_bounces() -> None:
    """Policy bounces with 5.7.1; recipients whose addresses are wrong with the server's status."""
    refused = errors.RefusedError("a virus")
    unknown = errors.RecipientsError("no such user", "5.1.1")
    assert [(exit_status(error, in_pipe=True), errors.dsn(error)) for error in (refused, unknown)] == [
        (69, "5.7.1"),
        (69, "5.1.1"),
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(UsageError("x"), 2), (ConfigError("x"), 2), (StoreError("x"), 1), (OSError(2, "x"), 1)]
)
def test_at_the_command_line_the_usual(error: BaseException, status: int) -> None:
    """2 is a wrong command line or configuration, 1 everything else."""
    assert exit_status(error, in_pipe=False) == status


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("no room"), "no room"),
        (OSError(2, "No such file", "/etc/x"), "/etc/x: No such file"),
        (OSError(2, "No such file"), "No such file"),
        (ZeroDivisionError("division"), "ZeroDivisionError: division"),
        (StoreError("a\nb\x1b[1m\x00"), "a b [1m "),
    ],
)
def test_one_printable_line(error: BaseException, said: str) -> None:
    """A reason is one printable line: file and trouble, or the kind of error."""
    assert sentence(error) == said


def test_a_reason_is_short() -> None:
    """Whatever an error says, its reason is bounded."""
    assert len(sentence(StoreError("x" * 10_000))) <= 300


def test_a_reason_opens_no_download() -> None:
    """A reason is mailed to the envelope sender and logged: of an id no more than its beginning is left."""
    token = "abcdefgh" * 4
    error = OSError(2, "No such file", f"/var/lib/pfilter/downloads/{token}/files/a.bin")
    said = without_tokens(sentence(error))
    assert said == "/var/lib/pfilter/downloads/abcdefgh/files/a.bin: No such file"


def test_interruptions_are_not_swallowed() -> None:
    """The handlers for hostile mail catch Exception: a deadline must pass them."""
    assert not issubclass(errors.Interruption, Exception)
