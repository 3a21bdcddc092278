"""What pfilter takes for files in a message, against what other parsers do.

A disagreement counts where pfilter would edit: its scanner finds the message sound, and at least one file in it that it
may edit. Files are compared by their place, and by their decoded octets.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import Message as StdlibMessage
from pathlib import Path
from typing import NamedTuple

from pfilter.message import codec, filenames, roles
from pfilter.message.model import Message, Part
from tests.lib import support
from tests.lib.support import BytesSpool, scanned

HERE = Path(__file__).resolve().parent


class Seen(NamedTuple):
    """One leaf as a parser sees it. A size of -1: it sees an opened message, and no octets."""

    section: str  # as IMAP names it
    type: str
    disposition: str
    name: str
    size: int
    sha256: str
    text_sha256: str  # without CR, and without line ends at the end

    @property
    def is_file(self) -> bool:
        """Whether a mail client lists it as a file."""
        return self.disposition == "attachment" or bool(self.name)


class Ours(NamedTuple):
    """What pfilter sees: all leaves, and which of them are files that it may edit."""

    message: Message
    leaves: list[Seen]
    files: set[str]  # sections
    editable: set[str]
    broken: set[str]  # never edited, file or not


class Disagreement(NamedTuple):
    """One thing that another parser sees in another way."""

    peer: str
    kind: str
    section: str
    ours: "Seen | None"
    theirs: "Seen | None"


def ours(data: bytes) -> Ours:
    """Return what pfilter sees."""
    message = scanned(data)
    leaves: list[Seen] = []
    files: set[str] = set()
    editable: set[str] = set()
    broken: set[str] = set()
    for part in message.parts:
        if part.embedded or part.is_multipart:
            continue
        leaf, sound = _seen(data, part)
        leaves.append(leaf)
        if not sound:
            broken.add(part.section)
        if roles.is_file(part):
            files.add(part.section)
            if sound:
                editable.add(part.section)
    return Ours(message, leaves, files, editable, broken)


def _seen(data: bytes, part: Part) -> tuple[Seen, bool]:
    given = filenames._given_name(part)
    about = (part.section, part.type.decode("ascii", "replace"), part.disposition.decode("ascii", "replace"), given)
    try:
        octets = b"".join(codec.decode(BytesSpool(data), part.body, part.encoding))
    except codec.Undecodable:
        return Seen(*about, -1, "", ""), False
    return Seen(*about, *digests(octets)), not part.defect


def digests(octets: bytes) -> tuple[int, str, str]:
    """Return what tells contents apart."""
    text = octets.replace(b"\r", b"").rstrip(b"\n")
    return len(octets), hashlib.sha256(octets).hexdigest(), hashlib.sha256(text).hexdigest()


# --- The others


class Stdlib:
    """The email package of the standard library."""

    name = "stdlib"
    sees_all_leaves = True

    def ask(self, data: bytes) -> "list[Seen] | None":
        """Return the leaves."""
        return list(self._walk(support.parsed(data), ""))

    def _walk(self, tree: StdlibMessage, section: str) -> Iterator[Seen]:
        if tree.is_multipart() and tree.get_content_maintype() != "message":
            for number, child in enumerate(support.children(tree), 1):
                yield from self._walk(child, f"{section}.{number}".lstrip("."))
            return
        try:
            name = tree.get_filename() or ""
        except Exception:  # noqa: BLE001  # it stumbles over some RFC 2231 forms
            name = "\ufffd"
        about = (section, tree.get_content_type(), str(tree.get_content_disposition() or ""), name)
        if tree.is_multipart():
            yield Seen(*about, -1, "", "")
            return
        octets = tree.get_payload(decode=True)
        assert isinstance(octets, bytes)
        yield Seen(*about, *digests(octets))

    def close(self) -> None:
        """There is nothing to end."""


class Program:
    """A parser in a program of its own: messages in, one line of JSON for each out."""

    def __init__(self, name: str, command: list[str], *, sees_all_leaves: bool) -> None:
        self.name = name
        self.sees_all_leaves = sees_all_leaves
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, data: bytes) -> "list[Seen] | None":
        """Return the leaves, None where it fails."""
        self._process = self._process or subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"%d\n" % len(data) + data)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:  # it died of this message
            self.close()
            return None
        answer = json.loads(line)
        if "error" in answer:
            return None
        return [Seen(**{key: one[key] for key in Seen._fields}) for one in answer["files"]]

    def close(self) -> None:
        """End the program."""
        if self._process:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._process.wait()
            self._process.stdout.close()  # type: ignore[union-attr]
            self._process = None


Peer = Stdlib | Program


def peers() -> tuple[list[Peer], dict[str, str]]:
    """Return the parsers that are here, and why others are not."""
    found: list[Peer] = [Stdlib()]
    missing = {}
    tries = {
        "MIME-tools": (["perl", str(HERE / "mimetools.pl")], True, "Debian: libmime-tools-perl"),
        "GMime": (["/usr/bin/python3", str(HERE / "gmime.py")], True, "Debian: python3-gi, gir1.2-gmime-3.0"),
        "mailparser": (
            ["node", str(HERE / "mailparser.cjs")],
            False,
            "npm install mailparser, and NODE_PATH set to its node_modules",
        ),
    }
    for name, (command, leaves, needs) in tries.items():
        if _answers(command):
            found.append(Program(name, command, sees_all_leaves=leaves))
        else:
            missing[name] = needs
    return found, missing


def _answers(command: list[str]) -> bool:
    if not shutil.which(command[0]):
        return False
    mail = b"Subject: x\n\nHello\n"
    try:
        done = subprocess.run(
            command, input=b"%d\n" % len(mail) + mail, capture_output=True, check=False, timeout=60, env=os.environ
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b'"files"' in done.stdout


# --- Comparing


def disagreements(seen: Ours, peer: Peer, theirs: list[Seen]) -> list[Disagreement]:
    """Return what a parser sees in another way than pfilter, in a message that pfilter would edit."""
    if seen.message.defects or not seen.editable:
        return []
    if not peer.sees_all_leaves:
        return _by_content(seen, peer.name, theirs)
    here, there = {leaf.section: leaf for leaf in seen.leaves}, {leaf.section: leaf for leaf in theirs}
    if here.keys() != there.keys():
        return [Disagreement(peer.name, "structure", "", None, None)]
    found = []
    for section, leaf in here.items():
        other = there[section]
        pair = (section, leaf, other)
        if section in seen.editable and not other.is_file:
            found.append(Disagreement(peer.name, "a file to us alone", *pair))
        elif other.is_file and section not in seen.files | seen.broken:
            found.append(Disagreement(peer.name, "a file to them alone", *pair))
        elif section in seen.editable and other.size >= 0 and other.sha256 != leaf.sha256:
            found.append(Disagreement(peer.name, "content", *pair))
        if section in seen.editable and _plain(leaf.name) != _plain(other.name):
            found.append(Disagreement(peer.name, "name", *pair))
    return found


def _by_content(seen: Ours, peer: str, theirs: list[Seen]) -> list[Disagreement]:
    """Compare with a parser that lists files alone: texts that it shows, and messages that it opens, are none to it."""
    found = []
    left = Counter(other.text_sha256 for other in theirs)
    shown = [leaf for leaf in seen.leaves if leaf.type.startswith("message/") or _is_text(leaf)]
    for leaf in sorted(seen.leaves, key=lambda leaf: leaf in shown):  # they take what is left of the same content
        if left[leaf.text_sha256]:
            left[leaf.text_sha256] -= 1
        elif leaf.section in seen.editable and leaf not in shown:
            found.append(Disagreement(peer, "a file to us alone", leaf.section, leaf, None))
    known = Counter(leaf.text_sha256 for leaf in seen.leaves if leaf.section in seen.files)
    for other in theirs:
        if known[other.text_sha256]:
            known[other.text_sha256] -= 1
        elif other.is_file and not seen.broken:
            found.append(Disagreement(peer, "a file to them alone", other.section, None, other))
    return found


def _is_text(leaf: Seen) -> bool:
    return leaf.type.startswith("text/") and leaf.disposition != "attachment"


def _plain(name: str) -> str:
    """Return a name as far as two parsers can be expected to agree on it."""
    try:
        name = str(make_header(decode_header(name)))
    except Exception:  # noqa: BLE001  # a hostile name
        return ""
    return filenames.safe_name("".join(name.split()), "")
