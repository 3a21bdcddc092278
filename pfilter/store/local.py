"""The download store in a local directory (DESIGN, "Store, local").

    downloads/<id>/index.html          page, 0644
    downloads/<id>/files/<safe name>   hard link to the blob; after the end no files/ is left, and the page says so
    downloads/expired.html             what web servers answer where there is nothing (any more), 0644
    blobs/<2>/<sha256>                 each content once, 0644 below a directory of 0700, see blobs
    records/<id>.json                  who, when, what, until when
    secret (see key), usage (see quota), tmp/, locks/; quarantine/ and trouble/, see kept

Order of a commit, under the id's lock: record, blobs, links, page, each durable before the next. Whatever a crash
leaves is found by the next attempt, which computes the same id, or expires by its record.
"""

import os

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool
from pfilter.store import layout
from pfilter.store.record import Download, Link, Record, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAST_INODES = 100  # that min_free leaves: directories, page, record, for ten messages at once; a file takes two more


class LocalStore:
    """A store below `root`, which must exist. Methods raise StoreError or OSError: then nothing may be sent."""

    def __init__(self, root: str, base_url: str, secret_file: str = "", quota: int = 0) -> None:
        self.root = root
        self.base_url = base_url
        self._secret_file = secret_file
        self._quota = quota  # octets; 0: none

    def path(self, *names: str) -> str:
        """Return a path below the root."""
        return os.path.join(self.root, *names)

    def workspace(self) -> str:
        """Return the private directory for temporary files, on the same file system as the blobs."""
        self._directory(layout.WORKSPACE, durable.PRIVATE_DIR)
        return self.path(layout.WORKSPACE)

    def has_room(self, octets: int, min_free: int, names: int = 0) -> bool:
        """Whether so many octets in so many files can be stored with min_free octets left, and inodes.

        Some file systems (btrfs) have no fixed number of inodes, and report 0 in all.
        """
        self._check_root()
        found = os.statvfs(self.root)
        if min_free and found.f_files and found.f_favail < LEAST_INODES + 2 * names:
            return False
        return found.f_bavail * found.f_frsize - octets >= min_free

    def download_id(self, header: bytes, sender: bytes, digests: "Sequence[str]") -> str:
        """Return the id of a message's downloads: the same for the same message, and nobody else can compute it."""
        from pfilter.store import key

        return key.download_id(self.secret(), header, sender, digests)

    def secret(self) -> bytes:
        """Return this installation's key, made at first need; of many that make one at once, one wins.

        A key in a file that the configuration names is never made here: other gateways have the same.
        """
        from pfilter.store import key

        if self._secret_file:
            return key.given(self._secret_file)
        self._check_root()
        return key.own(self.root, self.workspace)

    def save(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        """Store the files of one message; `contents` are (octets, sha256) in the order of record.files.

        With a record that is there already, of an earlier try, it becomes one: see `Record.joined`.
        """
        from pfilter.store import blobs

        self._prepare()
        with durable.locked(self.lock(record.id)):
            known = self._known(record.id)
            if known and not known.ended:
                record = record.joined(known)
            with blobs.room_for(self.root, contents, self._quota):
                return self._write(record, contents, page)

    def _write(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        from pfilter.store import blobs

        write_record(self.path(layout.record_path(record.id)), record)
        place = layout.download_path(record.id)
        self._directory(place, durable.PUBLIC_DIR)
        self._directory(f"{place}/{layout.FILES}", durable.PUBLIC_DIR)
        for (content, digest), file in zip(contents, record.files, strict=True):
            blobs.place(self.root, content, digest, self.path(layout.file_path(record.id, file.name)))
        durable.sync_directory(self.path(place, layout.FILES))
        download = self.describe(record)
        durable.write_file(self.path(layout.page_path(record.id)), page(download), durable.PUBLIC_FILE)
        return download

    def put_expired_page(self, page: "Callable[[], bytes]", *, anew: bool) -> bool:
        """Write the page for what is not there, if it is missing or, `anew`, another one; return whether it was."""
        path = self.path(layout.DOWNLOADS, layout.EXPIRED)
        if os.path.exists(path) and not anew:
            return False
        data = page()
        self._directory(layout.DOWNLOADS, durable.PUBLIC_DIR)
        try:
            with open(path, "rb") as stream:
                if stream.read() == data:
                    return False
        except FileNotFoundError:
            pass
        durable.write_file(path, data, durable.PUBLIC_FILE)
        return True

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it."""
        from urllib.parse import quote

        page = f"{self.base_url}/{record.id}/"
        below = f"{page}{layout.FILES}/"
        links = tuple(
            Link(name=file.name, size=file.size, sha256=file.sha256, url=below + quote(file.name, safe=""))
            for file in record.files
        )
        return Download(id=record.id, url=page, links=links, until=record.until)

    def lock(self, download_id: str) -> str:
        """Return the path of the lock for an id; ids share a thousand of them, so that none need be removed."""
        return self.path(layout.LOCKS, download_id[:2])

    def _known(self, download_id: str) -> Record | None:
        path = self.path(layout.record_path(download_id))
        try:
            return read_record(path)
        except FileNotFoundError:
            return None
        except StoreError:
            # A damaged record must not stop its message for ever. Clean-up names it.
            os.replace(path, self.path(layout.set_aside_path(download_id)))
            return None

    def make_locks(self) -> None:
        """Make the directory of locks, if it got lost. Raises OSError, StoreError."""
        self._directory(layout.LOCKS, durable.PRIVATE_DIR)

    def _prepare(self) -> None:
        self._directory(layout.DOWNLOADS, durable.PUBLIC_DIR)
        for name in (layout.BLOBS, layout.RECORDS, layout.LOCKS):
            self._directory(name, durable.PRIVATE_DIR)

    def _directory(self, name: str, mode: int) -> None:
        try:
            durable.make_directory(self.path(name), mode)
        except FileNotFoundError:
            self._check_root()
            raise

    def _check_root(self) -> None:
        if not os.path.isdir(self.root):
            raise StoreError(
                f"store {self.root} does not exist: make it, owned by the filter's user: "
                f"install -d -o pfilter -g pfilter -m 0711 {self.root}"
            )
        durable.check_directory(self.root, follow=True)
