"""What every answer about downloads says, in one place: `serve` sends it, `print` writes it, `check-web` expects it.

The page is shown, so it may have styles, and nothing that runs. Files are saved, never shown: attachment, a sandbox
without any right should a browser show them all the same, and no guessing of types.
"""

from pfilter.base import filetypes

ID = "[a-z2-7]{32}"
SHORT_ID = "[a-z2-7]{8}"  # what logs may show of an id

COMMON = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex, nofollow, noarchive"),
    ("Cache-Control", "private, no-store"),
    ("Cross-Origin-Resource-Policy", "same-site"),
    ("X-Frame-Options", "DENY"),
)
POLICY = "Content-Security-Policy"
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
FILE_POLICY = "default-src 'none'; sandbox"
TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")  # a year; over https alone

HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"
EXPIRED = "expired.html"  # below downloads/: the answer about whatever is not there
# Where there is no such file. No apostrophe and no double quote: it stands in other programs' configurations.
GONE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Not available</title><h1>Not available</h1>"
    "<p>This download does not exist, or no longer exists. If the link came by mail, please ask the sender to send the "
    "file again.</p></html>"
)


def content_type(name: str) -> str:
    """Return the type of a file by its name: one of a few harmless ones, or just bytes."""
    return filetypes.served(name) or BYTES


def disposition(name: str) -> str:
    """Return the value that has a file saved under its name (RFC 6266): in ASCII for old programs, and true."""
    from unicodedata import normalize
    from urllib.parse import quote

    plain = "".join(c for c in normalize("NFKD", name) if c.isascii() or c.isalnum())
    # A percent sign is left out too: some programs decode it where they should not (RFC 6266, appendix D).
    fallback = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in plain)
    value = f'attachment; filename="{fallback}"'
    if fallback != name:
        value += f"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"  # RFC 8187, 3.2.1: attr-char
    return value
