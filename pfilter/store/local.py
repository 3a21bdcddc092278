"""The download store in a local directory (DESIGN, "Store, local").

    downloads/<id>/index.html          page, 0644
    downloads/<id>/files/<safe name>   hard link to the blob
    downloads/expired.html             what web servers answer where there is nothing (any more), 0644
    blobs/<2>/<sha256>                 each content once, 0644 below a directory of 0700
    records/<id>.json                  who, when, what, until when
    secret, usage, tmp/, locks/; quarantine/ and trouble/, see held

Order of a commit, under the id's lock: record, blobs, links, page, each durable before the next. Whatever a crash
leaves is found by the next attempt, which computes the same id, or expires by its record.
"""

import errno
import os

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool
from pfilter.message.model import Download, Link
from pfilter.store import quota
from pfilter.store.record import Record, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ID_LABEL = b"pfilter download id 1"
ID_OCTETS = 20  # 160 bits
RELINK_TRIES = 5
LEAST_SECRET = 32  # octets
LEAST_INODES = 100  # that min_free leaves: directories, page, record, for ten messages at once; a file takes two more
EXPIRED_PAGE = "expired.html"
SET_ASIDE = ".json.bad"


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
        self._directory("tmp", durable.PRIVATE_DIR)
        return self.path("tmp")

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
        from base64 import b32encode
        from hmac import digest

        parts = (ID_LABEL, header, sender, *(bytes.fromhex(value) for value in digests))
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return b32encode(digest(self.secret(), told, "sha256")[:ID_OCTETS]).decode("ascii").lower()

    def secret(self) -> bytes:
        """Return this installation's key, made at first need; of many that make one at once, one wins.

        A key in a file that the configuration names is never made here: other gateways have the same.
        """
        if self._secret_file:
            return self._given_secret()
        self._check_root()
        path = self.path("secret")
        try:
            with open(path, "rb") as stream:
                found = stream.read()
                if os.fstat(stream.fileno()).st_nlink > 1:
                    durable.sync_directory(self.root)  # whoever makes it has not come so far, or never will
        except FileNotFoundError:
            candidate = self.path("tmp", f"secret-{os.getpid()}-{os.urandom(8).hex()}")
            self.workspace()
            durable.write_file(candidate, os.urandom(32).hex().encode("ascii") + b"\n", durable.PRIVATE_FILE)
            try:
                os.link(candidate, path)
                durable.sync_directory(self.root)
            except FileExistsError:
                pass
            finally:
                os.unlink(candidate)
            with open(path, "rb") as stream:
                found = stream.read()
        if len(found.strip()) < LEAST_SECRET:
            raise StoreError(f"{path} is too short to be a key; remove it to have a new one made")
        return found.strip()

    def _given_secret(self) -> bytes:
        try:
            with open(self._secret_file, "rb") as stream:
                found = stream.read().strip()
        except OSError as error:
            raise StoreError(f"[store] secret_file = {self._secret_file}: {error.strerror}") from error
        if len(found) < LEAST_SECRET:
            raise StoreError(f"[store] secret_file = {self._secret_file}: too short to be a key")
        return found

    def save(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        """Store the files of one message; `contents` are (octets, sha256) in the order of record.files.

        The promised date becomes the later one of the record given and one that is there already.
        """
        self._prepare()
        with durable.locked(self.lock(record.id)):
            known = self._known(record.id)
            if known and known.until > record.until:
                record = record.replace(until=known.until)
            if self._quota:
                self._take_room(contents)
            try:
                return self._write(record, contents, page)
            except BaseException:
                if self._quota:
                    quota.give_back(self.root, self._missing(contents))
                raise

    def _write(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        write_record(self.path("records", f"{record.id}.json"), record)
        self._directory(f"downloads/{record.id}", durable.PUBLIC_DIR)
        self._directory(f"downloads/{record.id}/files", durable.PUBLIC_DIR)
        for (content, digest), file in zip(contents, record.files, strict=True):
            self._place(content, digest, self.path("downloads", record.id, "files", file.name))
        durable.sync_directory(self.path("downloads", record.id, "files"))
        download = self.describe(record)
        durable.write_file(self.path("downloads", record.id, "index.html"), page(download), durable.PUBLIC_FILE)
        return download

    def _take_room(self, contents: "Sequence[tuple[Spool, str]]") -> None:
        needed = self._missing(contents)
        if needed:
            quota.take(self.root, needed, self._quota)

    def _missing(self, contents: "Sequence[tuple[Spool, str]]") -> int:
        """Return the octets of the contents that have no blob yet."""
        sizes = {digest: content.size for content, digest in contents}
        return sum(size for digest, size in sizes.items() if not self._has_blob(digest, size))

    def _has_blob(self, digest: str, size: int) -> bool:
        try:
            return os.stat(self.path("blobs", digest[:2], digest)).st_size == size
        except FileNotFoundError:
            return False

    def put_expired_page(self, page: "Callable[[], bytes]", *, anew: bool) -> bool:
        """Write the page for what is not there, if it is missing or, `anew`, another one; return whether it was."""
        path = self.path("downloads", EXPIRED_PAGE)
        if os.path.exists(path) and not anew:
            return False
        data = page()
        self._directory("downloads", durable.PUBLIC_DIR)
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
        links = tuple(
            Link(name=file.name, size=file.size, sha256=file.sha256, url=f"{page}files/{quote(file.name, safe='')}")
            for file in record.files
        )
        return Download(id=record.id, url=page, links=links, until=record.until)

    def lock(self, download_id: str) -> str:
        """Return the path of the lock for an id; ids share a thousand of them, so that none need be removed."""
        return self.path("locks", download_id[:2])

    def _known(self, download_id: str) -> Record | None:
        path = self.path("records", f"{download_id}.json")
        try:
            return read_record(path)
        except FileNotFoundError:
            return None
        except StoreError:
            # A damaged record must not stop its message for ever. Clean-up names it.
            os.replace(path, path.removesuffix(".json") + SET_ASIDE)
            return None

    def _place(self, content: Spool, digest: str, path: str) -> None:
        """Make `path` a link to the blob of this content, or a copy where there can be no link."""
        blob = self.path("blobs", digest[:2], digest)
        for _ in range(RELINK_TRIES):
            self._put_blob(content, digest, blob)
            try:
                os.link(blob, path)
            except FileExistsError:
                if os.stat(path).st_size == content.size:
                    return
                os.unlink(path)  # cut short by a crash of the machine
                continue
            except FileNotFoundError:
                continue  # clean-up took the blob between look and link
            except OSError as error:
                if error.errno not in (errno.EMLINK, errno.EXDEV, errno.EPERM):
                    raise
                durable.copy_spool(content, path, durable.PUBLIC_FILE)
            return
        raise StoreError(f"blob {digest[:12]} keeps vanishing")

    def _put_blob(self, content: Spool, digest: str, blob: str) -> None:
        if self._has_blob(digest, content.size):
            return
        self._directory(f"blobs/{digest[:2]}", durable.PRIVATE_DIR)
        if not durable.link_spool(content, blob, durable.PUBLIC_FILE):
            durable.copy_spool(content, blob, durable.PUBLIC_FILE)

    def make_locks(self) -> None:
        """Make the directory of locks, if it got lost. Raises OSError, StoreError."""
        self._directory("locks", durable.PRIVATE_DIR)

    def _prepare(self) -> None:
        for name in ("downloads", "blobs", "records", "locks"):
            self._directory(name, durable.PUBLIC_DIR if name == "downloads" else durable.PRIVATE_DIR)

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
