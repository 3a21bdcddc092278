"""A notice into bodies of all kinds: the reader sees it once, and the rest as it was."""

import base64
import quopri
import re
import tempfile

import pytest

from pfilter.message import codec
from pfilter.rewriting import body_html, splice
from tests.lib import support
from tests.lib.support import BytesSpool, content, message, scanned

NOTE = "Files:\n\n  a.bin (1 kB)\n\nhttps://files.example.org/d/x/"
HTML_NOTE = '<p>Files: <a href="https://files.example.org/d/x/">a.bin</a></p>'
NON_ASCII_NOTE = "Dateien für Sie:\n\n  日本語.txt"

ENCODERS = {
    "7bit": lambda data: data,
    "8bit": lambda data: data,
    "quoted-printable": quopri.encodestring,
    "base64": base64.encodebytes,
}


def told(data: bytes, note: str = NOTE) -> "bytes | None":
    """Return a message with a note in its body, the root."""
    found = scanned(data)
    spool = BytesSpool(data)
    edits = support.notice_edits(spool, found.root, note, found.eol)
    return None if edits is None else content(splice.apply(spool, edits, tempfile.gettempdir))


def text_message(text: str, charset: str, encoding: str, *, kind: str = "plain", more: str = "") -> bytes:
    """Return a message that is one text."""
    coded = ENCODERS[encoding](text.encode(charset))
    return message(support.part(coded, f"text/{kind}; charset={charset}{more}", encoding=encoding))


def shown(data: "bytes | None") -> str:
    """Return the text that a reader sees, with LF line ends."""
    assert data is not None
    tree = support.parsed(data)
    payload = tree.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(tree.get_content_charset("us-ascii")).replace("\r\n", "\n")


CASES = [
    ("Hello", "us-ascii", "7bit"),
    ("Hello", "us-ascii", "quoted-printable"),
    ("Hello", "us-ascii", "base64"),
    ("Grüße", "utf-8", "8bit"),
    ("Grüße = Küsse", "utf-8", "quoted-printable"),
    ("Grüße " * 60, "utf-8", "base64"),
    ("Grüße", "iso-8859-1", "8bit"),
    ("Grüße " * 40, "iso-8859-1", "quoted-printable"),
    ("Grüße", "iso-8859-1", "base64"),
    ("日本語", "iso-2022-jp", "7bit"),
    ("日本語", "iso-2022-jp", "base64"),
    ("日本語", "iso-2022-jp", "quoted-printable"),
    ("Grüße", "utf-16", "base64"),
    ("日本語", "utf-16-le", "base64"),
    ("日本語", "shift_jis", "8bit"),
]
cases = pytest.mark.parametrize(("text", "charset", "encoding"), CASES)


@cases
@pytest.mark.parametrize("final", ["", "\n", "\n\n"], ids=["no line end", "line end", "two"])
@pytest.mark.parametrize("twin", [support.lf, support.crlf], ids=["LF", "CRLF"])
def test_text_gets_the_notice_at_its_end(text: str, charset: str, encoding: str, final: str, twin: object) -> None:
    """In every charset and encoding the text is as it was, then an empty line, then the notice."""
    data = text_message(text + final, charset, encoding)
    if encoding != "base64" or twin is support.lf:
        data = twin(data)  # type: ignore[operator]
    assert shown(told(data)).rstrip("\n") == f"{text}\n\n{NOTE}"


@cases
def test_text_gets_any_characters(text: str, charset: str, encoding: str) -> None:
    """A notice that the charset can't hold makes the part UTF-8, and its header says so."""
    result = told(text_message(text + "\n", charset, encoding), NON_ASCII_NOTE)
    assert shown(result).rstrip("\n") == f"{text}\n\n{NON_ASCII_NOTE}"


def test_other_parameters_stay_when_the_charset_changes() -> None:
    """A part that becomes UTF-8 keeps what else its Content-Type says."""
    data = text_message("Hello", "us-ascii", "7bit", more='; format=flowed; name="a b.txt"')
    result = told(data, NON_ASCII_NOTE)
    assert result is not None
    tree = support.parsed(result)
    assert (tree.get_content_charset(), tree.get_param("format"), tree.get_param("name")) == (
        "utf-8",
        "flowed",
        "a b.txt",
    )
    assert tree["Content-Transfer-Encoding"] == "quoted-printable"


def test_a_body_without_fields_is_us_ascii() -> None:
    """A message without MIME fields gets the notice, and only gets fields where it needs them."""
    data = b"Subject: x\n\nHello\n"
    assert told(data) == b"Subject: x\n\nHello\n\n" + NOTE.encode("ascii") + b"\n"
    assert shown(told(data, NON_ASCII_NOTE)) == f"Hello\n\n{NON_ASCII_NOTE}\n"


@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("note", [NOTE, NON_ASCII_NOTE])
def test_an_empty_text(encoding: str, note: str) -> None:
    """An empty body becomes the notice."""
    assert shown(told(text_message("", "us-ascii", encoding), note)).strip("\n") == note


def test_only_the_tail_is_written_anew() -> None:
    """Of a long base64 body all but its end stays octet for octet."""
    data = text_message("Hello\n" * 5000, "utf-8", "base64")
    result = told(data)
    assert result is not None
    assert result.startswith(data[:-2000])


def outside(data: bytes, result: "bytes | None") -> int:
    """Return how many octets of a message are no longer there, before and behind what was inserted."""
    assert result is not None
    before = next((n for n, (a, b) in enumerate(zip(data, result, strict=False)) if a != b), len(data))
    rest, end = data[before:], result[before:]
    behind = next((n for n, (a, b) in enumerate(zip(reversed(rest), reversed(end), strict=False)) if a != b), len(rest))
    return len(rest) - behind


# Tails of quoted-printable as writers leave them, and what they are read as.
QP_TAILS = [
    (b"Hello", "Hello"),
    (b"Hello  ", "Hello"),
    (b"Hello \n", "Hello\n"),
    (b"Hello=20\n", "Hello \n"),
    (b"Hello=\n", "Hello"),
    (b"Hello=", "Hello"),
    (b"Hel=\nlo, wor=\nld =\n=\n", "Hello, world "),
    (b"Hello=0A", "Hello\n"),
    (b"Hello=0A=0A", "Hello\n\n"),
    (b"Hello=0A  ", "Hello\n"),
    (b"Gr=fc=DFe\n\n", "Gr\u00fc\u00dfe\n\n"),
    (b"x" * 76 + b"\n", "x" * 76 + "\n"),
    (b"x" * 75 + b"=\n" + b"y" * 100, "x" * 75 + "y" * 100),
    (b"short=\nlines=\nof the sender" + b"=\nand more" * 90, "shortlinesof the sender" + "and more" * 90),
]
QP_HTML = [
    (b"Hi|</body>", "Hi|</body>"),
    (b"Hi |</body>", "Hi |</body>"),
    (b"Hi\t|</bo=\ndy></html>  \n", "Hi\t|</body></html>\n"),
    (b"Hi=\n|</body>", "Hi|</body>"),
    (b"Hi =\n|</body>", "Hi |</body>"),
    (b"Hi|=3C/body=3e", "Hi|</body>"),
    (b"x" * 69 + b"|</body=\n></html>", "x" * 69 + "|</body></html>"),
    (b"Hi|</body>" + b"=\n<!-- " + b"y" * 70 + b"=\n y=\n -->", "Hi|</body><!-- " + "y" * 70 + " y -->"),
    (b"Hi|  ", "Hi|"),
    (b"Hi =\n|", "Hi |"),
]


@pytest.mark.parametrize("twin", [support.lf, support.crlf], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("coded", "text"), QP_TAILS)
def test_quoted_printable_stays_around_the_notice(coded: bytes, text: str, twin: object) -> None:
    """The sender's soft line breaks, blanks and spellings stay as they are, and no line of ours passes 76 octets."""
    data = twin(message(support.part(coded, "text/plain; charset=iso-8859-1", encoding="quoted-printable")))  # type: ignore[operator]
    result = told(data, NOTE + "/" + "z" * 120)
    assert outside(data, result) == 0
    assert result is not None
    assert max(map(len, result.replace(b"\r\n", b"\n").partition(b"\n\n")[2].split(b"\n"))) <= max(
        76, *map(len, coded.split(b"\n"))
    )
    assert (
        shown_strictly(result).rstrip("\n")
        == text.rstrip("\n") + "\n" * max(2, text.count("\n")) + NOTE + "/" + "z" * 120
    )


@pytest.mark.parametrize("twin", [support.lf, support.crlf], ids=["LF", "CRLF"])
@pytest.mark.parametrize(("coded", "text"), QP_HTML)
def test_quoted_printable_html_stays_around_the_notice(coded: bytes, text: str, twin: object) -> None:
    """A line is cut for the notice by soft line breaks, so that no blank gets lost and nothing is wrapped anew."""
    coded = coded.replace(b"|", b"")
    data = twin(message(support.part(coded, "text/html; charset=us-ascii", encoding="quoted-printable")))  # type: ignore[operator]
    result = told(data, HTML_NOTE)
    assert outside(data, result) == 0
    assert result is not None
    assert max(map(len, result.replace(b"\r\n", b"\n").partition(b"\n\n")[2].split(b"\n"))) <= 76
    assert shown_strictly(result) == text.replace("|", "\n" + HTML_NOTE + "\n")


def shown_strictly(data: bytes) -> str:
    """Return what a text in quoted-printable says, by RFC 2045: blanks at the end of a line are no content."""
    found = scanned(data)
    octets = b"".join(codec.decode(BytesSpool(data), found.root.body, b"quoted-printable"))
    return octets.decode("iso-8859-1").replace("\r\n", "\n")


@pytest.mark.parametrize("length", [60, 64, 72, 76, 996])
@pytest.mark.parametrize("text", ["Hello\n" * 50, "Hello\n" * 50 + "!", "Hello\n" * 50 + "!!", "", "x"])
@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize("end", ["", "</body></html>", "</body></html>\n", "</body></html>\n\n"])
def test_base64_stays_around_the_notice(length: int, text: str, kind: str, end: str) -> None:
    """Of base64, in whatever lines, no more than the four octets around the notice are coded anew."""
    dense = base64.b64encode((text + end).encode("ascii"))
    coded = b"".join(dense[at : at + length] + b"\n" for at in range(0, len(dense), length))
    data = message(support.part(coded, f"text/{kind}; charset=us-ascii", encoding="base64"))
    result = told(data, HTML_NOTE)
    assert outside(data, result) <= 4
    if kind == "html" and end:
        assert re.sub(r"\n *</body>", "\n</body>", shown(result)) == f"{text}\n{HTML_NOTE}\n{end}"
    else:
        assert shown(result).rstrip("\n").endswith(HTML_NOTE)
        assert shown(result).startswith(text + end)


def test_a_soft_line_break_at_the_end_is_closed() -> None:
    """Quoted-printable that ends in a soft line break does not swallow the notice's first line."""
    data = message(support.part(b"Hello=\n", "text/plain; charset=utf-8", encoding="quoted-printable"))
    assert shown(told(data)).rstrip("\n") == f"Hello\n\n{NOTE}"


def test_base64_without_line_ends() -> None:
    """Base64 in one long line is understood."""
    coded = base64.b64encode("Grüße\n".encode() * 500)
    data = message(support.part(coded, "text/plain; charset=utf-8", encoding="base64"))
    assert shown(told(data)) == "Grüße\n" * 500 + f"\n{NOTE}\n"


def test_flowed_text_does_not_flow_into_the_notice() -> None:
    """In format=flowed no line of the notice ends in a blank, and lines that begin with one are stuffed (RFC 3676)."""
    data = text_message("A paragraph \nthat flows.\n", "us-ascii", "7bit", more="; format=flowed")
    added = shown(told(data)).partition("flows.\n")[2]
    assert not any(line.endswith(" ") for line in added.split("\n"))
    assert "\n   a.bin (1 kB)\n" in added  # one blank of stuffing before the two of the notice


def test_flowed_text_that_ends_flowing() -> None:
    """A flowed line at the very end is followed by an empty line, not by the notice."""
    data = text_message("A paragraph that flows \n", "us-ascii", "7bit", more="; format=flowed")
    assert "flows \n\nFiles:" in shown(told(data))


def test_lines_stay_within_998_octets() -> None:
    """A notice of a long name never makes a line longer than SMTP allows."""
    data = text_message("Hello\n", "us-ascii", "7bit")
    for note in ("x" * 1200, "ü" * 600, "x" * 998, "x" * 999):
        result = told(data, note)
        assert result is not None
        assert max(map(len, result.split(b"\n"))) <= 998
        assert shown(result).rstrip("\n") == f"Hello\n\n{note}"


@pytest.mark.parametrize(
    ("content_type", "encoding", "octets"),
    [
        ("text/plain; charset=utf-8", "8bit", b"\xff\xfe"),
        ("text/plain; charset=us-ascii", "8bit", b"\xc3\xa9"),
        ("text/plain; charset=x-unknown", "7bit", b"Hello"),
        ("text/plain; charset=unicode_escape", "7bit", b"Hello"),
        ("text/plain; charset=base64", "7bit", b"Hello"),
        ("text/plain; charset=utf-8", "base64", b"!!!!"),
        ("text/plain; charset=utf-8", "quoted-printable", b"=XY"),
        ("text/plain; charset=utf-8", "x-uuencode", b"Hello"),
        ("text/plain; charset=utf-16", "base64", base64.b64encode(b"\xff\xfeH")),
        ("text/html; charset=utf-16", "base64", base64.b64encode("<p>Hello".encode("utf-16"))),
        ("text/html; charset=utf-8", "8bit", b"\xff"),
    ],
    ids=["not utf-8", "8-bit in us-ascii", "unknown charset", "escapes", "codec that is none", "not base64", "not qp",
         "unknown encoding", "half a character", "wide html", "html not utf-8"],
)  # fmt: skip
def test_what_cannot_be_decoded_is_left(content_type: str, encoding: str, octets: bytes) -> None:
    """A body that is not what it says of itself is left alone."""
    assert told(message(support.part(octets, content_type, encoding=encoding)), HTML_NOTE) is None


HTML = [
    ("<html><body><p>Hi</p>", "</body></html>\n"),
    ("<html><BODY><p>Hi</p>", "</BODY ></html>\n"),
    ("<p>Hi</p><!-- </body> --><p>more</p>", "</body>"),
    ("<p>Hi</p>", "</body><!-- </body> --></html>"),
    ('<p title="</body>">Hi</p>', "</body></html>"),
    ("<p title='</body>'>Hi</p>", "</body></html>"),
    ("<script>var x = '</body>';</script><p>Hi</p>", "</body></html>"),
    ("<p>Hi</p>", "</body><script>var x = '</body>';</script></html>"),
    ("<style>/* </body> */</style><p>Hi</p>", "</body>"),
    ("<textarea></body></textarea>", "</body>"),
    ("<body>one</body><body>two", "</body>"),
    ("<!--[if mso]><p></body></p><![endif]--><p>Hi</p>", "</body></html>"),
    ("<p>&lt;/body&gt;</p>", "</body>"),
    ("<p>no end at all</p>", ""),
    ("<p>no body end</p>", "</html>\n"),
    ("<p>no body end</p>", "</html>\n<!-- generated -->\n"),
    ("<blockquote><html><body>q</body></html></blockquote>", "</html>"),
    ("<blockquote><html><body>q</body></html></blockquote><p>more", ""),
    ("</bodyguard>", "</body>"),
    ('<p>1 < 2 and a="', "</body>"),
    ("plain", ""),
]
htmls = pytest.mark.parametrize(("before", "after"), HTML)


@htmls
@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_html_gets_the_notice_where_its_body_ends(before: str, after: str, encoding: str) -> None:
    """Before the last real </body> or </html>, not one in a comment, an attribute, a script or a quotation."""
    data = text_message(before + after, "utf-8", encoding, kind="html")
    text = shown(told(data, HTML_NOTE))
    start, _, rest = text.partition(HTML_NOTE)
    assert (start.strip(), rest.strip()) == (before.strip(), after.strip())


@pytest.mark.parametrize("charset", ["us-ascii", "iso-8859-1", "iso-2022-jp", "utf-8"])
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_html_never_changes_its_charset(charset: str, encoding: str) -> None:
    """What the charset can't hold stands in HTML as a character reference; the header stays."""
    data = text_message("<p>Hi</p></body>", charset, encoding, kind="html")
    result = told(data, "<p>日本語</p>")
    assert result is not None
    assert support.parsed(result).get_content_charset() == charset
    assert any(form in shown(result) for form in ("<p>日本語</p>", "<p>&#26085;&#26412;&#35486;</p>"))


def test_html_in_iso_2022_jp() -> None:
    """Octets of Japanese that look like a tag are none."""
    text = "<body><p>日本語</p></body></html>"
    data = text_message(text, "iso-2022-jp", "7bit", kind="html")
    assert shown(told(data, HTML_NOTE)) == text.replace("</body>", "\n" + HTML_NOTE + "\n</body>")


def test_html_with_accents_keeps_them() -> None:
    """HTML in quoted-printable keeps every character around the notice."""
    text = "<p>Grüße, Küsse</p>" * 200 + "</body></html>"
    data = text_message(text, "iso-8859-1", "quoted-printable", kind="html")
    assert shown(told(data, HTML_NOTE)).replace("\n" + HTML_NOTE + "\n", "") == text


def test_large_html_is_left() -> None:
    """HTML beyond the limit is not looked at, so nobody knows what its end is in."""
    before = "<p>text</p>\n" * (body_html.WHOLE // 12 + 10)
    assert told(text_message(before + "</body></html>\n", "us-ascii", "7bit", kind="html"), HTML_NOTE) is None


@pytest.mark.parametrize(
    "start",
    [
        "<a " * 50_000,
        "<!--" * 50_000,
        "<script>" * 30_000,
        "<a b='" * 40_000,
        '<a "' * 50_000,
        "<b hidden>" * 50_000 + "</i>" * 50_000,
        "<svg>" + "<title>x</title>" * 30_000,
    ],
)
def test_hostile_html_takes_no_time(start: str) -> None:
    """No HTML makes the search for its end go back and forth."""
    from time import process_time

    data = text_message(start, "us-ascii", "7bit", kind="html")
    began = process_time()
    told(data, HTML_NOTE)
    assert process_time() - began < 2


def test_an_edited_body_loses_its_md5() -> None:
    """Content-MD5 of an edited body would be wrong, so it goes (RFC 1864)."""
    data = message(support.part(b"Hello\n", fields="Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n"))
    result = told(data)
    assert result is not None
    assert b"Content-MD5" not in result


@pytest.mark.parametrize("kind", ["plain", "html"])
@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("utf-16-le", "quoted-printable"), ("utf-16", "8bit"), ("cp037", "8bit"), ("utf-7", "7bit")],
)
def test_charsets_whose_octets_are_no_ascii_are_left(kind: str, charset: str, encoding: str) -> None:
    """Where an octet that looks like a line end, or a tag, is none, a body is left alone."""
    coded = ENCODERS[encoding]("<p>Hello</p>\n".encode(charset))
    data = message(support.part(coded, f"text/{kind}; charset={charset}", encoding=encoding))
    assert told(data, HTML_NOTE) is None


def test_html_in_hz_has_its_tildes_doubled() -> None:
    """A tilde in a link stays one where the charset escapes with it (RFC 1843)."""
    data = text_message("<p>\u4f60\u597d</p></body>", "hz", "7bit", kind="html")
    assert "/~x/" in shown(told(data, '<a href="https://files.example.org/~x/">a</a>'))


def test_html_that_ends_within_an_escape_sequence_is_left() -> None:
    """What stands behind Japanese that does not end would be read as Japanese."""
    coded = b"<p>\x1b$B\x46\x7c"
    assert told(message(support.part(coded, "text/html; charset=iso-2022-jp", encoding="7bit")), HTML_NOTE) is None
