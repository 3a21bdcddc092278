"""What a store can do, whether it is a folder here or a bucket elsewhere. For type checkers and readers alone.

Methods raise StoreError or OSError: then nothing may be sent.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pfilter.base.spool import Spool
from pfilter.store.cleanup import Report
from pfilter.store.pages import Pages
from pfilter.store.record import REMOVED, Download, Record

Page = Callable[[Download], bytes]


class Store(Protocol):
    """What a message needs."""

    def download_id(self, header: bytes, sender: bytes, digests: Sequence[str]) -> str:
        """Return the id of a message's downloads: the same for the same message, and nobody else can compute it."""

    def save(self, record: Record, contents: Sequence[tuple[Spool, str]], page: Page) -> Download:
        """Store the files of one message: record, files, page, each durable before the next.

        What is there already stays; the promised date becomes the later one. Raises NoRoomError besides.
        """

    def put_expired_page(self, page: Callable[[], bytes], *, anew: bool) -> bool:
        """Put the page about what is not there in place; return whether it was."""


class StoreAdmin(Protocol):
    """What people and clean-up need. Removing takes files before their record, so that the next run can finish it."""

    def ids(self) -> list[str]:
        """Return the ids of all downloads."""

    def record(self, download_id: str) -> Record:
        """Return the record of a download."""

    def records(self, problems: list[str]) -> Iterator[Record]:
        """Yield all records, of what has ended too; what can't be read becomes a sentence in `problems`."""

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it, with its links."""

    def read(self, record: Record, name: str) -> Iterator[bytes]:
        """Yield the octets of a stored file in pieces."""

    def extend(self, download_id: str, until: int, page: Callable[[Record, Download], bytes]) -> Record:
        """Promise a later date, and say so on the page; return the new record."""

    def remove(self, download_id: str, reason: str = REMOVED, pages: Pages | None = None) -> Report:
        """Take a download down at once; one that has ended already goes without a trace."""

    def expire(self, now: float, grace: int, *, dry_run: bool, pages: Pages | None = None) -> Report:
        """End downloads past their promised date plus grace; remove what is left of those that ended, and of crashes.

        Without pages, nothing is left of any.
        """
