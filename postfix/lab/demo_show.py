"""Sends the demo's message and shows what became of it; called by `postfix/demo`. Standard library only."""

import email
import email.policy
import json
import os
import smtplib
import stat
import subprocess
import sys
import textwrap
import time
from datetime import datetime
from email.message import EmailMessage, Message
from email.utils import formatdate
from pathlib import Path
from typing import Any

DEMO, PORT = Path(sys.argv[1]), int(sys.argv[2])
SENDER, RECIPIENTS = "alice@example.com", ["bob@example.net", "carol@example.org"]
WAIT = 60  # seconds for both messages to arrive; usually one
HEADERS = ("From", "To", "Subject", "Message-ID", "In-Reply-To", "Auto-Submitted", "Content-Type")

TEXT = """\
Dear both,

the film of the new bridge and the figures of the quarter are attached.

Regards,
Alice
"""
HTML = """\
<html><body><p>Dear both,</p>
<p>the <b>film of the new bridge</b> and the figures of the quarter are attached.</p>
<p>Regards,<br>Alice</p></body></html>
"""


def compose() -> bytes:
    """Build the message: two bodies, a film that no zip makes smaller, a table that one does."""
    message = EmailMessage()
    message["From"] = f"Alice <{SENDER}>"
    message["To"] = "Bob <bob@example.net>, Carol <carol@example.org>"
    message["Subject"] = "The bridge at last"
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = "<demo.1@example.com>"
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    film = os.urandom(3_000_000)  # as good as a film: nothing makes it smaller
    rows = (
        f"2026-{1 + n % 12:02d}-{1 + n % 28:02d};bridge;segment {n:05d};{n * 7 % 1000},50 EUR\n" for n in range(7500)
    )
    table = "".join(rows)
    message.add_attachment(film, maintype="video", subtype="mp4", filename="Brücke in Köln.mp4")
    message.add_attachment(table.encode(), maintype="text", subtype="csv", filename="figures.csv")
    return message.as_bytes(policy=email.policy.SMTP)


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n\033[1m{text}\033[0m\n" if sys.stdout.isatty() else f"\n=== {text} ===\n")


def size(count: int) -> str:
    """Format a size for people."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def load(raw: bytes) -> EmailMessage:
    """Parse a message."""
    return email.message_from_bytes(raw, policy=email.policy.default)


def show(raw: bytes, headers: tuple[str, ...] = HEADERS) -> None:
    """Print the headers of interest and the tree of parts."""
    message = load(raw)
    for name in headers:
        for value in message.get_all(name, []):
            print(f"  {name}: {textwrap.shorten(str(value), 100)}")
    print()
    tree(message, "  ", "  ")


def tree(part: Message, first: str, rest: str) -> None:
    """Print a part and, below it, its children."""
    name = part.get_filename()
    leaf = not part.is_multipart()
    content = part.get_payload(decode=True)
    about = f"  {size(len(content))}" if leaf and isinstance(content, bytes) else ""
    print(f"{first}{part.get_content_type()}{f'  {name}' if name else ''}{about}")
    children = part.get_payload()
    if part.get_content_maintype() == "multipart" and isinstance(children, list):
        for child in children:
            assert isinstance(child, Message)
            last = child is children[-1]
            tree(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def show_text(raw: bytes) -> None:
    """Print the text body in full."""
    for part in load(raw).walk():
        if part.get_content_type() == "text/plain" and not part.get_filename():
            print(textwrap.indent(part.get_content().rstrip(), "  | ", lambda _: True))
            return


def send(raw: bytes) -> None:
    """Hand the message to the port that has pfilter behind it."""
    with smtplib.SMTP("127.0.0.1", PORT, timeout=30) as smtp:
        smtp.sendmail(SENDER, RECIPIENTS, raw)


def arrived(count: int) -> list[tuple[dict[str, Any], bytes]]:
    """Wait for what the sink gets; return it as (envelope, bytes), in order of arrival."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        found = sorted((DEMO / "postfix/sink").glob("*.json"))
        if len(found) >= count:
            break
        time.sleep(0.1)
    return [(json.loads(path.read_text()), path.with_suffix(".eml").read_bytes()) for path in found]


def show_store() -> None:
    """Print what is in the store, with rights and sizes."""
    store = DEMO / "store"
    for folder, folders, names in os.walk(store):
        folders.sort()
        depth = len(Path(folder).relative_to(store).parts)
        line(Path(folder), depth, "store" if not depth else Path(folder).name)
        for name in sorted(names):
            line(Path(folder) / name, depth + 1, name)


def line(path: Path, depth: int, name: str) -> None:
    """Print one entry of the store."""
    about = path.lstat()
    kind = "" if stat.S_ISDIR(about.st_mode) else size(about.st_size)
    links = f"  ({about.st_nlink} links)" if stat.S_ISREG(about.st_mode) and about.st_nlink > 1 else ""
    shown = name if len(name) < 50 else name[:12] + "..."  # hashes
    print(f"  {stat.filemode(about.st_mode)}  {'   ' * depth}{shown}{'/' if not kind else ''}  {kind}{links}".rstrip())


def show_records() -> None:
    """Print the records: who, when, until when."""
    for path in sorted((DEMO / "store/records").glob("*.json")):
        record = json.loads(path.read_text())
        print(f"\n  records/{path.name[:12]}....json says:")
        for key, value in record.items():
            if key in {"created", "until"} and isinstance(value, (int, float)):
                print(f"    {key}: {datetime.fromtimestamp(value).astimezone():%A, %d %B %Y, %H:%M:%S %Z}")
            elif isinstance(value, (str, int)) and key not in {"id", "version"}:
                print(f"    {key}: {value}")


def show_log() -> None:
    """Print pfilter's events and Postfix's deliveries."""
    for event in (DEMO / "log/pfilter.log").read_text(errors="replace").splitlines():
        print(wrapped(event))
    print()
    for entry in (DEMO / "postfix/maillog").read_text(errors="replace").splitlines():
        if " status=" in entry:
            print(wrapped(entry.partition("postfix/")[2]))


def wrapped(text: str) -> str:
    """Fold a long line of a log, at blanks only."""
    wrapper = textwrap.TextWrapper(118, "  ", "      ", break_long_words=False, break_on_hyphens=False)
    return wrapper.fill(text)


def explain(raw: bytes) -> None:
    """Print what pfilter says of the message beforehand; `pfilter explain` changes and creates nothing."""
    command = [str(DEMO / "venv/bin/pfilter"), "explain", "--config", str(DEMO / "pfilter.toml")]
    done = subprocess.run(command, input=raw, capture_output=True, timeout=60, cwd="/", check=False)
    print(textwrap.indent((done.stdout or done.stderr).decode(errors="replace").rstrip(), "  "))


def main() -> None:
    """Send, wait, show."""
    raw = compose()
    heading(f"Alice sends this message of {size(len(raw))} to Bob and Carol")
    show(raw)
    print()
    show_text(raw)
    heading("What pfilter thinks of it (pfilter explain)")
    explain(raw)

    send(raw)
    messages = arrived(2)
    delivered = [found for found in messages if found[0]["mail"].startswith(f"<{SENDER}>")]
    told = [found for found in messages if found[0]["mail"].startswith("<>")]
    if not delivered:
        print((DEMO / "postfix/maillog").read_text(errors="replace")[-3000:], file=sys.stderr)
        sys.exit(f"demo: the message did not arrive within {WAIT} seconds, see Postfix's log above")

    envelope, after = delivered[0]
    heading(f"Bob and Carol receive {size(len(after))}")
    print(f"  (envelope: from {envelope['mail'].split()[0]} to {' '.join(envelope['rcpt'])})")
    show(after)
    print()
    show_text(after)

    heading("Where the file is now: what the web server serves is below downloads/")
    show_store()
    show_records()

    heading("Alice is told")
    if told:
        print(f"  (envelope: from {told[0][0]['mail'].split()[0]} to {' '.join(told[0][0]['rcpt'])})")
        show(told[0][1])
        print()
        show_text(told[0][1])
    else:
        print("  (no notification arrived)")

    heading("The log: pfilter's events, Postfix's deliveries")
    show_log()


if __name__ == "__main__":
    main()
