"""Looking after downloads in a bucket, from any gateway; several may do it at once.

Records are read side by side, since each is a request of its own. Removing marks the record (conditional put), removes
files, then the record, or writes what is left of it: whatever is interrupted is finished by the next clean-up.
"""

import time

from pfilter.base.errors import ConfigError, StoreError
from pfilter.base.text import sentence, utc
from pfilter.store.bucket import PAGE_HEADERS, Known, ObjectStore
from pfilter.store.cleanup import DATE, Report
from pfilter.store.layout import (
    DOWNLOADS,
    RECORDS,
    SET_ASIDE,
    download_path,
    file_path,
    is_id,
    page_path,
    record_path,
    recorded_id,
    short,
)
from pfilter.store.pages import Pages, tombstone
from pfilter.store.record import EXPIRED, REMOVED, Download, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE_BY_SIDE = 16  # requests
AT_ONCE = 1024  # records in memory


class BucketAdmin:
    """What people and clean-up need of a store in a bucket. Methods raise StoreError."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._bucket = store.bucket

    def ids(self) -> list[str]:
        """Return the ids of all downloads."""
        return sorted(filter(None, map(recorded_id, self._record_names())))

    def record(self, download_id: str) -> Record:
        """Return the record of a download."""
        known = self._store.known(download_id)
        if known is None:
            raise StoreError(f"{short(download_id)} is not a download here")
        if known.record is None:
            raise StoreError(known.problem)
        return known.record

    def records(self, problems: list[str]) -> "Iterator[Record]":
        """Yield all records; what can't be read becomes a sentence in `problems`."""
        for known in self._all(self.ids(), problems):
            if known.record:
                yield known.record
            else:
                problems.append(known.problem)

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it, with its links."""
        return self._store.describe(record)

    def read(self, record: Record, name: str) -> "Iterator[bytes]":
        """Yield the octets of a stored file in pieces."""
        return self._bucket.stream(file_path(record.id, name))

    def extend(self, download_id: str, until: int, page: "Callable[[Record, Download], bytes]") -> Record:
        """Promise a later date, and say so on the page; return the new record."""
        if self._store.presigned:
            raise StoreError(
                "presigned links can't be extended: their end is part of them, and mail with them has been sent"
            )
        record = self.record(download_id)
        if record.ended:
            raise StoreError(f"{short(download_id)} has ended: its files are gone")
        if until <= record.until:
            raise StoreError(f"{short(download_id)} is promised for longer already; a promise can't be shortened")
        record = self._store.write_record(record.replace(until=until, late=False))
        self._bucket.put(page_path(download_id), page(record, self._store.describe(record)), PAGE_HEADERS)
        return record

    def remove(self, download_id: str, reason: str = REMOVED, pages: Pages | None = None) -> Report:
        """Take a download down at once; one that has ended already goes without a trace."""
        known = self._store.known(download_id)
        if known is None:
            raise StoreError(f"{short(download_id)} is not a download here")
        problems: list[str] = []
        freed = self._end(known, download_id, time.time(), reason, self._pages(pages, reason), problems, dry_run=False)
        if freed < 0:
            raise StoreError(f"{short(download_id)} was changed at the same time; try again")
        return Report((download_id,), (), freed, tuple(problems))

    def expire(self, now: float, grace: int, *, dry_run: bool, pages: Pages | None = None) -> Report:
        """End downloads past their date plus grace; finish what was interrupted; remove what ended long ago."""
        keep = pages.keep if pages else 0
        stored = self._bucket.folders(DOWNLOADS)  # before the records, which are written first and removed last
        problems = [
            f"kept: {self._bucket}: {RECORDS}/{name} was set aside, since it can't be read"
            for name in self._record_names()
            if name.endswith(SET_ASIDE)
        ]
        ids = self.ids()
        for download_id in sorted(set(filter(is_id, stored)).difference(ids)):
            if not self._store.known(download_id) and self._bucket.look(page_path(download_id)):
                problems.append(f"kept: {self._bucket}: {download_path(download_id)} has no record; remove it by hand")
        due = []
        for known in self._all(ids, problems):
            if known.record is None:
                problems.append(f"kept: {known.problem}")
            elif known.removing or known.record.is_due(now, grace, keep):
                due.append((known.record.id, known))
            elif pages and not dry_run and not known.record.ended and known.record.until <= now:
                self._say_late(known, known.record, pages, problems)
        gone, leftovers, freed = [], [], 0
        pages = self._pages(pages, EXPIRED)
        for known, found in self._end_all(due, now, pages, problems, dry_run=dry_run):
            if found >= 0 and known.record:
                one = known.record
                if one.ended and not one.files:
                    leftovers.append(f"page of {short(one.id)}, which ended on {utc(one.ended, DATE)}")
                else:
                    gone.append(one.id)
                freed += found
        return Report(tuple(sorted(gone)), tuple(sorted(leftovers)), freed, tuple(problems))

    def _pages(self, pages: Pages | None, reason: str) -> Pages | None:
        """Return what is said after the end; nothing where no link would lead there: signed ones have ended, too."""
        return None if self._store.presigned and reason == EXPIRED else pages

    def _say_late(self, known: Known, record: Record, pages: Pages, problems: list[str]) -> None:
        """Have the page of a download say that its date is over; who changed it meanwhile has the last word."""
        if record.late:
            return
        try:
            page = pages.late(record, self._store.describe(record))
            if self._store.change(known, record.replace(late=True)):
                self._bucket.put(page_path(record.id), page, PAGE_HEADERS)
        except (StoreError, ConfigError) as error:
            problems.append(f"kept: {sentence(error)}")

    def _end_all(
        self, due: list[tuple[str, Known]], now: float, pages: Pages | None, problems: list[str], *, dry_run: bool
    ) -> "Iterator[tuple[Known, int]]":
        """End downloads side by side; yield each with its octets, or -1; what kept one from going is a problem."""
        from concurrent.futures import ThreadPoolExecutor

        def end(one: tuple[str, Known]) -> tuple[Known, int]:
            try:
                return one[1], self._end(one[1], one[0], now, EXPIRED, pages, problems, dry_run=dry_run)
            except StoreError as error:
                problems.append(f"kept: {sentence(error)}")
                return one[1], -1

        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            yield from threads.map(end, due)

    def _end(
        self,
        known: Known,
        download_id: str,
        now: float,
        reason: str,
        pages: Pages | None,
        problems: list[str],
        *,
        dry_run: bool,
    ) -> int:
        """End a download, or remove one that has, if its record is still this one; return the octets gone, or -1."""
        record = known.record
        over = record is not None and bool(record.ended) and not record.files
        ended = record.at_end(now, reason) if record and not record.ended else record
        page = tombstone(pages, ended, problems) if ended and not over else b""
        # Marked anew even where a mark stands there: the message may have been stored again since that was read.
        if not dry_run and ended and not self._store.mark_removing(known, ended, int(time.time())):
            return -1
        # After the mark: what was uploaded until it stood there goes too.
        objects = dict(self._bucket.below(download_path(download_id)))
        if not objects:
            page = b""  # nobody was given a link
        if page:
            objects.pop(page_path(download_id), None)
        if not dry_run:
            if page:
                self._bucket.put(page_path(download_id), page, PAGE_HEADERS)
            self._bucket.delete(objects)
            marked = self._store.known(download_id) if page and ended else None
            if not page:
                self._bucket.delete([record_path(download_id)])
            elif marked and marked.removing and ended:
                self._store.change(marked, ended.without_files())
        return sum(objects.values())

    def _record_names(self) -> list[str]:
        return [key.removeprefix(f"{RECORDS}/") for key, _ in self._bucket.below(RECORDS)]

    def _all(self, ids: list[str], problems: list[str]) -> "Iterator[Known]":
        """Read records side by side; what was removed meanwhile is left out."""
        from concurrent.futures import ThreadPoolExecutor

        def read(download_id: str) -> Known | str | None:
            try:
                return self._store.known(download_id)
            except StoreError as error:
                return sentence(error)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            for start in range(0, len(ids), AT_ONCE):
                for found in threads.map(read, ids[start : start + AT_ONCE]):
                    if isinstance(found, str):
                        problems.append(found)
                    elif found:
                        yield found
