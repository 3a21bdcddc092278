"""Downloads as people look at them: which, in what order, as a table of 80 columns or as values for programs."""

from pfilter.base.frozen import Frozen
from pfilter.base.text import counted, human_size, printable, utc
from pfilter.message.addresses import matches
from pfilter.store.layout import SHORT, short
from pfilter.store.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

SENDER_WIDTH = 32
ORDERS = ("created", "until", "sender", "size", "files")


class Filter(Frozen):
    """Which downloads: all conditions that are set must hold."""

    senders: tuple[str, ...] = ()  # addresses, @domain or @.domain
    older_than: int = -1  # seconds since they were stored
    larger_than: int = -1  # octets of all files together
    expired: bool = False  # past the promised date

    @property
    def is_everything(self) -> bool:
        """Whether there is no condition."""
        return self == Filter()


def total(record: Record) -> int:
    """Return the octets of all files of a download."""
    return sum(file.size for file in record.files)


def select(records: "Iterable[Record]", wanted: Filter, now: float) -> "Iterator[Record]":
    """Yield the downloads that are wanted."""
    for record in records:
        if record.ended:
            continue  # a page is all that is left
        if wanted.senders and not matches(record.sender.encode("utf-8"), wanted.senders):
            continue
        if wanted.older_than >= 0 and record.created > now - wanted.older_than:
            continue
        if wanted.larger_than >= 0 and total(record) <= wanted.larger_than:
            continue
        if wanted.expired and record.until > now:
            continue
        yield record


def ordered(records: "Iterable[Record]", order: str) -> list[Record]:
    """Return downloads in order: newest, largest, most first; senders by domain, then name."""

    def key(record: Record) -> "tuple[Any, ...]":
        if order == "sender":
            local, _, domain = record.sender.lower().rpartition("@")
            return (domain, local, -record.created, record.id)
        first = {"until": record.until, "size": total(record), "files": len(record.files)}.get(order, record.created)
        return (-first, -record.created, record.id)

    return sorted(records, key=key)


def table(records: "Sequence[Record]", now: float) -> "Iterator[str]":
    """Yield the lines of a table: header, a line a download, totals."""
    if records:
        yield _line("ID", "UNTIL (UTC)", "SENDER", "FILES", "SIZE")
    for record in records:
        until = utc(record.until) + ("!" if record.until <= now else "")
        size = human_size(total(record))
        yield _line(short(record.id), until, _shortened(record.sender or "<>"), str(len(record.files)), size)
    yield totals(records, now)


def totals(records: "Sequence[Record]", now: float) -> str:
    """Return the line below the table."""
    files = sum(len(record.files) for record in records)
    late = sum(record.until <= now for record in records)
    told = f"{counted(len(records), 'download')}, {counted(files, 'file')}, {human_size(sum(map(total, records)))}"
    return f"{told}; {late} past {'its' if late == 1 else 'their'} date (!)" if late else told


def values(record: Record, now: float) -> dict[str, object]:
    """Return a download for programs; times in seconds since the epoch. No links: they are secrets."""
    return {
        "id": short(record.id),
        "created": record.created,
        "until": record.until,
        "expired": record.until <= now,
        "sender": record.sender,
        "recipients": record.recipients,
        "queue_id": record.queue_id,
        "message_id": record.message_id,
        "size": total(record),
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in record.files],
    }


def date(seconds: int) -> str:
    """Return a date as these commands show it."""
    return f"{utc(seconds)} UTC"


def plain(text: str) -> str:
    """Return a text without controls: what strangers wrote goes to a terminal here."""
    return printable(text, "\ufffd")


def _line(first: str, until: str, sender: str, files: str, size: str) -> str:
    return f"{first:<{SHORT}}  {until:<17}  {sender:<{SENDER_WIDTH}}  {files:>5}  {size:>9}"


def _shortened(sender: str) -> str:
    """Return an address that fits, its end cut off: who it is stands in front."""
    sender = plain(sender)
    return sender if len(sender) <= SENDER_WIDTH else f"{sender[: SENDER_WIDTH - 3]}..."
