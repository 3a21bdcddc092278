"""The forms that mail comes in: bodies, charsets, encodings, names, addresses, lines; each with a link."""

import base64
import io
import quopri
import re
import zipfile
from collections.abc import Callable
from email.header import Header
from html import unescape
from urllib.parse import quote

import pytest

from tests.e2e import mails
from tests.e2e.rig import READER, SENDER, Gate
from tests.e2e.test_untouched import passes
from tests.lib.support import NOTICE, attachment, encoded, message, multipart, part

LONG = "x" * 990
DOTS = "\n.\n..\n.dot\n"
HARD = f"{DOTS}{LONG}\nFrom here on\n>From there\n-- \n\ttab \n--\n---\n--other--\nend \n"


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


# --- Bodies

BODIES: dict[str, Callable[[], bytes]] = {
    "both": lambda: mails.letter(mails.film()),
    "text": lambda: mails.letter(mails.film(), body=mails.plain()),
    "HTML": lambda: mails.letter(mails.film(), body=mails.html()),
    "empty text": lambda: mails.letter(mails.film(), body=mails.plain("")),
    "empty HTML": lambda: mails.letter(mails.film(), body=mails.html("")),
    "no body beside the file": lambda: message(multipart("mixed", mails.film())),
    "nothing but the file": lambda: message(mails.film()),
    "body behind the file": lambda: message(multipart("mixed", mails.film(), mails.plain())),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(gate: Gate, name: str) -> None:
    """Whatever body there is, a reader sees the notice in it, once, and nothing else that was not there."""
    gate.send(BODIES[name]())
    got = gate.delivered()
    assert got.files == {}
    kinds = [part.get_content_type() for part in got.message.walk() if not part.is_multipart()]
    told = {"text/plain": got.text, "text/html": got.html}
    for kind in set(kinds):
        assert told[kind].count(NOTICE) == 1
    assert len(kinds) == len(set(kinds))
    if name == "both":
        assert kinds == ["text/plain", "text/html"]
    elif "HTML" in name:
        assert kinds == ["text/html"]
        (record,) = gate.records
        assert f'/{record["id"]}/files/film.mp4"' in got.html
        assert gate.open(f"https://files.example.org/d/{record['id']}/files/film.mp4") == mails.FILM
    else:
        assert kinds == ["text/plain"]
    if kinds != ["text/html"]:
        assert gate.linked(got) == {"film.mp4": mails.FILM}
    if name in ("both", "text", "body behind the file"):
        assert crlf(mails.TEXT) in told["text/plain"]
    assert gate.notification()


GERMAN = "Grüße aus Köln,\nÄÖÜ äöü ß\n"
JAPANESE = "お世話になっております。\n添付の映像をご覧ください。\n"
CHARSETS = {
    "latin-1, 8bit": (GERMAN, "iso-8859-1", "8bit"),
    "latin-1, quoted-printable": (GERMAN, "iso-8859-1", "quoted-printable"),
    "windows-1252, base64": (GERMAN + "100 € “so”\n", "windows-1252", "base64"),
    "ISO-2022-JP": (JAPANESE, "iso-2022-jp", "7bit"),
    "ISO-2022-JP, base64": (JAPANESE, "iso-2022-jp", "base64"),
    "Shift_JIS, 8bit": (JAPANESE, "shift_jis", "8bit"),
    "UTF-8, 8bit": (GERMAN + JAPANESE, "utf-8", "8bit"),
    "UTF-8, base64": (GERMAN + JAPANESE, "utf-8", "base64"),
    "UTF-8, quoted-printable": (GERMAN + JAPANESE + HARD, "utf-8", "quoted-printable"),
    "ASCII, quoted-printable": (HARD, "us-ascii", "quoted-printable"),
    "ASCII, 7bit": (HARD, "us-ascii", "7bit"),
}


def transfer(text: str, charset: str, encoding: str) -> bytes:
    if encoding == "base64":
        return encoded(crlf(text).encode(charset))
    octets = text.encode(charset)
    return quopri.encodestring(octets) if encoding == "quoted-printable" else octets


@pytest.mark.parametrize("name", CHARSETS)
@pytest.mark.parametrize("file_name", ["film.mp4", "映像 Köln.mp4"])
def test_charsets(gate: Gate, name: str, file_name: str) -> None:
    """A reader sees the text as it was, and in it, above a signature, the notice, whatever its charset holds."""
    text, charset, encoding = CHARSETS[name]
    first_line = f"<p>{text.splitlines()[0]}</p>"
    body = multipart(
        "alternative",
        part(transfer(text, charset, encoding), f"text/plain; charset={charset}", encoding=encoding),
        part(transfer(first_line, charset, encoding), f"text/html; charset={charset}", encoding=encoding),
        boundary="forms",
    )
    film = part(
        encoded(mails.FILM), "video/mp4", encoding="base64",
        disposition=f"attachment; filename*=utf-8''{quote(file_name)}",
    )  # fmt: skip
    gate.send(mails.letter(film, body=body))
    got = gate.delivered()
    shown = got.text.replace("\r\n", "\n")
    notice = re.search(r"\n\n1 file.*?\nhttps?://\S+(?=\n|$)", shown, re.DOTALL)
    assert notice
    assert NOTICE in notice[0]
    before, after = shown[: notice.start()].rstrip("\n"), shown[notice.end() :].strip("\n")
    assert f"{before}\n{after}".rstrip("\n") == text.rstrip("\n")
    assert after.startswith("-- ") or not after
    assert first_line in got.html
    assert file_name in unescape(got.html)
    assert gate.linked(got) == {file_name: mails.FILM}
    assert max(map(len, got.raw.split(b"\r\n"))) <= 998


def test_body_in_which_nothing_can_be_written(gate: Gate) -> None:
    """Then a part of its own stands in front, and the body stays as it is."""
    for body in (
        part(GERMAN.encode("latin-1"), "text/plain; charset=utf-8", encoding="8bit"),
        part(b"Hello", "text/plain; charset=unheard-of"),
        part(transfer(GERMAN, "utf-16", "base64"), "text/html; charset=utf-16", encoding="base64"),
        multipart("alternative", mails.plain(), part(b"<p>H", "text/html; charset=unheard-of"), boundary="forms"),
    ):
        gate.send(mails.letter(mails.film(), body=body))
        got = gate.delivered()
        assert gate.linked(got) == {"film.mp4": mails.FILM}
        assert got.text.startswith("1 file to download")
        assert body.replace(b"\n", b"\r\n") in got.raw
        assert got.raw.count(NOTICE.encode()) == 1
        gate.forget()


# --- Names

KOELN = "Brücke in Köln"
TOKYO = "東京の橋についての報告"
NAMES: dict[str, tuple[str, Callable[[str], str]]] = {
    "RFC 2231, UTF-8": (KOELN, lambda name: f"filename*=utf-8''{quote(name)}"),
    "RFC 2231, latin-1": (KOELN, lambda name: f"filename*=iso-8859-1'de'{quote(name.encode('latin-1'))}"),
    "RFC 2231, in pieces": (
        TOKYO,
        lambda name: f"filename*0*=utf-8''{quote(name[:5])};\n filename*1*={quote(name[5:])}",
    ),
    "RFC 2047, base64": (TOKYO, lambda name: f'filename="=?utf-8?B?{base64.b64encode(name.encode()).decode()}?="'),
    "RFC 2047, Q": (KOELN, lambda name: f'filename="{Header(name, "iso-8859-1").encode()}"'),
    "RFC 2047, ISO-2022-JP": (TOKYO, lambda name: f'filename="{Header(name, "iso-2022-jp").encode(maxlinelen=999)}"'),
    "raw UTF-8": (KOELN, lambda name: f'filename="{name}"'),
    "both forms": (TOKYO, lambda name: f"filename=\"bridge.xyz\"; filename*=utf-8''{quote(name)}"),
}


@pytest.mark.parametrize("form", NAMES)
def test_names(gate: Gate, form: str) -> None:
    """The right name on disk, in text, HTML, page and notification; on the zip and in it."""
    name, write = NAMES[form]
    film, table = f"{name}.mp4", f"{name}.csv"
    gate.send(
        mails.letter(
            part(encoded(mails.FILM), "video/mp4", encoding="base64", disposition=f"attachment; {write(film)}"),
            part(encoded(mails.TABLE), "text/csv", encoding="base64", disposition=f"attachment; {write(table)}"),
        )
    )
    got = gate.delivered()
    assert gate.linked(got) == {film: mails.FILM}
    assert film in unescape(got.html)
    assert gate.records[0]["files"][0]["name"] == film
    told = gate.notification()
    assert told
    assert film in told.text
    assert list(got.files) == [f"{table}.zip"]
    with zipfile.ZipFile(io.BytesIO(got.files[f"{table}.zip"])) as archive:
        assert {info.filename: archive.read(info) for info in archive.infolist()} == {table: mails.TABLE}


def test_hostile_name(gate: Gate) -> None:
    """Nothing leaves the download's folder, and no markup reaches a reader."""
    gate.send(mails.letter(mails.film('../../<script>alert(1)</script>\\"&.mp4')))
    got = gate.delivered()
    (name,) = gate.linked(got)
    assert "/" not in name
    assert "<" not in name
    assert "<script" not in got.html


# --- Lines and octets

RAW_HEADERS = "X-Raw: Grüße\nX-Folded: a\n\tb\n c\nX-Long: " + "y" * 900 + "\n"


def test_hard_lines_pass(gate: Gate) -> None:
    body = part((HARD + GERMAN).encode(), "text/plain; charset=utf-8", encoding="8bit")
    through = passes(gate, message(body, RAW_HEADERS))
    assert through.content.endswith(crlf(HARD + GERMAN).encode())
    assert crlf(RAW_HEADERS).encode() in through.content


@pytest.mark.parametrize("end", [b"", b"\n", b".", b"\n.\n", b"\n\n\n", b"\n--b--", b" "])
def test_ends_pass(gate: Gate, end: bytes) -> None:
    """Messages without a line end at their end, which takes BDAT, and with other ends."""
    whole = message(multipart("mixed", mails.plain("text"), attachment(b"x" * 900))).removesuffix(b"\n") + end
    passes(gate, whole.replace(b"\n", b"\r\n"), raw=True, chunk=True)


@pytest.mark.parametrize("octets", [b"a\0b\r\n", b"a\rb\r\n", b"\x80\xff\xfe\r\n", b"a\nb\r\n", b"z" * 5000 + b"\r\n"])
def test_odd_octets_pass(gate: Gate, octets: bytes) -> None:
    data = message(b"Content-Type: text/plain\n\n").replace(b"\n", b"\r\n") + octets
    passes(gate, data, raw=True)


def test_hard_lines_stay_beside_a_link(gate: Gate) -> None:
    body = part((HARD + GERMAN).encode(), "text/plain; charset=utf-8", encoding="8bit")
    data = mails.letter(mails.film(), body=body, fields=RAW_HEADERS)
    gate.send(data.removesuffix(b"\n").replace(b"\n", b"\r\n"), raw=True, chunk=True)
    got = gate.delivered()
    above, below = crlf(HARD + GERMAN).split("\r\n-- \r\n")
    assert got.text.startswith(above)
    assert got.text.rstrip("\r\n").endswith("\r\n\r\n-- \r\n" + below.rstrip("\r\n"))
    assert crlf(RAW_HEADERS).encode() in got.content
    assert gate.linked(got) == {"film.mp4": mails.FILM}
    before = data[: data.index(HARD.encode())]
    assert got.content.startswith(before.replace(b"\n", b"\r\n"))
    assert got.content.endswith(b"\r\n--outer--\r\n")


def test_only_the_edits_differ(gate: Gate) -> None:
    """Beside a link, all that is no notice is what came, octet for octet."""
    parts = (mails.plain(), attachment(b"x" * 900, "small.txt"), mails.film())
    around = {"preamble": b"A preamble.\n", "epilogue": b"An epilogue,\nof two lines.\n"}
    entity = multipart("mixed", *parts, boundary="outer", **around)
    gate.send(message(entity))
    got = gate.delivered()
    without = message(entity).replace(b"--outer\n" + mails.film() + b"\n", b"").replace(b"\n", b"\r\n")
    start, end = (
        got.content.index(b"\r\n1 file to download"),
        got.content.index(b"\r\n--outer\r\nContent-Type: application"),
    )
    notice = got.content[start:end]
    assert got.content.replace(notice, b"") == without
    assert gate.linked(got) == {"film.mp4": mails.FILM}


# --- Addresses

ADDRESSES = {
    "quoted": ('"sp ace"@example.org', ['"a,b c"@example.net', '"x@y"@example.net', READER]),
    "quotes inside": ('"quo\\"te"@example.org', ['"back\\\\slash"@example.net']),
    "of a shell": ('"$(id)`x`;|"@example.org', ['"$(id)"@example.net', "a'b@example.net", "x&y@example.net"]),
    "like options": ("a-b=c@example.org", ["--@example.net", "f+ext@example.net"]),
    "dots": ("a..b@example.org", ["a..b@example.net", READER]),
    "SMTPUTF8 sender": ("grüße@example.org", [READER]),
    "SMTPUTF8 recipient": (SENDER, ["δοκιμή@example.net", READER]),
    "SMTPUTF8 domain": (SENDER, ["leser@bücher.example"]),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_addresses(gate: Gate, name: str) -> None:
    """Each address arrives as it came, and nobody else gets mail."""
    sender, recipients = ADDRESSES[name]
    recipients = [address for address in recipients if not address.startswith("-")]
    data = mails.letter(mails.film())
    gate.send_unfiltered(message(mails.plain()), sender, recipients)
    (past,) = gate.settle()
    gate.forget()
    gate.send(data, sender, recipients)
    got = [one for one in gate.settle() if one.sender != ""]
    assert len(got) == 1
    assert (got[0].sender, sorted(got[0].recipients)) == (past.sender, sorted(past.recipients))
    assert gate.linked(got[0]) == {"film.mp4": mails.FILM}
    assert sorted(address for address in got[0].recipients) == sorted(past.recipients)
    told = [one for one in gate.at_sink() if one.sender == ""]
    assert [one.recipients for one in told] == [[f"<{past.sender}>"]]
    # sendmail(1) has no way to ask for it where headers shall not (smtputf8_autodetect_classes).
    if gate.layout != "sendmail":
        assert ("SMTPUTF8" in got[0].mail) == ("SMTPUTF8" in name)
