"""What tests share: spools of bytes, messages, a policy, the whole way of a message in this process, stub sendmails."""

import base64
import email
import email.message
import email.policy
import os
import quopri
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pfilter import pipeline
from pfilter.base import spool
from pfilter.base.limits import Limits
from pfilter.base.log import Log
from pfilter.base.scratch_file import ScratchFile
from pfilter.base.spool import Spool
from pfilter.config import load
from pfilter.config.settings import Settings
from pfilter.decision.plan import Outcome
from pfilter.message.model import Envelope, Message, Part
from pfilter.message.scan import scan
from pfilter.rewriting import body_html, body_text, splice
from pfilter.rewriting.splice import Edit

if TYPE_CHECKING:
    from pfilter.config.settings import Place

TESTS = Path(__file__).resolve().parents[1]
PROJECT = TESTS.parent
CORPUS = PROJECT.parent / "shared" / "corpus"
SMALL_CORPUS = TESTS / "laws" / "corpus"
BASE_URL = "https://files.example.org/d"
SECRET = b"0123456789abcdef" * 4 + b"\n"
NOW = 1_800_000_000  # 2027-01-15 08:00:00 UTC
NOTICE = "to download, available until"
ENVELOPE = Envelope(sender=b"sender@example.org", recipients=(b"reader@example.net",))


class BytesSpool(Spool):
    """A spool of given bytes in memory, read in windows of any size."""

    def __init__(self, data: bytes, window: int = spool.WINDOW, wire: spool.Wire | None = None) -> None:
        fd = os.memfd_create("test", os.MFD_CLOEXEC)
        spool.write_all(fd, data)
        super().__init__(fd, len(data), window, wire)


def in_wire_form(data: bytes, window: int = spool.WINDOW) -> BytesSpool:
    """Return a spool of a message with LF line ends, no CR and a line end at its end, as LMTP brings it."""
    assert b"\r" not in data
    assert data.endswith(b"\n")
    wire = spool.Wire(lines=data.count(b"\n"), dotted=data.startswith(b".") or b"\n." in data, ascii=data.isascii())
    return BytesSpool(data.replace(b"\n", b"\r\n"), window, wire)


class MemoryArena(ScratchFile):
    """An arena for a test, which gives its descriptor back by itself."""

    def __init__(self) -> None:
        super().__init__(tempfile.gettempdir)

    def __del__(self) -> None:
        self.close()


def plain(text: str) -> str:
    """Return a manual's mdoc as a reader sees it, as far as tests read it: characters in place of escapes."""
    for written, seen in (("\\(dq", '"'), ("\\(aq", "'"), ("\\(ha", "^"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(written, seen)
    return text


def content(of: Spool) -> bytes:
    """Return all octets of a spool."""
    return of.read(0, of.size)


def scanned(data: bytes, window: int = spool.WINDOW, limits: Limits | None = None) -> Message:
    """Return the scanned form of a message."""
    return scan(BytesSpool(data, window), limits or Limits())


def no_workspace() -> str:
    """Stand in for a workspace where everything fits into memory."""
    raise AssertionError("small contents need no workspace")


def policy(store: os.PathLike[str] | str = "/nonexistent", /, **sections: Mapping[str, Any]) -> Settings:
    """Return the defaults for every sender, with links into `store`, changed as `sections` say."""
    values: dict[str, dict[str, object]] = {
        "policy": {"own_domains": ["*"]},
        "store": {"path": str(store), "base_url": BASE_URL, "min_free": 0},
        "notify": {"sender": False},
        "log": {"to": "stderr"},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return load.from_values(values)


def link_everything(store: os.PathLike[str] | str, /, **sections: Mapping[str, Any]) -> Settings:
    """Return a policy under which every attachment of more than one octet becomes a link."""
    linking: dict[str, Mapping[str, Any]] = {"link": {"part_limit": 0}, "compress": {"enabled": False}}
    return policy(store, **{**linking, **sections})


def zip_everything(store: os.PathLike[str] | str = "/nonexistent", /, **sections: Mapping[str, Any]) -> Settings:
    """Return a policy under which every attachment that gains becomes a zip."""
    zips = {"min_size": 1, "min_gain": "0%", "skip": []}
    zipping: dict[str, Mapping[str, Any]] = {"link": {"enabled": False}, "compress": zips}
    return policy(store, **{**zipping, **sections})


class RecordingLog(Log):
    """A log that keeps its events."""

    def __init__(self) -> None:
        super().__init__("stderr", "debug")
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        """Keep one event."""
        self.events.append((level, name, fields))


@dataclass
class Processed:
    """What came of a message that went the whole way."""

    output: bytes
    outcome: Outcome
    log: RecordingLog
    edited: list[tuple[int, int, bytes]] = field(default_factory=list)  # start, end, new octets


def process(
    data: bytes, with_policy: Settings, envelope: Envelope = ENVELOPE, *, size_limit: int = 0, may_notify: bool = False
) -> Processed:
    """Take a message the whole way through the pipeline, with a deliver that records."""
    delivered: list[bytes] = []
    seen: list[tuple[int, int, bytes]] = []
    apply = splice.apply

    def recording_apply(source: Spool, edits: "list[Edit]", workspace: "spool.Workspace") -> Spool:
        ordered = splice.in_order(edits, source.size)
        for one in ordered:
            new = one.content if isinstance(one.content, bytes) else content(one.content)
            seen.append((one.range.start, one.range.end, new))
        return apply(source, edits, workspace)

    def deliver(shares: "Sequence[pipeline.Share]", *_: object) -> "Sequence[pipeline.Share]":
        delivered.extend(content(share.spool) for share in shares)
        return shares

    log = RecordingLog()
    door = pipeline.Context(
        deliver=deliver,
        size_limit=lambda: size_limit,
        workspace=lambda: with_policy.store_path,
        log=log,
        may_notify=may_notify,
    )
    with mock.patch.object(splice, "apply", recording_apply):
        outcome = pipeline.process(BytesSpool(data), envelope, with_policy, door)
    assert len(delivered) == 1
    return Processed(output=delivered[0], outcome=outcome, log=log, edited=seen)


# --- Messages


def lf(data: bytes) -> bytes:
    """Return the twin of a message with LF line ends."""
    return data.replace(b"\r\n", b"\n")


def crlf(data: bytes) -> bytes:
    """Return the twin of a message with CRLF line ends."""
    return lf(data).replace(b"\n", b"\r\n")


def twins(data: bytes) -> dict[str, bytes]:
    """Return a message as it is, and its twins in both line ends."""
    return {"as it is": data, "LF": lf(data), "CRLF": crlf(data)}


def part(
    body: bytes,
    content_type: str = "text/plain; charset=us-ascii",
    *,
    encoding: str = "",
    disposition: str = "",
    fields: str = "",
) -> bytes:
    """Return an entity with LF line ends: Content-* fields, empty line, body as it is."""
    lines = [f"Content-Type: {content_type}"]
    if encoding:
        lines.append(f"Content-Transfer-Encoding: {encoding}")
    if disposition:
        lines.append(f"Content-Disposition: {disposition}")
    head = "".join(line + "\n" for line in lines) + fields
    return head.encode("utf-8") + b"\n" + body


def multipart(subtype: str, *parts: bytes, boundary: str = "b", preamble: bytes = b"", epilogue: bytes = b"") -> bytes:
    """Return a multipart entity with LF line ends, closed."""
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n'.encode("ascii")
    delimiter = b"--" + boundary.encode("ascii")
    inside = b"".join(delimiter + b"\n" + piece + b"\n" for piece in parts)
    return head + preamble + inside + delimiter + b"--\n" + epilogue


def message(entity: bytes, fields: str = "") -> bytes:
    """Return a message with LF line ends around an entity."""
    head = (
        "From: Sender <sender@example.org>\nTo: reader@example.net\nSubject: Figures\n"
        "Message-ID: <1@example.org>\nMIME-Version: 1.0\n"
    )
    return head.encode("ascii") + fields.encode("utf-8") + entity


def encoded(data: bytes) -> bytes:
    """Return base64 in lines of 76, without the last line end."""
    return base64.encodebytes(data).rstrip(b"\n")


def attachment(data: bytes, name: str = "data.bin", content_type: str = "application/octet-stream") -> bytes:
    """Return an attachment in base64."""
    return part(
        encoded(data), content_type, encoding="base64", disposition=f'attachment; filename="{name}"' if name else ""
    )


def noise(size: int, seed: int = 1) -> bytes:
    """Return octets that no zip makes smaller, the same for the same seed."""
    from random import Random

    return Random(seed).randbytes(size)


def table(rows: int = 4000) -> bytes:
    """Return a table that a zip makes much smaller."""
    return b"".join(b"%d;%d;value\r\n" % (row, row * row) for row in range(rows))


def notice_edits(spool: Spool, part: Part, note: str, eol: bytes, place: "Place" = "auto") -> "list[Edit] | None":
    """Return the edits that put a notice into a body, where "auto" is the end if no end of the words is known."""
    if part.type == b"text/html":
        html = body_html.read(spool, part)
        where: Place = "end" if html and place == "auto" and not html.below else place
        return body_html.put(spool, html, note, eol, where) if html else None
    text = body_text.read(spool, part)
    where = "end" if text and place == "auto" and not text.below else place
    return body_text.put(spool, text, note, eol, MemoryArena(), where) if text else None


# --- What readers of the result see, by the standard library's parser


def parsed(data: bytes) -> email.message.Message:
    """Return a message as the stdlib parses it."""
    return email.message_from_bytes(data, policy=email.policy.compat32)


def defects(tree: email.message.Message) -> list[object]:
    """Return what the stdlib finds wrong with a message, structure alone, anywhere."""
    return [defect for one in tree.walk() for defect in one.defects]


def leaves(tree: email.message.Message) -> list[email.message.Message]:
    """Return what the stdlib takes for files and texts, in document order; message/* is one whole."""
    if tree.get_content_maintype() == "message" or not tree.is_multipart():
        return [tree]
    return [leaf for child in children(tree) for leaf in leaves(child)]


def children(tree: email.message.Message) -> list[email.message.Message]:
    """Return the parts of a multipart, or the message in a message/rfc822."""
    payload = tree.get_payload()
    assert isinstance(payload, list)
    found = [child for child in payload if isinstance(child, email.message.Message)]
    assert len(found) == len(payload)
    return found


def without_encoding(raw: bytes, encoding: str) -> bytes:
    """Decode octets by the stdlib, but blanks at line ends of quoted-printable are no content (RFC 2045, 6.7)."""
    if encoding == "base64":
        return base64.b64decode(raw)
    if encoding == "quoted-printable":
        return quopri.decodestring(re.sub(rb"[ \t]+(?=\r?\n|\Z)", b"", raw))
    return raw


def decoded_body(leaf: email.message.Message) -> bytes:
    """Return the octets that a leaf stands for."""
    return without_encoding(raw_body(leaf), str(leaf.get("Content-Transfer-Encoding", "7bit")).strip().lower())


def raw_body(leaf: email.message.Message) -> bytes:
    """Return the octets of a leaf's body as they stand in the message."""
    payload: object = vars(leaf)["_payload"]  # get_payload() decodes 8-bit text, whatever is asked for
    assert isinstance(payload, str)
    return payload.encode("ascii", "surrogateescape")


def described(leaf: email.message.Message) -> object:
    """Return type, fields and decoded content of a leaf, opened messages included, to compare with another."""
    if leaf.get_content_maintype() == "message" and leaf.is_multipart():
        inside = [described(child) for child in children(leaf)]
        return (leaf.get_content_type(), tuple(map(str, leaf.values())), tuple(inside))
    if leaf.is_multipart():
        return (leaf.get_content_type(), tuple(described(child) for child in children(leaf)))
    return (leaf.get_content_type(), tuple(map(str, leaf.values())), leaf.get_payload(decode=True))


def text_of(leaf: email.message.Message) -> str:
    """Return the text of a leaf as a mail client would show it."""
    payload = leaf.get_payload(decode=True)
    assert isinstance(payload, bytes)
    try:
        return payload.decode(leaf.get_content_charset("us-ascii"), "replace")
    except LookupError:
        return payload.decode("latin-1")


def attachment_names(data: bytes) -> list[str]:
    """Return the file names of a message's leaves, in order."""
    return [name for leaf in leaves(parsed(data)) if (name := leaf.get_filename())]


# --- The door for Postfix

MARK = b"\n"  # what pipe(8) appends with flag B


def queue_size(data: bytes) -> int:
    """Return what Postfix's ${size} says of a message with a line end at its end: the octets of its records."""
    total = 0
    for line in data.split(b"\n")[:-1]:
        pieces = [line[at : at + 2048] for at in range(0, len(line), 2048)]
        if not pieces or len(pieces[-1]) == 2048:
            pieces.append(b"")  # a full piece does not say that its line ends
        total += sum(len(piece) + (2 if len(piece) < 128 else 3) for piece in pieces)
    return total


LAUNCHER = PROJECT / "pfilter" / "launcher.py"


MEASURED = "COVERAGE_PROCESS_CONFIG"


def measured() -> dict[str, str]:
    """Return the variables by which a process of a given environment takes part in coverage, where it is measured."""
    return {name: value for name, value in os.environ.items() if name == MEASURED}


@dataclass
class Ended:
    """How a process ended."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def line(self) -> str:
        """The one line on stdout."""
        assert self.stdout.count(b"\n") == 1, self.stdout
        assert self.stdout.endswith(b"\n"), self.stdout
        return self.stdout.decode("utf-8").rstrip("\n")


class Gateway:
    """A folder with a store, a configuration and a stub sendmail that records its calls."""

    def __init__(self, root: Path, launcher: "list[str] | None" = None) -> None:
        self.root = root
        self.store = root / "store"
        self.store.mkdir(mode=0o711)
        self.config = root / "pfilter.toml"
        self.log = root / "log"
        self.calls_folder = root / "calls"
        self.calls_folder.mkdir()
        self.sendmail = root / "sendmail"
        self.launcher = launcher or [sys.executable, "-P", str(LAUNCHER)]
        self.environment = {"LANG": "C", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), **measured()}
        self.stub("")
        self.configure()

    def stub(self, behaviour: str, *, before: str = "") -> None:
        """Make a sendmail that records argv and stdin, then does as `behaviour` says (sh)."""
        folder = shlex.quote(str(self.calls_folder))
        script = (
            "#!/bin/sh\n"
            f"{before}\n"
            f"n=1; while ! mkdir {folder}/$n 2>/dev/null; do n=$((n + 1)); done\n"
            f"printf '%s\\0' \"$@\" > {folder}/$n/argv\n"
            f"cat > {folder}/$n/stdin\n"
            f"{behaviour}\n"
        )
        self.sendmail.write_text(script)
        self.sendmail.chmod(0o755)

    def configure(self, extra: str = "", **sections: str) -> None:
        """Write the configuration: `sections` are lines added to a section, `extra` whole sections."""
        basic = {
            "reinject": f'sendmail = "{self.sendmail}"\ntimeout = "10s"\ndata_done_timeout = "20s"',
            "policy": 'own_domains = ["example.org"]\ndeadline = "60s"',
            "store": f'path = "{self.store}"\nbase_url = "{BASE_URL}"\nmin_free = 0',
            "log": f'to = "file:{self.log}"\nlevel = "debug"',
            "notify": "sender = false",
        }
        for name, lines in sections.items():
            keys = {line.split("=")[0].strip() for line in lines.splitlines()}
            kept = [line for line in basic.get(name, "").splitlines() if line.split("=")[0].strip() not in keys]
            basic[name] = "\n".join([*kept, lines])
        text = "".join(f"[{name}]\n{lines}\n" for name, lines in basic.items()) + extra
        self.config.write_text(text)

    def argv(
        self,
        sender: str = "sender@example.org",
        recipients: tuple[str, ...] = ("reader@example.net",),
        data: bytes = b"",
    ) -> "list[str]":
        """Return the arguments as master.cf gives them; with a message, those by which its end is told, too."""
        told = ["--end=blank-line", f"--size={queue_size(data)}"] if data else []
        return [f"--config={self.config}", "--queue-id=4F2A", *told, "-f", sender, "--", *recipients]

    def pipe(self, data: bytes, arguments: "list[str] | None" = None, *, seconds: float = 30, **named: object) -> Ended:
        """Run the door for Postfix as Postfix does: by flag B; as of old where it would not write such a message.

        With arguments of a test's own it gets just these octets.
        """
        if arguments is None:
            marked = data.endswith(b"\n") and not data.endswith(b"\r\n")
            arguments = self.argv(data=data if marked else b"", **named)  # type: ignore[arg-type]
            data += MARK if marked else b""
        command = [*self.launcher, *arguments]
        ended = subprocess.run(
            command, input=data, capture_output=True, env=self.environment, timeout=seconds, check=False
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    @property
    def calls(self) -> "list[tuple[list[str], bytes]]":
        """Return argv and stdin of each call of sendmail, in order."""
        found = sorted(self.calls_folder.iterdir(), key=lambda folder: int(folder.name))
        return [
            (
                (folder / "argv").read_text(errors="surrogateescape").split("\0")[:-1],
                (folder / "stdin").read_bytes() if (folder / "stdin").exists() else b"",
            )
            for folder in found
        ]

    @property
    def sent(self) -> bytes:
        """Return the one message that was sent."""
        assert len(self.calls) == 1, self.calls
        return self.calls[0][1]


def mode(path: os.PathLike[str] | str) -> int:
    """Return the permission bits of a path."""
    return stat.S_IMODE(os.stat(path).st_mode)


def addresses(text: str) -> list[str]:
    """Return the download URLs in a text."""
    return re.findall(rf"{re.escape(BASE_URL)}/[^\s\"<>]*", text)
