"""Looking after downloads in a bucket, from any gateway; several may do it at once.

Records are read side by side, since each is a request of its own. Removing marks the record (conditional put), removes
files and page, then the record: whatever is interrupted is finished by the next clean-up.
"""

import time

from pfilter.base.errors import StoreError
from pfilter.base.text import sentence
from pfilter.store.bucket import (
    DOWNLOADS,
    PAGE_HEADERS,
    RECORDS,
    SET_ASIDE,
    Known,
    ObjectStore,
    file_key,
    page_key,
    record_key,
)
from pfilter.store.cleanup import Report
from pfilter.store.record import Download, Record, is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE_BY_SIDE = 16  # requests
AT_ONCE = 1024  # records in memory


class ObjectKeeper:
    """What people and clean-up need of a store in a bucket. Methods raise StoreError."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._bucket = store.bucket

    def ids(self) -> list[str]:
        """Return the ids of all downloads."""
        return sorted(name[:-5] for name in self._record_names() if name.endswith(".json") and is_id(name[:-5]))

    def record(self, download_id: str) -> Record:
        """Return the record of a download."""
        known = self._store.known(download_id)
        if known is None:
            raise StoreError(f"{download_id[:8]} is not a download here")
        if known.record is None:
            raise StoreError(known.problem)
        return known.record

    def records(self, problems: "list[str]") -> "Iterator[Record]":
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
        return self._bucket.stream(file_key(record.id, name))

    def extend(self, download_id: str, until: int, page: "Callable[[Record, Download], bytes]") -> Record:
        """Promise a later date, and say so on the page; return the new record."""
        if self._store.presigned:
            raise StoreError(
                "presigned links can't be extended: their end is part of them, and mail with them has been sent"
            )
        record = self.record(download_id)
        if until <= record.until:
            raise StoreError(f"{download_id[:8]} is promised for longer already; a promise can't be shortened")
        record = self._store.write_record(record.replace(until=until))
        self._bucket.put(page_key(download_id), page(record, self._store.describe(record)), PAGE_HEADERS)
        return record

    def remove(self, download_id: str) -> Report:
        """Take a download down at once."""
        known = self._store.known(download_id)
        if known is None:
            raise StoreError(f"{download_id[:8]} is not a download here")
        freed = self._remove(download_id, known, dry_run=False)
        if freed < 0:
            raise StoreError(f"{download_id[:8]} was changed at the same time; try again")
        return Report((download_id,), (), freed, ())

    def expire(self, now: float, grace: int, *, dry_run: bool) -> Report:
        """Remove downloads past their promised date plus grace, and those whose removal was interrupted."""
        stored = self._bucket.folders(DOWNLOADS)  # before the records, which are written first and removed last
        problems = [
            f"kept: {self._bucket}: {RECORDS}/{name} was set aside, since it can't be read"
            for name in self._record_names()
            if name.endswith(SET_ASIDE)
        ]
        ids = self.ids()
        for download_id in sorted(set(filter(is_id, stored)).difference(ids)):
            if not self._store.known(download_id) and self._bucket.look(page_key(download_id)):
                problems.append(f"kept: {self._bucket}: {DOWNLOADS}/{download_id} has no record; remove it by hand")
        due = []
        for known in self._all(ids, problems):
            if known.record is None:
                problems.append(f"kept: {known.problem}")
            elif known.removing or known.record.until + grace <= now:
                due.append((known.record.id, known))
        gone, freed = [], 0
        for download_id, found, problem in self._remove_all(due, dry_run=dry_run):
            if problem:
                problems.append(f"kept: {problem}")
            elif found >= 0:
                gone.append(download_id)
                freed += found
        return Report(tuple(sorted(gone)), (), freed, tuple(problems))

    def _remove_all(self, due: "list[tuple[str, Known]]", *, dry_run: bool) -> "Iterator[tuple[str, int, str]]":
        """Remove downloads side by side; yield id and octets of each, or what kept it from going."""
        from concurrent.futures import ThreadPoolExecutor

        def remove(one: tuple[str, Known]) -> tuple[str, int, str]:
            try:
                return one[0], self._remove(*one, dry_run=dry_run), ""
            except StoreError as error:
                return one[0], -1, sentence(error)

        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            yield from threads.map(remove, due)

    def _remove(self, download_id: str, known: Known, *, dry_run: bool) -> int:
        """Remove a download, if its record is still this one; return the octets of it, or -1."""
        # Marked anew even where a mark stands there: the message may have been stored again since that was read.
        if not dry_run and known.record and not self._store.mark_removing(known, download_id, int(time.time())):
            return -1
        # After the mark: what was uploaded until it stood there goes too.
        objects = list(self._bucket.below(f"{DOWNLOADS}/{download_id}"))
        if not dry_run:
            self._bucket.delete(key for key, _ in objects)
            self._bucket.delete([record_key(download_id)])
        return sum(size for _, size in objects)

    def _record_names(self) -> "list[str]":
        return [key.removeprefix(f"{RECORDS}/") for key, _ in self._bucket.below(RECORDS)]

    def _all(self, ids: "list[str]", problems: "list[str]") -> "Iterator[Known]":
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
