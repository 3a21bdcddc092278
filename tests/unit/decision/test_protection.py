"""Why a message or a part of it is left alone: each reason is told to people as the manual has it."""

import re

import pytest

from pfilter.decision import decide, protection
from pfilter.decision.plan import Plan
from tests.lib.support import PROJECT, attachment, message, multipart, part, scanned

# What the line for Postfix says of each reason that protects a whole message, and what the manual calls it.
OF_MESSAGES = {
    "signed or encrypted (multipart/signed)": ("signed", "multipart/signed"),
    "signed or encrypted (multipart/encrypted)": ("encrypted", "multipart/encrypted"),
    "signed or encrypted (application/pkcs7-mime)": ("signed or encrypted", "application/pkcs7-mime"),
    "signed or encrypted (application/x-pkcs7-mime)": ("signed or encrypted", "application/x-pkcs7-mime"),
    "encrypted (PGP)": ("encrypted", "application/pgp-encrypted"),
    "signed or encrypted (by file name)": ("signed or encrypted", "*.p7m"),
    "signed (dkim-signature of {domain})": ("signed", "DKIM-Signature"),
    "signed (arc-seal of {domain})": ("signed", "ARC-Seal"),
    "signed or encrypted (inline PGP)": ("signed or encrypted", "PGP armour"),
}
# What the manual calls each reason to leave a part alone, in its list of what is no attachment.
OF_PARTS = {
    "displayed body": "a body that",
    "inline": "an image that the HTML shows",
    "alternative form of the body": "multipart/alternative",
    "half of a Macintosh file": "multipart/appledouble",
    "message/partial": "message/partial",
    "message/external-body": "message/external-body",
    "report": "reports",
    "calendar": "calendar objects",
    "PGP": "PGP parts",
    "key": "Autocrypt setup messages",
    "signature": "detached S/MIME signatures",
    "TNEF": "TNEF",
    "Macintosh file": "BinHex, MacBinary and AppleSingle",
    "uuencoded": "uuencoded files",
    "broken": "does not decode",
}


def manual(title: str) -> str:
    """Return what stands below a heading of pfilter-pipe(8), in lines as they are."""
    text = (PROJECT / "man" / "pfilter-pipe.8").read_text(encoding="utf-8")
    found = re.search(rf"^\.Ss {title}$(.*?)(?=^\.S[hs] )", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


def in_one_line(text: str) -> str:
    """Return mdoc without its macros and line ends."""
    return " ".join(re.sub(r"^\.[A-Z][a-z] ?", "", text, flags=re.MULTILINE).split())


def test_every_reason_of_a_message_is_in_the_manual() -> None:
    """What protects a message is named where pfilter-pipe(8) tells of protected messages."""
    text = in_one_line(manual("Protected messages"))
    assert set(OF_MESSAGES) == set(protection.OF_MESSAGES)
    assert [called for _, called in OF_MESSAGES.values() if called not in text] == []


@pytest.mark.parametrize("reason", protection.OF_MESSAGES)
def test_every_reason_of_a_message_has_its_word(reason: str) -> None:
    """The line for Postfix says the word that fits, whatever domain has signed."""
    word, _ = OF_MESSAGES[reason]
    assert decide.in_a_word(Plan(reason=f"protected: {reason.format(domain='other.example')}")) == word


def test_every_reason_of_a_part_is_in_the_manual() -> None:
    """The list in pfilter-pipe(8) of what is no attachment has an entry for each reason, and none besides."""
    listed = manual("Attachments").partition(".Bl -dash")[2].partition("\n.El")[0]
    entries = [in_one_line(entry) for entry in listed.split("\n.It\n")[1:]]
    assert set(OF_PARTS) == set(protection.OF_PARTS)
    assert [called for called in OF_PARTS.values() if not any(called in entry for entry in entries)] == []
    assert [entry for entry in entries if not any(called in entry for called in OF_PARTS.values())] == []


TEXT = part(b"Hello\n")


FILE = attachment(b"data", "a.bin")


@pytest.mark.parametrize(
    "entity",
    [
        multipart("signed", TEXT, attachment(b"x", "a.asc", "application/pgp-signature")),
        multipart("encrypted", part(b"Version: 1\n", "application/pgp-encrypted"), FILE),
        multipart("mixed", multipart("signed", TEXT, FILE, boundary="i"), FILE),
        part(b"x", "application/pkcs7-mime; name=smime.p7m"),
        part(b"x", "application/x-pkcs7-mime"),
        part(b"x", "application/octet-stream; name=smime.p7m"),
        part(b"x", "application/octet-stream", disposition="attachment; filename=smime.P7S"),
        multipart(
            "mixed", TEXT, part(b"Subject: x\n" + multipart("signed", TEXT, FILE, boundary="i"), "message/rfc822")
        ),
    ],
    ids=[
        "signed",
        "encrypted",
        "signed deep inside",
        "smime",
        "x-smime",
        "smime by name",
        "p7s by name",
        "forwarded signed",
    ],
)
def test_signed_or_encrypted(entity: bytes) -> None:
    """A message that is signed or encrypted anywhere, a forwarded one inside included, is protected as a whole."""
    assert protection.by_structure(scanned(message(entity))).startswith("signed or encrypted")


def test_ordinary_mail_is_not_protected() -> None:
    """A file with a signature's extension does not protect a multipart."""
    ordinary = multipart("mixed", TEXT, attachment(b"x", "other.p7s"))
    assert protection.by_structure(scanned(message(ordinary))) == ""
