"""The mail to the administrator: what it says, in whose language, and that nothing of hostile mail breaks it."""

from collections.abc import Mapping
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

import pytest

from pfilter.base.errors import ConfigError
from pfilter.delivery import admin_alert
from tests.lib import support
from tests.lib.support import ENVELOPE

NAME = "20261124T120000Z-4F2A1B-0123456789abcdef"


def composed(
    reason: str = "virus Eicar", sender: bytes = ENVELOPE.sender, sasl_user: str = "", **sections: Mapping[str, Any]
) -> Message:
    """Return the mail about a message, as a reader's program has it."""
    notify: dict[str, Mapping[str, Any]] = {"notify": {"admin": "it@example.org"}}
    settings = support.policy(**{**notify, **sections})
    about = ENVELOPE.replace(sender=sender, sasl_user=sasl_user)
    return support.parsed(admin_alert.compose(NAME, reason, about, settings))


def test_it_says_what_and_why_and_what_to_do() -> None:
    """It names the reason, the people, and the commands, as they can be run."""
    text = support.text_of(composed(sasl_user="ann"))
    for line in (
        "  Reason: virus Eicar",
        "  Sender: sender@example.org",
        "  Login: ann",
        "  Client: unknown",
        "  Number of recipients: 1",
        f"  pfilter quarantine show {NAME}",
        f"  pfilter quarantine release {NAME}",
        f"  pfilter quarantine delete {NAME}",
    ):
        assert line in text.splitlines()


def test_the_null_sender_has_a_name() -> None:
    """Mail without a sender, and without a login, is told as such."""
    lines = support.text_of(composed(sender=b"")).splitlines()
    assert "  Sender: none (the null sender)" in lines
    assert "  Login: none" in lines


@pytest.mark.parametrize(("notify", "author"), [({}, "it@example.org"), ({"from": "IT <a@example.net>"}, "IT <a@")])
def test_who_it_is_from(notify: dict[str, object], author: str) -> None:
    """From [notify] from, else from the administrator himself; the Message-ID has the same domain."""
    mail = composed(notify={"admin": "it@example.org", **notify})
    assert mail["From"].startswith(author)
    assert mail["To"] == "<it@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    domain = "example.net" if notify else "example.org"
    assert mail["Message-ID"].endswith(f"@{domain}>")


def test_it_is_in_the_language_of_the_administrator() -> None:
    """The domain of [notify] admin chooses, as a sender's does; what a command is called stays."""
    mail = composed(notice={"languages": {"example.org": "de"}})
    assert str(make_header(decode_header(mail["Subject"]))) == "pfilter: Eine Nachricht ist in Quarantäne"
    text = support.text_of(mail)
    assert "  Grund: Virus Eicar\n" in text
    assert f"  pfilter quarantine show {NAME}\n" in text


@pytest.mark.parametrize(
    "hostile", ["a\r\nBcc: x@y\r\n\r\nb", "\x1b[31m\x00", "x" * 3000, "\udcff", "{{ 7 * 7 }} %(key)s"]
)
def test_hostile_values(hostile: str) -> None:
    """No value adds a field, a line, a control or an instruction to the template."""
    mail = composed(reason=hostile, sender=hostile.encode("utf-8", "surrogateescape"), sasl_user=hostile)
    assert mail["Bcc"] is None
    text = support.text_of(mail)
    assert "\x1b" not in text
    assert "49" not in text
    assert len(text.splitlines()) == len(support.text_of(composed()).splitlines())
    assert support.defects(mail) == []


def test_a_template_that_is_broken_is_a_config_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Then there is an event in place of the mail, and the error names the template."""
    folder = tmp_path_factory.mktemp("templates")
    (folder / "quarantined.txt").write_text("{% for %}")
    with pytest.raises(ConfigError, match=r"quarantined\.txt"):
        composed(notice={"templates": str(folder)})
