"""The download store in a local directory (DESIGN, "Store, local").

    downloads/<id>/index.html          page, 0644
    downloads/<id>/files/<safe name>   hard link to the blob
    blobs/<2>/<sha256>                 each content once, 0644 below a directory of 0700
    records/<id>.json                  who, when, what, until when
    trouble/*.eml, secret, tmp/, locks/

Order of a commit, under the id's lock: record, blobs, links, page, each durable before the next. Whatever a crash
leaves is found by the next attempt, which computes the same id, or expires by its record.
"""

import errno
import os

from pfilter.errors import StoreError
from pfilter.model import Download, Link
from pfilter.spool import Spool
from pfilter.store import files
from pfilter.store.records import Record, read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ID_LABEL = b"pfilter download id 1"
ID_OCTETS = 20  # 160 bits
ID_LENGTH = 32  # in base32
ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz234567")
RELINK_TRIES = 5
SET_ASIDE = ".json.bad"


class LocalStore:
    """A store below `root`, which must exist. Methods raise StoreError or OSError: then nothing may be sent."""

    def __init__(self, root: str, base_url: str) -> None:
        self.root = root
        self.base_url = base_url

    def path(self, *names: str) -> str:
        """Return a path below the root."""
        return os.path.join(self.root, *names)

    def workspace(self) -> str:
        """Return the private directory for temporary files, on the same file system as the blobs."""
        self._directory("tmp", files.PRIVATE_DIR)
        return self.path("tmp")

    def has_room(self, octets: int, min_free: int) -> bool:
        """Whether so many octets can be stored with min_free left."""
        self._check_root()
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize - octets >= min_free

    def download_id(self, header: bytes, sender: bytes, digests: "Sequence[str]") -> str:
        """Return the id of a message's downloads: the same for the same message, and nobody else can compute it."""
        from base64 import b32encode
        from hmac import digest

        parts = (ID_LABEL, header, sender, *(bytes.fromhex(value) for value in digests))
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return b32encode(digest(self.secret(), told, "sha256")[:ID_OCTETS]).decode("ascii").lower()

    def secret(self) -> bytes:
        """Return this installation's key, made at first need; of many that make one at once, one wins."""
        self._check_root()
        path = self.path("secret")
        try:
            with open(path, "rb") as stream:
                found = stream.read()
        except FileNotFoundError:
            candidate = self.path("tmp", f"secret-{os.getpid()}-{os.urandom(8).hex()}")
            self.workspace()
            files.write_file(candidate, os.urandom(32).hex().encode("ascii") + b"\n", files.PRIVATE_FILE)
            try:
                os.link(candidate, path)
                files.sync_directory(self.root)
            except FileExistsError:
                pass
            finally:
                os.unlink(candidate)
            with open(path, "rb") as stream:
                found = stream.read()
        if len(found.strip()) < 32:
            raise StoreError(f"{path} is too short to be a key; remove it to have a new one made")
        return found.strip()

    def save(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        """Store the files of one message; `contents` are (octets, sha256) in the order of record.files.

        The promised date becomes the later one of the record given and one that is there already.
        """
        self._prepare()
        with files.locked(self.lock(record.id)):
            known = self._known(record.id)
            if known and known.until > record.until:
                record = record.replace(until=known.until)
            write_record(self.path("records", f"{record.id}.json"), record)
            self._directory(f"downloads/{record.id}", files.PUBLIC_DIR)
            self._directory(f"downloads/{record.id}/files", files.PUBLIC_DIR)
            for (content, digest), file in zip(contents, record.files, strict=True):
                self._place(content, digest, self.path("downloads", record.id, "files", file.name))
            files.sync_directory(self.path("downloads", record.id, "files"))
            download = self.describe(record)
            files.write_file(self.path("downloads", record.id, "index.html"), page(download), files.PUBLIC_FILE)
        return download

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it."""
        from urllib.parse import quote

        page = f"{self.base_url}/{record.id}/"
        links = tuple(
            Link(name=file.name, size=file.size, sha256=file.sha256, url=f"{page}files/{quote(file.name, safe='')}")
            for file in record.files
        )
        return Download(id=record.id, url=page, links=links, until=record.until)

    def keep_original(self, spool: Spool, queue_id: str, now: float) -> str:
        """Keep a message in the trouble folder, once however often it is tried; return the file's name."""
        from hashlib import sha256
        from time import gmtime, strftime

        self._directory("trouble", files.PRIVATE_DIR)
        state = sha256()
        for chunk in spool.windows(0, spool.size):
            state.update(chunk)
        queue = "".join(c for c in queue_id if c.isalnum() and c.isascii()) or "shell"
        ending = f"-{queue}-{state.hexdigest()[:16]}.eml"
        for name in os.listdir(self.path("trouble")):
            if name.endswith(ending) and not name.startswith(files.TEMPORARY_PREFIX):
                return name
        name = strftime("%Y%m%dT%H%M%SZ", gmtime(now)) + ending
        files.copy_spool(spool, self.path("trouble", name), files.PRIVATE_FILE)
        return name

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
                files.copy_spool(content, path, files.PUBLIC_FILE)
            return
        raise StoreError(f"blob {digest[:12]} vanishes again and again")

    def _put_blob(self, content: Spool, digest: str, blob: str) -> None:
        try:
            if os.stat(blob).st_size == content.size:
                return
        except FileNotFoundError:
            pass
        self._directory(f"blobs/{digest[:2]}", files.PRIVATE_DIR)
        if not files.link_spool(content, blob, files.PUBLIC_FILE):
            files.copy_spool(content, blob, files.PUBLIC_FILE)

    def make_locks(self) -> None:
        """Make the directory of locks, if it got lost. Raises OSError, StoreError."""
        self._directory("locks", files.PRIVATE_DIR)

    def _prepare(self) -> None:
        for name in ("downloads", "blobs", "records", "locks"):
            self._directory(name, files.PUBLIC_DIR if name == "downloads" else files.PRIVATE_DIR)

    def _directory(self, name: str, mode: int) -> None:
        try:
            files.make_directory(self.path(name), mode)
        except FileNotFoundError:
            self._check_root()
            raise

    def _check_root(self) -> None:
        if not os.path.isdir(self.root):
            raise StoreError(
                f"store {self.root} does not exist: make it, owned by the filter's user: "
                f"install -d -o pfilter -g pfilter -m 0711 {self.root}"
            )
