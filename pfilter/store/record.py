"""A message's downloads as readers are told of them, and their record: who, when, what, until when.

The record is JSON, one file an id, for clean-up and people.
"""

import json

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen
from pfilter.store.layout import SHORT, is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

VERSION = 1
# Why a download has ended: its time was over, its sender took it back, or whatever need not be said.
EXPIRED, WITHDRAWN, REMOVED = REASONS = ("expired", "withdrawn", "removed")


class Link(Frozen):
    """A stored file as readers are told of it."""

    name: str  # safe file name, unique in its message
    size: int  # octets
    sha256: str
    url: str


class Download(Frozen):
    """The stored files of one message."""

    id: str
    url: str  # of the page
    links: tuple[Link, ...]
    until: int  # promised date, seconds since the epoch


class RecordedFile(Frozen):
    """One stored file: its name in the download, its octets, the name of its blob."""

    name: str
    size: int
    sha256: str


class Record(Frozen):
    """What is known of a message's downloads. Times in seconds since the epoch."""

    id: str
    created: int
    until: int  # the date promised to readers; clean-up adds the grace
    sender: str
    recipients: int  # how many
    queue_id: str
    message_id: str
    files: tuple[RecordedFile, ...]
    subject: str = ""  # where the page shows it
    author: str = ""  # the address that the page names; "": the sender
    late: bool = False  # the page says that the date has passed
    ended: int = 0  # when it ended and why; what is left then is a page that says so, and no file of it
    reason: str = ""

    @property
    def shown(self) -> str:
        """The address that readers are told."""
        return self.author or self.sender

    def joined(self, earlier: "Record") -> "Record":
        """Return one record for two tries of a message: the later date, and all who got it, some of whom waited."""
        return self.replace(until=max(self.until, earlier.until), recipients=max(self.recipients, earlier.recipients))

    def at_end(self, now: float, reason: str) -> "Record":
        """Return what is kept when it has ended; its files stay named until the last of them is gone."""
        return self.replace(ended=int(now), reason=reason)

    def without_files(self) -> "Record":
        """Return what is kept after its files."""
        return self.replace(files=(), subject="", message_id="")

    def is_due(self, now: float, grace: int, tombstone: int) -> bool:
        """Whether clean-up has something to end, to finish or to remove."""
        if self.ended:
            return bool(self.files) or self.ended + tombstone <= now
        return self.until + grace <= now


def encode(record: Record) -> bytes:
    """Return a record as JSON."""
    values: dict[str, Any] = {name: getattr(record, name) for name in Record._fields}
    values["files"] = [{name: getattr(file, name) for name in RecordedFile._fields} for file in record.files]
    data = json.dumps({"version": VERSION, **values}, indent=1, ensure_ascii=True)
    return data.encode("ascii") + b"\n"


def decode(data: bytes, where: str) -> Record:
    """Read a record; `where` it stands is for the error. Raises StoreError where it is not one."""
    try:
        values = json.loads(data)
        if values["version"] != VERSION:
            raise StoreError(f"{where}: version {values['version']} is not known here")
        return Record(
            id=str(values["id"]),
            created=int(values["created"]),
            until=int(values["until"]),
            sender=str(values["sender"]),
            recipients=int(values["recipients"]),
            queue_id=str(values["queue_id"]),
            message_id=str(values["message_id"]),
            files=tuple(
                RecordedFile(name=str(file["name"]), size=int(file["size"]), sha256=str(file["sha256"]))
                for file in values["files"]
            ),
            subject=str(values.get("subject", "")),
            author=str(values.get("author", "")),
            late=bool(values.get("late", False)),
            ended=int(values.get("ended", 0)),
            reason=str(values.get("reason", "")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{where}: not a readable record ({type(error).__name__}: {error})") from error


def write_record(path: str, record: Record) -> None:
    """Write a record, durable and readable by its owner alone. Raises OSError."""
    durable.write_file(path, encode(record), durable.PRIVATE_FILE)


def read_record(path: str) -> Record:
    """Read a record. Raises FileNotFoundError; StoreError where it is not one."""
    with open(path, "rb") as stream:
        return decode(stream.read(), path)


def match(known: "Iterable[str]", given: str) -> str:
    """Return the one id meant by an id, a link, or the beginning of an id as the log shows it. Raises StoreError."""
    wanted = next((piece for piece in reversed(given.split("/")) if is_id(piece)), given)
    found = [known_id for known_id in known if known_id.startswith(wanted)] if len(wanted) >= SHORT else []
    if len(found) != 1:
        reason = "is the beginning of more than one id" if found else "is not the id of a download here"
        raise StoreError(f"{given!r} {reason}; give the id, or at least its first {SHORT} characters, or the link")
    return found[0]
