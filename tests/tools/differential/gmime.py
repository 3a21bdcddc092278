"""What GMime sees: messages on stdin, each behind a line with its length; one line of JSON for each.

Run by a Python that has gi (Debian: python3-gi, gir1.2-gmime-3.0), so nothing of this project is imported.
"""

import hashlib
import json
import sys
from typing import Any

import gi

gi.require_version("GMime", "3.0")
from gi.repository import GMime  # noqa: E402  # its version must be said before


def octets(part: Any) -> bytes:
    """Return the decoded content of a leaf."""
    wrapper = part.get_content()
    stream = GMime.StreamMem.new()
    if wrapper:
        wrapper.write_to_stream(stream)
    return bytes(stream.get_byte_array() or b"")


def parameter(of: Any, name: str) -> str:
    """Return a parameter; one that is no UTF-8 is there, and that is all."""
    try:
        return str(of.get_parameter(name) or "") if of else ""
    except UnicodeDecodeError:
        return "\ufffd"


def walk(part: Any, section: str, found: list[dict[str, object]]) -> None:
    """Collect leaves."""
    if isinstance(part, GMime.Multipart) and part.get_count():
        for number in range(part.get_count()):
            walk(part.get_part(number), f"{section}.{number + 1}".lstrip("."), found)
        return
    kind = part.get_content_type()
    disposition = part.get_content_disposition()
    whole = isinstance(part, GMime.MessagePart)
    data = b"" if whole or not isinstance(part, GMime.Part) else octets(part)
    names = [parameter(disposition, "filename"), parameter(kind, "name")]
    found.append(
        {
            "section": section,
            "type": kind.get_mime_type().lower() if kind else "text/plain",
            "disposition": (disposition.get_disposition() or "").lower() if disposition else "",
            "name": next((name for name in names if name), ""),
            "size": -1 if whole else len(data),
            "sha256": "" if whole else hashlib.sha256(data).hexdigest(),
            "text_sha256": hashlib.sha256(data.replace(b"\r", b"").rstrip(b"\n")).hexdigest(),
        }
    )


def seen(data: bytes) -> dict[str, object]:
    """Return what is in a message."""
    parser = GMime.Parser.new_with_stream(GMime.StreamMem.new_with_buffer(data))
    message = parser.construct_message(None)
    if message is None or message.get_mime_part() is None:
        return {"error": "no message"}
    found: list[dict[str, object]] = []
    walk(message.get_mime_part(), "", found)
    return {"files": found}


def main() -> None:
    """Answer until there is no more."""
    GMime.init()
    while length := sys.stdin.buffer.readline():
        data = sys.stdin.buffer.read(int(length))
        try:
            answer = seen(data)
        except UnicodeDecodeError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
