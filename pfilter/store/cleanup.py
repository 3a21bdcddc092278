"""Removing what has expired, what was revoked, and what crashed runs left. Safe beside the filter and beside itself.

Clean-up believes records: not modification times, not the names of directories. A record that it can't read is kept
and named. A download that ends is marked in its record first; then its page becomes one that says so, its files go,
and then their names. What goes for good goes before its record. So an interrupted clean-up is found and finished by
the next.
"""

import os
import re
import stat
from fcntl import LOCK_EX, LOCK_NB, flock
from time import time

from pfilter.base import durable
from pfilter.base.errors import ConfigError, StoreError
from pfilter.base.frozen import Frozen
from pfilter.base.text import sentence, utc
from pfilter.store import layout, quota
from pfilter.store.layout import is_id, recorded_id
from pfilter.store.local import LocalStore
from pfilter.store.pages import Pages, tombstone
from pfilter.store.record import EXPIRED, REMOVED, Record, match, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORARY_AGE = 3600  # seconds; a younger one may be about to be locked, or to get its name
UNLINKED_AGE = 86400  # seconds; a blob that was never linked may be on its way into a download
DATE = "%Y-%m-%d"
_BLOB = re.compile(r"[0-9a-f]{64}")


class Report(Frozen):
    """What clean-up removed: ids, other files, octets freed on disk; and what it could not do."""

    ids: tuple[str, ...]
    leftovers: tuple[str, ...]
    freed: int
    problems: tuple[str, ...]

    def plus(self, other: "Report") -> "Report":
        """Return both together."""
        ids, leftovers = self.ids + other.ids, self.leftovers + other.leftovers
        return Report(ids, leftovers, self.freed + other.freed, self.problems + other.problems)


class _Tally:
    def __init__(self, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.ids: list[str] = []
        self.leftovers: list[str] = []
        self.freed = 0
        self.blobs = 0  # octets of the blobs among what is freed
        self.problems: list[str] = []
        self._in_thought: dict[tuple[int, int], int] = {}

    def unlink(self, path: str) -> None:
        """Remove a name, in a dry run in thought; count its octets where it is the last one."""
        try:
            found = os.lstat(path)
            last = self.links(found) == 1
            if self.dry_run:
                inode = (found.st_dev, found.st_ino)
                self._in_thought[inode] = self._in_thought.get(inode, 0) + 1
            else:
                os.unlink(path)
        except FileNotFoundError:
            return
        if last:
            self.freed += found.st_size

    def links(self, found: os.stat_result) -> int:
        """Return how many names a file has, those that a dry run would remove left out."""
        return found.st_nlink - self._in_thought.get((found.st_dev, found.st_ino), 0)

    def report(self) -> Report:
        return Report(tuple(self.ids), tuple(self.leftovers), self.freed, tuple(self.problems))


def expire(store: LocalStore, now: float, grace: int, *, dry_run: bool = False, pages: Pages | None = None) -> Report:
    """End downloads past their promised date plus grace, remove what ended long ago, unlinked blobs, leftovers.

    Raises OSError, StoreError.
    """
    tally = _Tally(dry_run)
    keep = pages.keep if pages else 0
    for name in durable.names(store.path(layout.RECORDS)):
        if name.endswith(layout.SET_ASIDE):
            tally.problems.append(f"kept: {store.path(layout.RECORDS, name)} was set aside, since it can't be read")
        download_id = recorded_id(name)
        if not download_id:
            continue
        try:
            record = _record(store, download_id, lambda record: True)
            if record and record.is_due(now, grace, keep):
                _end(store, download_id, tally, lambda record: record.is_due(now, grace, keep), EXPIRED, now, pages)
            elif record and pages and _is_late(record, now) and not dry_run:
                _say_late(store, download_id, now, pages)
        except (StoreError, OSError, ConfigError) as error:
            tally.problems.append(f"kept: {sentence(error)}")
    _unknown_downloads(store, tally)
    _unlinked_blobs(store, now, tally)
    if not dry_run:
        quota.count_anew(store.root)
    for directory in _directories_with_temporaries(store):
        try:
            _leftovers(directory, now, tally)
        except OSError as error:
            tally.problems.append(f"not looked into: {sentence(error)}")
    return tally.report()


def revoke(store: LocalStore, download_id: str, reason: str = REMOVED, pages: Pages | None = None) -> Report:
    """Take a download down at once, without a trace where there are no pages, or where it has ended already.

    Raises StoreError where there is none, OSError.
    """
    tally = _Tally(dry_run=False)
    _end(store, find_id(store, download_id), tally, lambda record: True, reason, time(), pages)
    quota.give_back(store.root, tally.blobs)
    return tally.report()


def find_id(store: LocalStore, given: str) -> str:
    """Return the full id for an id, a link, or the beginning of an id as the log shows it. Raises StoreError."""
    return match(ids(store), given)


def ids(store: LocalStore) -> list[str]:
    """Return the ids of all downloads. Raises OSError."""
    return list(filter(None, map(recorded_id, durable.names(store.path(layout.RECORDS)))))


def _end(
    store: LocalStore,
    download_id: str,
    tally: _Tally,
    still: "Callable[[Record], bool]",
    reason: str,
    now: float,
    pages: Pages | None,
) -> None:
    """End a download, under its lock, if that still holds for its record; or remove what is left of one that ended."""
    path = store.path(layout.record_path(download_id))
    store.make_locks()
    with durable.locked(store.lock(download_id)):
        record = _record(store, download_id, still)
        if record is None:
            return
        place = store.path(layout.download_path(download_id))
        over = bool(record.ended) and not record.files
        ended = record if record.ended else record.at_end(now, reason)
        is_place = os.path.isdir(place) and not os.path.islink(place)
        page = tombstone(pages, ended, tally.problems) if is_place and not over else b""
        if page and not tally.dry_run:
            write_record(path, ended)
            durable.write_file(store.path(layout.page_path(download_id)), page, durable.PUBLIC_FILE)
        if not os.path.islink(place):
            _remove_tree(os.path.join(place, layout.FILES), tally)
        if not page:
            _remove_tree(place, tally)
        for digest in {file.sha256 for file in record.files if _BLOB.fullmatch(file.sha256)}:
            _remove_if_unlinked(store.path(layout.blob_path(digest)), tally)
        if page and not tally.dry_run:
            durable.sync_directory(place)  # a power cut must not bring files back that nobody knows of
            write_record(path, ended.without_files())
        elif not page:
            tally.unlink(path)
        if over:
            tally.leftovers.append(f"page of {layout.short(download_id)}, which ended on {utc(record.ended, DATE)}")
        else:
            tally.ids.append(download_id)


def _is_late(record: Record, now: float) -> bool:
    """Whether a page still has a date that is over."""
    return not (record.ended or record.late) and record.until <= now


def _say_late(store: LocalStore, download_id: str, now: float, pages: Pages) -> None:
    """Have the page of a download say that its date is over. Raises ConfigError, OSError, StoreError."""
    store.make_locks()
    with durable.locked(store.lock(download_id)):
        record = _record(store, download_id, lambda record: _is_late(record, now))
        path = store.path(layout.page_path(download_id))
        if record and os.path.isfile(path):
            durable.write_file(path, pages.late(record, store.describe(record)), durable.PUBLIC_FILE)
            write_record(store.path(layout.record_path(download_id)), record.replace(late=True))


def _record(store: LocalStore, download_id: str, holds: "Callable[[Record], bool]") -> Record | None:
    """Return a record for which something holds; None too where another clean-up was faster."""
    try:
        record = read_record(store.path(layout.record_path(download_id)))
    except FileNotFoundError:
        return None
    return record if holds(record) else None


def _remove_tree(directory: str, tally: _Tally) -> None:
    """Remove a directory and the files in it; symbolic links are names like others, never followed."""
    if os.path.islink(directory):
        tally.unlink(directory)
        return
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(directory, name)
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            tally.unlink(path)
    if not tally.dry_run:
        os.rmdir(directory)


def _remove_if_unlinked(blob: str, tally: _Tally) -> None:
    """Remove a blob that only `blobs/` names any more."""
    try:
        links = tally.links(os.lstat(blob))
    except FileNotFoundError:
        return
    if links == 1:
        before = tally.freed
        tally.unlink(blob)
        tally.blobs += tally.freed - before


def _unknown_downloads(store: LocalStore, tally: _Tally) -> None:
    """Name downloads without a record: the record is written first and removed last, so a person did that."""
    store.make_locks()
    for name in filter(is_id, durable.names(store.path(layout.DOWNLOADS))):
        record, place = store.path(layout.record_path(name)), store.path(layout.download_path(name))
        if not os.path.exists(record) and name not in tally.ids:
            with durable.locked(store.lock(name)):
                known = os.path.exists(record)
            if not known and os.path.exists(place):
                tally.problems.append(f"kept: {place} has no record; remove it by hand")


def _unlinked_blobs(store: LocalStore, now: float, tally: _Tally) -> None:
    for folder in durable.names(store.path(layout.BLOBS)):
        for name in durable.names(store.path(layout.BLOBS, folder)):
            path = store.path(layout.BLOBS, folder, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            if _BLOB.fullmatch(name) and tally.links(found) == 1 and found.st_mtime + UNLINKED_AGE < now:
                tally.unlink(path)
                tally.leftovers.append(path)


def _directories_with_temporaries(store: LocalStore) -> list[str]:
    below = [store.root, *map(store.path, (layout.WORKSPACE, layout.RECORDS, *layout.KEPT, layout.DOWNLOADS))]
    blobs = [store.path(layout.BLOBS, folder) for folder in durable.names(store.path(layout.BLOBS))]
    places = [store.path(layout.DOWNLOADS, name) for name in durable.names(store.path(layout.DOWNLOADS))]
    pages = [place for place in places if not os.path.islink(place)]
    inside = [path for page in pages if not os.path.islink(path := os.path.join(page, layout.FILES))]
    return [*below, *blobs, *pages, *inside]


def _leftovers(directory: str, now: float, tally: _Tally) -> None:
    """Remove temporary files that nobody holds a lock on; those of the workspace are all temporary."""
    everything = os.path.basename(directory) == layout.WORKSPACE
    for name in durable.names(directory):
        if not everything and not name.startswith(durable.TEMPORARY_PREFIX):
            continue
        path = os.path.join(directory, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # gone, or not ours
        try:
            flock(fd, LOCK_EX | LOCK_NB)
            if os.fstat(fd).st_mtime + TEMPORARY_AGE < now:
                tally.unlink(path)
                tally.leftovers.append(path)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
