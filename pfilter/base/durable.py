"""Durable files: written, synced, renamed, and their directory synced, in this order.

Directory rights (DESIGN, Store): the web server may open what it knows the name of, and list nothing.
"""

import errno
import os
import stat
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock

from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC_DIR = 0o711
PRIVATE_DIR = 0o700
UNFINISHED_DIR = 0o500  # until its name is durable
PUBLIC_FILE = 0o644
PRIVATE_FILE = 0o600
TEMPORARY_PREFIX = ".tmp-"


def make_directory(path: str, mode: int) -> None:
    """Make a directory with exactly this mode, whatever the umask; durable. Raises OSError, StoreError."""
    try:
        os.mkdir(path, UNFINISHED_DIR)
    except FileExistsError:
        check_directory(path)
        found = stat.S_IMODE(os.stat(path).st_mode)
        if found != UNFINISHED_DIR and (mode == PRIVATE_DIR or found != PRIVATE_DIR):
            return
        # Else a crash came before the last of these calls: the name may not outlive a power cut, or nobody can enter.
    sync_directory(os.path.dirname(path))
    os.chmod(path, mode)


def check_directory(path: str, *, follow: bool = False) -> None:
    """Raise StoreError unless this is a directory of ours, no symbolic link, that nobody else can write to."""
    found = os.stat(path) if follow else os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{path} is not a directory; move it out of the way")
    if found.st_uid != os.geteuid():
        raise StoreError(_not_ours(path, found.st_uid, inside=not follow))
    if found.st_mode & 0o022:
        raise StoreError(f"{path} can be written by others (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w {path}")


def _not_ours(path: str, owner: int, *, inside: bool) -> str:
    """Say whose a directory is, and what mends that: who owns the directory around it, the store, is meant to."""
    from pfilter.base import users

    said = f"{path} belongs to {users.name(owner)}, but pfilter runs as {users.name(os.geteuid())}"
    around = os.path.dirname(path)
    meant = os.stat(around).st_uid if inside else owner
    if meant == 0:  # pipe(8) runs no filter as root, so the store should not be root's
        known = f"chown {users.in_command(owner)} {around}" if inside and owner else "chown -R it to the filter's user"
        return f"{said}: {known}"
    if meant == os.geteuid():
        return f"{said}: chown {users.in_command(meant)} {path}"
    return f"{said}: run it as {users.name(meant)}"


def names(directory: str) -> list[str]:
    """Return the names in a directory, in order; none where it is not there, or is none. Raises OSError."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def sync_directory(path: str) -> None:
    """Make the names in a directory durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, mode: int) -> None:
    """Put a file in place, whole or not at all. Raises OSError."""
    with _placed(path, mode) as fd:
        write_all(fd, data)


def copy_spool(content: Spool, path: str, mode: int) -> None:
    """Put a copy of a spool in place, with LF line ends, whole or not at all. Raises OSError."""
    with _placed(path, mode) as fd:
        for chunk in content.lf_windows(0, content.size):
            write_all(fd, chunk)


@contextmanager
def _placed(path: str, mode: int) -> "Iterator[int]":
    """Give a descriptor to write to; then sync, rename into place, sync the directory."""
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, f"{TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(8).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # While it is locked, clean-up knows that somebody is at it.
        flock(fd, LOCK_EX)
        yield fd
        os.fchmod(fd, mode)
        os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    sync_directory(directory)


def link_spool(content: Spool, path: str, mode: int) -> bool:
    """Give a nameless file a name, if it can have one there; return whether it has. Raises OSError.

    A file that stands there already is left.
    """
    if not content.is_file:
        return False
    os.fchmod(content.fd, mode)
    os.fsync(content.fd)
    try:
        # Only with a directory descriptor, which an absolute path does not need, does Python call linkat(2), which can
        # follow the link in /proc; link(2) can't.
        os.link(f"/proc/self/fd/{content.fd}", path, src_dir_fd=content.fd, follow_symlinks=True)
    except FileExistsError:
        return os.stat(path).st_size == content.size
    except OSError as error:
        # In memory, on another file system, had a name before, or no /proc: a copy serves.
        if error.errno not in (errno.EXDEV, errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        return False
    sync_directory(os.path.dirname(path))
    return True


@contextmanager
def locked(path: str, *, create: bool = True, wait: bool = True) -> "Iterator[int]":
    """Hold an exclusive lock on a file, made at need, never removed, and give its descriptor.

    Blocks, or raises BlockingIOError where it shall not wait. Raises OSError.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    fd = os.open(path, flags, PRIVATE_FILE)
    try:
        flock(fd, LOCK_EX if wait else LOCK_EX | LOCK_NB)
        yield fd
    finally:
        os.close(fd)
