"""The messages that tests/tools/bench sends through: the same octets in every run, made in pieces."""

import binascii
import random
from collections.abc import Iterable, Iterator

SENDER = "sender@example.org"
HEAD = f"""\
Received: from desk (desk.example.org [192.0.2.7]) by mail.example.org with ESMTPSA id ABC123;
\tMon, 2 Mar 2026 10:00:00 +0100
From: Some Sender <{SENDER}>
To: Some Reader <reader@example.net>
Subject: The figures of this quarter
Date: Mon, 02 Mar 2026 10:00:00 +0100
Message-ID: <20260302.1@example.org>
MIME-Version: 1.0
"""
WORDS = (
    *("invoice", "project", "schedule", "meeting", "report", "budget", "quarter", "delivery", "contract", "draft"),
    *("review", "numbers", "please", "find", "attached", "the", "and", "for", "with", "our", "your", "next", "week"),
    *("monday", "until", "regards", "team", "office"),
)
BLOCK = 57 << 14  # octets that fill lines of base64 exactly


def words(size: int) -> Iterator[bytes]:
    """Yield lines of text, of about `size` octets altogether."""
    rng = random.Random(size)
    page = b"".join(" ".join(rng.choices(WORDS, k=12))[:71].encode() + b"\n" for _ in range(400))
    for _ in range(size // len(page)):
        yield page
    yield page[: size % len(page)].rpartition(b"\n")[0] + b"\n"


def noise(size: int) -> Iterator[bytes]:
    """Yield octets that no compressor makes smaller."""
    rng = random.Random(size)
    for start in range(0, size, BLOCK):
        yield rng.randbytes(min(BLOCK, size - start))


def table(size: int) -> Iterator[bytes]:
    """Yield a csv file."""
    rng = random.Random(size)
    rows, length = [b"id;date;name;amount;remark\r\n"], 0
    while length < size:
        date = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        remark = " ".join(rng.choices(WORDS, k=2))
        row = f"{len(rows)};{date};{rng.choice(WORDS)};{rng.randint(1, 99999) / 100};{remark}\r\n"
        rows.append(row.encode())
        length += len(rows[-1])
    yield b"".join(rows)[:size]


def base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines of base64."""
    for chunk in chunks:
        encoded = binascii.b2a_base64(chunk, newline=False)
        yield b"".join([encoded[start : start + 76] + b"\n" for start in range(0, len(encoded), 76)])


def text(size: int) -> Iterator[bytes]:
    """Yield a message of plain text."""
    yield HEAD.encode() + b"Content-Type: text/plain; charset=utf-8\n\n"
    yield from words(size - len(HEAD))


def alternative(size: int) -> Iterator[bytes]:
    """Yield a message with a text body and an HTML body."""
    yield HEAD.encode() + b'Content-Type: multipart/alternative; boundary="=_a"\n\n'
    yield b"--=_a\nContent-Type: text/plain; charset=utf-8; format=flowed\n\n"
    yield from words(size // 4)
    yield b"\n--=_a\nContent-Type: text/html; charset=utf-8\n\n<!DOCTYPE html>\n<html><body>\n"
    for line in b"".join(words(size * 2 // 3)).splitlines():
        yield b"<p>" + line + b"</p>\n"
    yield b"</body></html>\n--=_a--\n"


def attachment(kind: str, name: str, chunks: Iterable[bytes], body: int = 1500, head: str = HEAD) -> Iterator[bytes]:
    """Yield a message with a text body of so many octets, and one attachment."""
    yield f'{head}Content-Type: multipart/mixed; boundary="=_m"\n\n--=_m\nContent-Type: text/plain\n\n'.encode()
    yield from words(body)
    yield f"\n--=_m\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n".encode()
    yield f'Content-Disposition: attachment; filename="{name}"\n\n'.encode()
    yield from base64(chunks)
    yield b"--=_m--\n"


def small_parts(count: int, last: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Yield a message of so many parts, every second with a Content-Type, and at its end an attachment if there is one.

    The attachment becomes a link only if no limit has stopped the filter before it.
    """
    yield HEAD.encode() + b'Content-Type: multipart/mixed; boundary="=_m"\n\n'
    for _ in range(count // 2):
        yield b"--=_m\n\nSmall.\n--=_m\nContent-Type: text/plain; charset=us-ascii\n\nSmall.\n"
    if last:
        yield b"--=_m\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n"
        yield b'Content-Disposition: attachment; filename="picture.png"\n\n'
        yield from base64(last)
    yield b"--=_m--\n"


def large_head(size: int) -> str:
    """Return a header block: one half fields of 200 octets, few enough for limits; the other one field of addresses."""
    fields = "".join(f"X-Field-{n:06}: {'a value of some length ' * 8}\n" for n in range(size // 2 // 202))
    addresses = ",\n ".join(f"Reader {n} <reader{n}@example.net>" for n in range(size // 2 // 42))
    return f"{HEAD}{fields}Cc: {addresses}\n"
