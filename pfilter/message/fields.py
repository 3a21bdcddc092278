"""Header fields and the text of a mail, written: parameters, encoded words, dates, a text/plain as a whole.

What is written here is read alike by every program: lines within LINE_LIMIT octets, ASCII in the header.
"""

from pfilter.base.text import printable
from pfilter.message import codec

LINE_LIMIT = 998  # octets without the line end (RFC 5322, 2.1.1)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parameter_text(name: str, value: str, eol: bytes) -> bytes:
    """Return `;` and one parameter on lines of its own.

    ASCII stands as a quoted string, which every reader knows, on one line: RFC 5322, 3.2.4 lets it be folded at a
    blank, but readers that do not unfold, Python's among them, keep the line end in the name. Anything else, and what
    no line of LINE_LIMIT octets can hold, is in RFC 2231 form, with continuations where it is long, at most 76 octets a
    line.
    """
    fold = b";" + eol + b"\t"
    if value.isascii() and value.isprintable():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        line = f'{name}="{quoted}"'
        if len(line) < LINE_LIMIT - 2:  # beside the tab, and a semicolon behind it
            return fold + line.encode("ascii")
    coded = _percent(value)
    if len(coded) <= 60:
        return fold + f"{name}*=utf-8''{coded}".encode("ascii")
    segments = ["utf-8''"]
    for character in value:  # never cut in two: some readers decode each segment by itself
        piece = _percent(character)
        if len(segments[-1]) + len(piece) > 60:
            segments.append("")
        segments[-1] += piece
    return b"".join(fold + f"{name}*{number}*={segment}".encode("ascii") for number, segment in enumerate(segments))


def _percent(value: str) -> str:
    """Encode as RFC 2231, 7: attribute-char stands for itself."""
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~"
    return "".join(chr(octet) if octet in plain else f"%{octet:02X}" for octet in value.encode("utf-8"))


def encoded_words(text: str, eol: bytes) -> bytes:
    """Return unstructured text for a header: as it is where it is ASCII, else as RFC 2047 encoded words, folded."""
    from binascii import b2a_base64

    text = printable(text)
    if text.isascii() and len(text) <= 900 and "=?" not in text:
        return text.encode("ascii")
    words = []
    chunk = ""
    for character in text:
        if len((chunk + character).encode("utf-8")) > 42:  # 75 octets a word at most (RFC 2047, 2)
            words.append(chunk)
            chunk = ""
        chunk += character
    words.append(chunk)
    coded = [b"=?utf-8?b?" + b2a_base64(word.encode("utf-8"), newline=False) + b"?=" for word in words]
    return (eol + b" ").join(coded)


def date(seconds: float) -> bytes:
    """Return a date as RFC 5322, 3.3 has it, whatever the locale."""
    from time import gmtime

    when = gmtime(seconds)
    clock = f"{when.tm_hour:02}:{when.tm_min:02}:{when.tm_sec:02}"
    day = f"{DAYS[when.tm_wday]}, {when.tm_mday} {MONTHS[when.tm_mon - 1]} {when.tm_year}"
    return f"{day} {clock} +0000".encode("ascii")


def text_entity(text: str, eol: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the Content-* fields by name and the body, with a line end at its end, for a text/plain."""
    lines = [line.rstrip() for line in text.split("\n")]
    body = eol.join(line.encode("utf-8") for line in lines).rstrip(b"\r\n") + eol
    charset, encoding = b"us-ascii", b"7bit"
    if not (body.isascii() and fits_lines(body)):
        charset, encoding = b"utf-8", b"quoted-printable"
        body = b"".join(codec.encode_quoted_printable([body], eol))
    fields = {
        b"content-type": b"Content-Type: text/plain; charset=" + charset + eol,
        b"content-transfer-encoding": b"Content-Transfer-Encoding: " + encoding + eol,
    }
    return fields, body


def fits_lines(octets: bytes) -> bool:
    """Whether no line is longer than SMTP allows (RFC 5322, 2.1.1)."""
    return len(octets) <= LINE_LIMIT or max(map(len, octets.split(b"\n"))) <= LINE_LIMIT
