"""Looking after the downloads of a local store: reading, extending, removing; clean-up itself is in `cleanup`."""

import os

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool
from pfilter.base.text import sentence
from pfilter.store import cleanup, layout
from pfilter.store.cleanup import Report
from pfilter.store.layout import short
from pfilter.store.local import LocalStore
from pfilter.store.pages import Pages
from pfilter.store.record import REMOVED, Download, Record, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class LocalAdmin:
    """What people and clean-up need of a local store. Methods raise StoreError or OSError."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def ids(self) -> list[str]:
        """Return the ids of all downloads."""
        return cleanup.ids(self._store)

    def record(self, download_id: str) -> Record:
        """Return the record of a download."""
        try:
            return read_record(self._path(download_id))
        except FileNotFoundError:
            raise StoreError(f"{short(download_id)} is not a download here") from None

    def records(self, problems: list[str]) -> "Iterator[Record]":
        """Yield all records; what can't be read becomes a sentence in `problems`."""
        for download_id in self.ids():
            try:
                yield read_record(self._path(download_id))
            except FileNotFoundError:
                continue  # removed meanwhile
            except (StoreError, OSError) as error:
                problems.append(sentence(error))

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it, with its links."""
        return self._store.describe(record)

    def read(self, record: Record, name: str) -> "Iterator[bytes]":
        """Yield the octets of a stored file in pieces."""
        path = self._store.path(layout.file_path(record.id, name))
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        spool = Spool(fd, os.fstat(fd).st_size)
        try:
            yield from spool.windows(0, spool.size)
        finally:
            spool.close()

    def extend(self, download_id: str, until: int, page: "Callable[[Record, Download], bytes]") -> Record:
        """Promise a later date, and say so on the page; return the new record."""
        self._store.make_locks()
        with durable.locked(self._store.lock(download_id)):
            record = self.record(download_id)
            if record.ended:
                raise StoreError(f"{short(download_id)} has ended: its files are gone")
            if until <= record.until:
                raise StoreError(f"{short(download_id)} is promised for longer already; a promise can't be shortened")
            record = record.replace(until=until, late=False)
            write_record(self._path(download_id), record)
            place = self._store.path(layout.page_path(download_id))
            durable.write_file(place, page(record, self._store.describe(record)), durable.PUBLIC_FILE)
        return record

    def remove(self, download_id: str, reason: str = REMOVED, pages: Pages | None = None) -> Report:
        """Take a download down at once; one that has ended already goes without a trace."""
        return cleanup.revoke(self._store, download_id, reason, pages)

    def expire(self, now: float, grace: int, *, dry_run: bool, pages: Pages | None = None) -> Report:
        """End downloads past their date plus grace; remove what is left of those that ended, and of crashes."""
        return cleanup.expire(self._store, now, grace, dry_run=dry_run, pages=pages)

    def _path(self, download_id: str) -> str:
        return self._store.path(layout.record_path(download_id))
