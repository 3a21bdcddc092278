"""The record of a message's downloads: who, when, what, until when. JSON, one file an id, for clean-up and people."""

import json

from pfilter.errors import StoreError
from pfilter.frozen import Frozen
from pfilter.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1


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


def write_record(path: str, record: Record) -> None:
    """Write a record, durable and readable by its owner alone. Raises OSError."""
    values: dict[str, Any] = {name: getattr(record, name) for name in Record._fields}
    values["files"] = [{name: getattr(file, name) for name in RecordedFile._fields} for file in record.files]
    data = json.dumps({"version": VERSION, **values}, indent=1, ensure_ascii=True)
    files.write_file(path, data.encode("ascii") + b"\n", files.PRIVATE_FILE)


def read_record(path: str) -> Record:
    """Read a record. Raises FileNotFoundError; StoreError where it is not one."""
    try:
        with open(path, "rb") as stream:
            values = json.load(stream)
        if values["version"] != VERSION:
            raise StoreError(f"{path}: version {values['version']} is not known here")
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
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: not a readable record ({type(error).__name__}: {error})") from error
