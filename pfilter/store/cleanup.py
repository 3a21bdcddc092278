"""Removing what has expired, what was revoked, and what crashed runs left. Safe beside the filter and beside itself.

Clean-up believes records: not modification times, not the names of directories. A record that it can't read is kept
and named. Downloads go before their record, so that an interrupted clean-up is found and finished by the next.
"""

import os
import re
import stat
from fcntl import LOCK_EX, LOCK_NB, flock

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen
from pfilter.base.text import sentence
from pfilter.store import quota
from pfilter.store.local import SET_ASIDE, LocalStore
from pfilter.store.record import Record, is_id, match, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORARY_AGE = 3600  # seconds; a younger one may be about to be locked, or to get its name
UNLINKED_AGE = 86400  # seconds; a blob that was never linked may be on its way into a download
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


def expire(store: LocalStore, now: float, grace: int, *, dry_run: bool = False) -> Report:
    """Remove downloads past their promised date plus grace, unlinked blobs, leftovers. Raises OSError, StoreError."""
    tally = _Tally(dry_run)
    for name in _listing(store.path("records")):
        download_id, _, ending = name.partition(".")
        if ending == SET_ASIDE.removeprefix("."):
            tally.problems.append(f"kept: {store.path('records', name)} was set aside, since it can't be read")
        if ending != "json" or not is_id(download_id):
            continue
        try:
            if _record(store, download_id, lambda record: record.until + grace <= now):
                _remove(store, download_id, tally, lambda record: record.until + grace <= now)
        except (StoreError, OSError) as error:
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


def revoke(store: LocalStore, download_id: str) -> Report:
    """Take a download down at once. Raises StoreError where there is none, OSError."""
    tally = _Tally(dry_run=False)
    _remove(store, find_id(store, download_id), tally, lambda record: True)
    quota.give_back(store.root, tally.blobs)
    return tally.report()


def find_id(store: LocalStore, given: str) -> str:
    """Return the full id for an id, a link, or the beginning of an id as the log shows it. Raises StoreError."""
    return match(ids(store), given)


def ids(store: LocalStore) -> list[str]:
    """Return the ids of all downloads. Raises OSError."""
    return [name[:-5] for name in _listing(store.path("records")) if name.endswith(".json") and is_id(name[:-5])]


def _remove(store: LocalStore, download_id: str, tally: _Tally, still: "Callable[[Record], bool]") -> None:
    """Remove a download, under its lock, if that still holds for its record."""
    path = store.path("records", f"{download_id}.json")
    store.make_locks()
    with durable.locked(store.lock(download_id)):
        record = _record(store, download_id, still)
        if record is None:
            return
        place = store.path("downloads", download_id)
        if not os.path.islink(place):
            _remove_tree(os.path.join(place, "files"), tally)
        _remove_tree(place, tally)
        for digest in {file.sha256 for file in record.files if _BLOB.fullmatch(file.sha256)}:
            _remove_if_unlinked(store.path("blobs", digest[:2], digest), tally)
        tally.unlink(path)
        tally.ids.append(download_id)


def _record(store: LocalStore, download_id: str, holds: "Callable[[Record], bool]") -> Record | None:
    """Return a record for which something holds; None too where another clean-up was faster."""
    try:
        record = read_record(store.path("records", f"{download_id}.json"))
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
    for name in _listing(store.path("downloads")):
        recorded = os.path.exists(store.path("records", f"{name}.json"))
        if is_id(name) and not recorded and name not in tally.ids:
            with durable.locked(store.lock(name)):
                known = os.path.exists(store.path("records", f"{name}.json"))
            if not known and os.path.exists(store.path("downloads", name)):
                tally.problems.append(f"kept: {store.path('downloads', name)} has no record; remove it by hand")


def _unlinked_blobs(store: LocalStore, now: float, tally: _Tally) -> None:
    for folder in _listing(store.path("blobs")):
        for name in _listing(store.path("blobs", folder)):
            path = store.path("blobs", folder, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            if _BLOB.fullmatch(name) and tally.links(found) == 1 and found.st_mtime + UNLINKED_AGE < now:
                tally.unlink(path)
                tally.leftovers.append(path)


def _directories_with_temporaries(store: LocalStore) -> list[str]:
    below = [store.root, *(store.path(name) for name in ("tmp", "records", "trouble", "quarantine", "downloads"))]
    blobs = [store.path("blobs", folder) for folder in _listing(store.path("blobs"))]
    places = [store.path("downloads", name) for name in _listing(store.path("downloads"))]
    pages = [place for place in places if not os.path.islink(place)]
    inside = [path for page in pages if not os.path.islink(path := os.path.join(page, "files"))]
    return [*below, *blobs, *pages, *inside]


def _leftovers(directory: str, now: float, tally: _Tally) -> None:
    """Remove temporary files that nobody holds a lock on; those of `tmp` are all temporary."""
    everything = os.path.basename(directory) == "tmp"
    for name in _listing(directory):
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


def _listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
