"""Where a notice stands: directly below what the sender wrote, whatever program wrote it."""

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from email_reply_parser import EmailReplyParser
from hypothesis import given
from hypothesis import strategies as st
from quotequail import quote, quote_html, unwrap, unwrap_html

from pfilter.message import codec, roles
from pfilter.notices.texts import Notice
from pfilter.rewriting import body, history_html, insert, placing, splice
from tests.lib import support
from tests.lib.replies import BOTH, HTMLS, TEXTS, Case
from tests.lib.support import BytesSpool, MemoryArena, content, multipart, part, scanned
from tests.unit.rewriting.test_body import ENCODERS
from tests.unit.rewriting.test_visible import MARK, TOKENS, ancestors_of_the_notice, is_seen

if TYPE_CHECKING:
    from pfilter.config.settings import Place

NOTICE = Notice(
    text="1 file to download, available until 1 December 2026\n\n  plans.pdf (2.0 MB)\n\nhttps://files.example.org/d/new/",
    html='<table role="presentation"><tr><td>NOTICE <a href="https://files.example.org/d/new/">Download</a></td></tr></table>',
)
ENCODINGS = ("8bit", "quoted-printable", "base64")


def mail(case: Case, encoding: str = "8bit") -> bytes:
    """Return a message with a case's body or bodies, without the mark."""
    bodies = [
        part(ENCODERS[encoding](body.replace("§", "").encode()), f"text/{kind}; charset=utf-8", encoding=encoding)
        for kind, body in (("plain", case.text), ("html", case.html))
        if body
    ]
    entity = multipart("alternative", *bodies) if len(bodies) > 1 else bodies[0]
    return support.message(entity, "In-Reply-To: <0@example.com>\n" if case.reply else "")


def told(data: bytes, place: "Place" = "auto") -> "list[str] | None":
    """Return the bodies of a message after the notice was put into them."""
    found, spool = scanned(data), BytesSpool(data)
    bodies = [one for one in found.parts if not one.is_multipart]
    edits = placing.put_notice(spool, found, bodies, NOTICE, place, MemoryArena())
    if edits is None:
        return None
    result = content(splice.apply(spool, edits, lambda: "/tmp"))
    return [support.text_of(leaf).replace("\r\n", "\n") for leaf in support.leaves(support.parsed(result))]


def stands(new: str, marked: str, notice: str) -> None:
    """Assert that a notice stands where the mark was, with nothing else inserted but blanks, and only there."""
    before, mark, after = marked.partition("§")
    assert mark
    start, found, end = new.partition(notice)
    assert found
    assert (start.rstrip(), end.strip()) == (before.rstrip(), after.strip())
    assert start.startswith(before.rstrip("\n"))
    assert end.rstrip("\n").endswith(after.rstrip("\n"))


TEXT_CASES = [pytest.param(case, id=name) for name, case in TEXTS.items()]
HTML_CASES = [pytest.param(case, id=name) for name, case in HTMLS.items()]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", TEXT_CASES)
def test_a_notice_stands_below_the_words_of_a_text(case: Case, encoding: str) -> None:
    """Above signature and history, below the last words; in all encodings, with empty lines around it."""
    (new,) = told(mail(case, encoding)) or []
    stands(new, case.text, NOTICE.text)
    around = re.sub(r"\n{3,}", "\n\n", new)
    assert f"\n\n{NOTICE.text}\n\n" in f"\n\n{around}\n\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", HTML_CASES)
def test_a_notice_stands_below_the_words_of_html(case: Case, encoding: str) -> None:
    """Above signature and history, below the last words, where the markup lets a table stand."""
    (new,) = told(mail(case, encoding)) or []
    stands(new, case.html, NOTICE.html)


@pytest.mark.parametrize("name", BOTH)
def test_text_and_html_agree(name: str) -> None:
    """Both forms of a message have the notice above the same; what one form tells counts for the other."""
    text, html = told(mail(BOTH[name])) or []
    stands(text, BOTH[name].text, NOTICE.text)
    stands(html, BOTH[name].html, NOTICE.html)


@pytest.mark.parametrize("case", [*TEXT_CASES, *HTML_CASES])
@pytest.mark.parametrize("place", ["top", "end"])
def test_one_place_for_all(case: Case, place: "Place") -> None:
    """With top the notice is above everything, with end below everything, or it is a part of its own."""
    new = told(mail(case), place)
    if new is None:
        assert place == "end"  # where a quotation is still open
        return
    notice, old = (NOTICE.text, case.text) if case.text else (NOTICE.html, case.html)
    before, _, after = new[0].partition(notice)
    assert (before + after).replace("\n", "") == old.replace("§", "").replace("\n", "")
    if case.text:
        assert (before if place == "top" else after).strip() == ""
    else:
        assert "blockquote" not in {one.tag.rpartition("}")[2] for one in ancestors_of_the_notice(new[0].encode())}


# --- The programs that hide history

SHOWN = "https://files.example.org/d/new/"


def quotequail_text(text: str, case: Case) -> bool:
    """Whether quotequail shows the notice: above what it hides, or, where words stand below, among these."""
    top = "".join(piece for shown, piece in quote(text) if shown)
    if SHOWN in top:
        return True
    found = unwrap(text) or {}
    return case.below_history and SHOWN in f"{found.get('text_top')}{found.get('text_bottom')}"


@pytest.mark.parametrize("case", TEXT_CASES)
def test_libraries_show_the_notice_in_a_text(case: Case) -> None:
    """Programs that hide history by quotequail or email_reply_parser do not hide the notice."""
    (new,) = told(mail(case)) or []
    assert quotequail_text(new, case)
    assert SHOWN in EmailReplyParser.parse_reply(new)


@pytest.mark.parametrize("case", HTML_CASES)
def test_libraries_show_the_notice_in_html(case: Case) -> None:
    """Programs that hide history in HTML by quotequail do not hide the notice."""
    (new,) = told(mail(case)) or []
    shown = "".join(piece for shown, piece in quote_html(new) if shown)
    if case.below_history:
        assert SHOWN not in shown  # as the words themselves
        shown = (unwrap_html(new) or {}).get("html_bottom", "")
    assert SHOWN in shown


# --- Only insertion

LINES = st.sampled_from(
    ["", "", "words", "Grüße = Küsse", "  indented  ", "> quoted", ">", "-- ", "--", "Ann",
     "On 24/11/2026 10:00, Bob wrote:",
     "-----Original Message-----", "From: Bob", "Sent: today", "To: Ann", "日本語のメール", "x" * 200]
)  # fmt: skip
CODECS = [
    ("utf-8", "8bit"), ("utf-8", "base64"), ("utf-8", "quoted-printable"), ("iso-8859-1", "quoted-printable"),
    ("iso-2022-jp", "7bit"), ("iso-2022-jp", "base64"), ("utf-16-le", "base64"), ("utf-16-be", "base64"),
    ("shift_jis", "8bit"), ("gb18030", "base64"),
]  # fmt: skip


@given(
    lines=st.lists(LINES, max_size=12),
    eol=st.sampled_from(["\n", "\r\n"]),
    coding=st.sampled_from(CODECS),
    place=st.sampled_from(["auto", "top", "end"]),
    block=st.sampled_from([8, 1 << 16]),
)
def test_a_text_is_only_added_to(
    lines: list[str], eol: str, coding: tuple[str, str], place: "Place", block: int
) -> None:
    """Whatever the lines, charset, encoding: what the reader has beside the notice is what there was, to the octet."""
    charset, encoding = coding
    old = eol.join(lines).encode(charset, "replace")
    octets = ENCODERS[encoding](old)
    if eol == "\r\n":
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    data = support.message(part(octets, f"text/plain; charset={charset}", encoding=encoding))
    found = scanned(data)
    with mock.patch.object(insert, "BLOCK", block):
        edits = placing.put_notice(BytesSpool(data), found, [found.root], NOTICE, place, MemoryArena())
    assert edits is not None
    result = content(splice.apply(BytesSpool(data), edits, lambda: "/tmp"))
    again = scanned(result).root
    assert again.param(b"charset") == charset.encode()
    before = b"".join(codec.decode(BytesSpool(data), found.root.body, found.root.encoding))
    after = b"".join(codec.decode(BytesSpool(result), again.body, again.encoding))
    start, notice, end = after.decode(charset).replace("\r\n", "\n").partition(NOTICE.text)
    assert notice
    # What stands beside the notice is the old text, with line ends added to it where they meet.
    text = before.decode(charset).replace("\r\n", "\n")
    assert any(
        start.rstrip("\n") == text[:cut].rstrip("\n") and end.strip("\n") == text[cut:].strip("\n")
        for cut in range(len(text) + 1)
    )
    if encoding != "base64":
        assert all(edit.range.size == 0 for edit in edits)


def test_a_byte_order_mark_stays_in_front() -> None:
    """A notice at the top stands behind it."""
    for encoding in ENCODINGS:
        octets = ENCODERS[encoding]("\ufeffHello\n".encode())
        (new,) = told(support.message(part(octets, "text/plain; charset=utf-8", encoding=encoding)), "top") or []
        assert re.sub(r"\n{3,}", "\n\n", new) == f"\ufeff{NOTICE.text}\n\nHello\n"


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "7bit"])
def test_a_long_thread_stays_to_the_octet(encoding: str) -> None:
    """Below megabytes of history nothing is coded anew: what stands behind the notice stands as it stood."""
    old = "words\n\nOn 24/11/2026 10:00, Bob wrote:\n" + "> What was said before, in many words = ever more\n" * 15_000
    data = support.message(part(ENCODERS[encoding](old.encode()), "text/plain; charset=us-ascii", encoding=encoding))
    found = scanned(data)
    (edit,) = placing.put_notice(BytesSpool(data), found, [found.root], NOTICE, "auto", MemoryArena()) or []
    assert edit.range.size <= 4
    assert edit.range.end < found.root.body.start + 50
    (new,) = told(data) or []
    stands(new, old.replace("On 24", "§On 24"), NOTICE.text)


def test_a_text_without_end_is_not_searched() -> None:
    """A text over the limit gets the notice at its end, or, a reply, at its top; its octets stay."""
    old = "words\n\n-- \nAnn\n" + "a line\n" * (body.LOOKED // 7 + 1)
    for fields, start in (("", False), ("In-Reply-To: <1@example.com>\n", True)):
        data = support.message(part(old.encode()), fields)
        (new,) = told(data) or []
        assert new.startswith(NOTICE.text) == start
        assert new.rstrip("\n").endswith(NOTICE.text) != start
        assert old in new


MARKS = (
    *('<div class="gmail_quote">', '<blockquote type="cite">', '<blockquote class="gmail_quote">', "</blockquote>"),
    *(
        '<div id="appendonsend">',
        '<div class="moz-signature">',
        '<span class="gmail_signature">',
        "-- <br>",
        "&gt; q<br>",
    ),
    *('<td class="gmail_signature">', '<div hidden class="gmail_quote">', "<!--[if !mso]><!-->", "<!--<![endif]-->"),
    *('<a href="x">', "</a>", "<p>", "</p>", "<ul>", "<li>", "<pre>", "<label>", "words", "more", "&gt; q<br>"),
)
MARKED = st.sampled_from(MARKS)


@given(tokens=st.lists(st.one_of(MARKED, TOKENS), max_size=14))
def test_whatever_marks_there_are_a_notice_is_seen(tokens: list[str]) -> None:
    """In no order of tags and marks does a notice stand where an HTML5 parser hides or quotes it, or in a link."""
    data = "".join(tokens).encode()
    found = history_html.read(data, "utf-8")
    if found is None:
        return
    for place in {found.top, found.below.place if found.below else -1} - {-1, found.end}:
        html = data[:place] + b"\n" + MARK + b"\n" + data[place:]
        try:
            names = {one.tag.rpartition("}")[2] for one in ancestors_of_the_notice(html)}
        except (AssertionError, IndexError):  # of the parser itself
            return
        assert is_seen(html), html
        assert not {"a", "label", "button"} & names, html


# --- Replies of real programs

# What the sender's words end with, and what follows them.
REAL = {
    "android": ("Hello", "02.04.2012 14:20"),
    "aol": ("Hello", "-----Original Message-----"),
    "apple_mail": ("Hello", "On Apr 3, 2012, at 4:19 PM, bob wrote:"),
    "apple_mail_2": ("Hello", "> On 22 Aug 2015, at 19:21"),
    "comcast": ("Hello", "----- Original Message -----"),
    "gmail": ("Hello", "On Mon, Apr 2, 2012 at 6:26 PM"),
    "hotmail": ("Hello", "> Subject: Test"),
    "iphone": ("Hello", "Sent from my iPhone"),
    "outlook": ("", "From: xxx@xxx.mailgun.org"),
    "sparrow": ("Hello", "--"),
    "thunderbird": ("Hello", ""),
    "yahoo": ("Hello", "----- Original Message -----"),
}
REPLIES = Path(__file__).parent / "replies"


@pytest.mark.parametrize("name", REAL)
def test_real_replies(name: str) -> None:
    """In replies as programs wrote them the notice stands between the words and what follows, in each form."""
    data = (REPLIES / f"{name}.eml").read_bytes()
    found, spool = scanned(data), BytesSpool(data)
    edits = placing.put_notice(spool, found, roles.main_bodies(found), NOTICE, "auto", MemoryArena())
    assert edits
    result = content(splice.apply(spool, edits, lambda: "/tmp"))
    words, rest = REAL[name]
    seen = 0
    for leaf in support.leaves(support.parsed(result)):
        shown = support.text_of(leaf)
        if SHOWN not in shown:
            continue
        seen += 1
        if leaf.get_content_type() == "text/html":
            shown = unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?is)<style.*?</style>|<!--.*?-->", "", shown)))
        notice = re.search(r"NOTICE Download|1 file to[^/]*https:\S+", shown)
        assert notice
        assert shown[: notice.start()].rstrip().endswith(words)
        after = " ".join(shown[notice.end() :].split())
        assert after.startswith((rest, "From: bob") if "Original" in rest else rest), after[:80]
        assert bool(after) == bool(rest)
    assert seen == len(roles.main_bodies(found))


def test_all_real_replies_are_read() -> None:
    """The folder and the table say the same."""
    assert {path.stem for path in REPLIES.glob("*.eml")} == set(REAL)
