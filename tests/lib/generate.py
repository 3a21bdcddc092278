"""Generated mail (hypothesis): nested multiparts, leaves in every encoding, names in every form, and broken copies."""

import base64
import quopri
from email.header import Header

from hypothesis import strategies as st

BCHARS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? "
LINES = (
    "",
    " ",
    ".",
    "..",
    "-",
    "--",
    "-- ",
    "---",
    "--b",
    "--b--",
    "From here",
    ">quoted",
    "a = b",
    "x" * 300,
    "<p>one</p>",
    "</body>",
    "<!-- </body> -->",
    "tab\there ",
    "=",
    "=3D",
    "name: value",
)
ACCENTED = ("süß", "äöü ÄÖÜ", "déjà vu")
WORLD = ("日本語のテキスト", "ελληνικά", "😀 plus")
NAMES = (
    "a.bin",
    "report 2026.csv",
    "résumé.pdf",
    "日本語.xlsx",
    'quote"d.txt',
    "../../etc/passwd",
    "no-extension",
    "x" * 90 + ".dat",
)

boundaries = st.text(BCHARS, min_size=1, max_size=70).filter(lambda text: not text.endswith(" "))
lines = st.lists(st.sampled_from(LINES), max_size=6)


def named_parameter(name: str, form: str, parameter: str) -> str:
    """Return a parameter with a file name in one of the forms that mailers use."""
    if form == "rfc2231":
        from urllib.parse import quote

        return f"{parameter}*=utf-8''{quote(name, safe='')}"
    if form == "rfc2047":
        return f'{parameter}="{Header(name, "utf-8").encode(maxlinelen=10_000)}"'
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{parameter}="{escaped}"'


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a text and a charset that holds it."""
    charset, extra = draw(
        st.sampled_from(
            [("us-ascii", ()), ("utf-8", ACCENTED + WORLD), ("iso-8859-1", ACCENTED), ("windows-1252", ACCENTED)]
        )
    )
    chosen = draw(st.lists(st.sampled_from(LINES + extra), max_size=8))
    final = draw(st.sampled_from(["", "\n"])) if chosen else ""
    return "\n".join(chosen) + final, charset


def transfer(data: bytes, encoding: str) -> bytes:
    """Return data in a transfer encoding, with LF line ends."""
    if encoding == "base64":
        return base64.encodebytes(data).rstrip(b"\n")
    if encoding == "quoted-printable":
        return quopri.encodestring(data)
    return data


@st.composite
def text_leaves(draw: st.DrawFn) -> bytes:
    """Draw a text/plain or text/html, at times with a name."""
    text, charset = draw(texts())
    kind = draw(st.sampled_from(["plain", "html", "csv"]))
    encoding = draw(st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"]))
    data = text.encode(charset)
    if encoding == "7bit" and not data.isascii():
        encoding = "8bit"
    flowed = "; format=flowed" if kind == "plain" and draw(st.booleans()) else ""
    head = f"Content-Type: text/{kind}; charset={charset}{flowed}\nContent-Transfer-Encoding: {encoding}\n"
    if draw(st.integers(0, 3)) == 0:
        head += draw(dispositions())
    return head.encode("utf-8") + b"\n" + transfer(data, encoding)


@st.composite
def dispositions(draw: st.DrawFn) -> str:
    """Draw a Content-Disposition field."""
    kind = draw(st.sampled_from(["attachment", "inline"]))
    form = draw(st.sampled_from(["plain", "rfc2231", "rfc2047", "none"]))
    if form == "none":
        return f"Content-Disposition: {kind}\n"
    return f"Content-Disposition: {kind};\n\t{named_parameter(draw(st.sampled_from(NAMES)), form, 'filename')}\n"


@st.composite
def file_leaves(draw: st.DrawFn) -> bytes:
    """Draw a file: octets of any kind, in base64 or quoted-printable."""
    data = draw(st.one_of(st.binary(max_size=400), st.binary(min_size=1, max_size=8).map(lambda piece: piece * 300)))
    encoding = draw(st.sampled_from(["base64", "base64", "quoted-printable"]))
    kind = draw(st.sampled_from(["application/octet-stream", "application/pdf", "image/png", "text/calendar"]))
    extra = draw(st.sampled_from(["", "Content-ID: <image1@x>\n", "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n"]))
    head = f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n{extra}"
    if draw(st.integers(0, 4)):
        head += draw(dispositions())
    return head.encode("utf-8") + b"\n" + transfer(data, encoding)


@st.composite
def multiparts(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    """Draw a multipart; most are well-formed, some lack their end, their boundary, or have another's."""
    subtype = draw(st.sampled_from(["mixed", "mixed", "mixed", "alternative", "related", "parallel"]))
    boundary = draw(boundaries)
    delimiter = b"--" + boundary.encode("ascii")
    blank = draw(st.sampled_from([b"", b"", b"  \t"]))
    preamble = "\n".join(draw(lines)).encode("ascii")
    parts = draw(st.lists(children, min_size=1, max_size=4))
    closed = draw(st.integers(0, 9)) > 0
    epilogue = "".join("\n" + line for line in draw(lines)).encode("ascii")
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n'.encode("ascii")
    inside = b"".join(delimiter + blank + b"\n" + part + b"\n" for part in parts)
    if not closed:
        return head + (preamble + b"\n" if preamble else b"") + inside
    return head + (preamble + b"\n" if preamble else b"") + inside + delimiter + b"--" + blank + epilogue


@st.composite
def enclosed(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    """Draw a message/rfc822, often with a name."""
    head = "Content-Type: message/rfc822\n" + (draw(dispositions()) if draw(st.booleans()) else "")
    return head.encode("utf-8") + b"\nSubject: inside\nMIME-Version: 1.0\n" + draw(children)


entities = st.recursive(
    st.one_of(text_leaves(), file_leaves()),
    lambda children: st.one_of(multiparts(children), multiparts(children), enclosed(children)),
    max_leaves=8,
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw a whole message, LF or CRLF, with or without a line end at its end."""
    head = "From: Sender <sender@example.org>\nTo: reader@example.net\nSubject: =?utf-8?q?W=C3=B6rter?=\n"
    head += draw(st.sampled_from(["", "Message-ID: <1@example.org>\n", "X-Long: a\n\tfolded\n line\n"]))
    data = head.encode("ascii") + b"MIME-Version: 1.0\n" + draw(entities) + draw(st.sampled_from([b"\n", b""]))
    return data.replace(b"\n", b"\r\n") if draw(st.booleans()) else data


@st.composite
def damaged(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """Draw a message with pieces cut out, doubled, or put in."""
    data = draw(source)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 2, 10, 80])))
        middle = draw(
            st.sampled_from(
                [
                    b"",
                    data[start:end] * 2,
                    b"\n",
                    b"\r",
                    b"\r\n",
                    b"\n\n",
                    b"\0",
                    b"--",
                    b";",
                    b'"',
                    b"(",
                    b"\xff",
                    b"=",
                    b"\nContent-Type: text/html",
                    b" ",
                    b"\n ",
                ]
            )
        )
        data = data[:start] + middle + data[end:]
    return data
