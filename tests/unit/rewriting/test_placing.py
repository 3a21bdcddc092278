"""Where a notice stands: directly below what the sender wrote, whatever program wrote it."""

import re
from typing import TYPE_CHECKING

import pytest
from email_reply_parser import EmailReplyParser
from quotequail import quote, quote_html, unwrap

from pfilter.notices.texts import Notice
from pfilter.rewriting import placing, splice
from tests.lib import support
from tests.lib.replies import BOTH, HTMLS, TEXTS, Case
from tests.lib.support import BytesSpool, MemoryArena, content, multipart, part, scanned

if TYPE_CHECKING:
    from pfilter.config.settings import Place

NOTICE = Notice(
    text="1 file to download, available until 1 December 2026\n\n  plans.pdf (2.0 MB)\n\nhttps://files.example.org/d/new/",
    html='<table role="presentation"><tr><td>NOTICE <a href="https://files.example.org/d/new/">Download</a></td></tr></table>',
)
ENCODINGS = ("8bit", "quoted-printable", "base64")


def mail(case: Case, encoding: str = "8bit") -> bytes:
    """Return a message with a case's body or bodies, without the mark."""
    from tests.unit.rewriting.test_body import ENCODERS

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
    from tests.unit.rewriting.test_visible import ancestors_of_the_notice

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


@pytest.mark.parametrize("case", [pytest.param(c, id=n) for n, c in HTMLS.items() if not c.below_history])
def test_libraries_show_the_notice_in_html(case: Case) -> None:
    """Programs that hide history in HTML by quotequail do not hide the notice."""
    (new,) = told(mail(case)) or []
    assert SHOWN in "".join(piece for shown, piece in quote_html(new) if shown)
