"""From the path of a request to an open file below downloads/, or to nothing.

A path is matched whole, as it came over the wire, before anything is decoded; nothing is ever normalised. Each
directory on the way is opened by descriptor, symbolic links are not followed, and only regular files are given out.
"""

import os
import re
import stat

from pfilter.base.frozen import Frozen
from pfilter.store.http_headers import GONE
from pfilter.store.layout import ARCHIVE, EXPIRED, FILES, ID, PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.web.archive import Archive

NAME_LIMIT = 255  # octets
PAGE_LIMIT = 1 << 20  # octets of a page about what is not there
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # passes through directories that can't be listed
_ABSOLUTE = re.compile(rb"https?://[^/]+", re.IGNORECASE)
_LINKED = re.compile(rf'href="(?:[^"]*/)?{FILES}/([^"/]+)"'.encode("ascii"))
_REST = re.compile(
    rf"/({ID})(?:(/)(?:({re.escape(ARCHIVE)})|{FILES}/((?:[!-$&-.0-~]|%[0-9A-Fa-f]{{2}})+))?)?".encode("ascii")
)


class Asked(Frozen):
    """What a request is about: a page, or the file `name` of it; `slash` is whether the page's last slash is there."""

    id: str
    slash: bool
    name: str
    archive: bool = False  # all of its files in one


class Item:
    """An open file; `name` is "" for a page. Whoever got it closes it."""

    def __init__(self, fd: int, name: str) -> None:
        found = os.fstat(fd)
        self.fd = fd
        self.name = name
        self.size = found.st_size
        self.etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'

    def read(self, offset: int, limit: int) -> bytes:
        """Return octets, fewer than asked for only at the end. Raises OSError."""
        return os.pread(self.fd, limit, offset)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def origin_form(target: bytes) -> bytes:
    """Return the path of a request's target, its query cut off, in whichever of both forms it is (RFC 9112, 3.2)."""
    found = _ABSOLUTE.match(target)
    return target[found.end() :] or b"/" if found else target


def parse(path: bytes, prefix: bytes) -> Asked | None:
    """Return what a raw path asks for; None for all that can't be there. `prefix` is the path of base_url."""
    if not path.startswith(prefix):
        return None
    found = _REST.fullmatch(path, len(prefix))
    if not found:
        return None
    name = _name(found[4] or b"")
    if name is None:
        return None
    return Asked(id=found[1].decode("ascii"), slash=bool(found[2]), name=name, archive=bool(found[3]))


def _name(quoted: bytes) -> str | None:
    """Return the name of a file as it stands in a URL, decoded; None for what is none of ours."""
    from urllib.parse import unquote_to_bytes

    try:
        name = unquote_to_bytes(quoted).decode("utf-8")
    except UnicodeDecodeError:
        return None
    sound = not name.startswith(".") and "/" not in name and name.isprintable()
    return name if sound and len(name.encode("utf-8")) <= NAME_LIMIT else None


def find(downloads: str, asked: Asked) -> "Item | Archive | None":
    """Open what is asked for. Raises OSError for what should not happen, such as too many open files."""
    if asked.archive:
        return _archive(downloads, asked.id)
    way = (asked.id, FILES, asked.name) if asked.name else (asked.id, PAGE)
    fd = _open(downloads, way)
    return None if fd is None else Item(fd, asked.name)


def _archive(downloads: str, download_id: str) -> "Archive | None":
    """Return all files of a download as one; None where they are not all there.

    Which they are, the page says, in its order: only the store's owner can list them.
    """
    from pfilter.web.archive import Archive

    page = _open(downloads, (download_id, PAGE))
    if page is None:
        return None
    try:
        names = [_name(found) for found in _LINKED.findall(os.pread(page, os.fstat(page).st_size, 0))]
    finally:
        os.close(page)
    fd = _open(downloads, (download_id, FILES), os.O_PATH | os.O_DIRECTORY)
    if fd is None:
        return None
    made = None
    try:
        made = Archive(fd, tuple(dict.fromkeys(filter(None, names)))) if any(names) else None
    except FileNotFoundError:
        pass
    finally:
        if made is None:
            os.close(fd)
    return made


def find_ended(downloads: str, asked: Asked) -> "Item | Archive | None":
    """Open the page that stays where a file was asked for and all of its download has ended; None for all else."""
    if not (asked.name or asked.archive) or _has_files(downloads, asked.id):
        return None
    return find(downloads, asked.replace(name="", archive=False))


def _has_files(downloads: str, download_id: str) -> bool:
    try:
        os.lstat(os.path.join(downloads, download_id, FILES))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # whatever it is, it is not for us to say that it has ended
    return True


def gone(downloads: str) -> bytes:
    """Return the page about whatever is not there."""
    fd = _open(downloads, (EXPIRED,))
    if fd is None:
        return GONE.encode("ascii")
    try:
        return os.pread(fd, PAGE_LIMIT, 0) or GONE.encode("ascii")
    finally:
        os.close(fd)


def _open(root: str, way: tuple[str, ...], kind: int = 0) -> int | None:
    at = -1
    try:
        at = os.open(root, _WAY)
        for name in way[:-1]:
            at, left = os.open(name, _WAY | os.O_NOFOLLOW, dir_fd=at), at
            os.close(left)
        # Not blocking: somebody's fifo would be waited for.
        fd = os.open(way[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | kind, dir_fd=at)
    except OSError as error:
        import errno

        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO):
            raise
        return None  # not there, no directory, a symbolic link, no permission: nobody need know which
    finally:
        if at >= 0:
            os.close(at)
    if kind or stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None
