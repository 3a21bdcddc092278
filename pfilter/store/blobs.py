"""The contents of a local store, each once, whatever it is called in however many downloads.

A blob is a name of a file; the names in downloads are others of the same file, so it is gone with the last of them.
Where there can be no second name (EMLINK, EXDEV, EPERM), a download has a copy.
"""

import errno
import os
from contextlib import contextmanager

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool
from pfilter.store import quota
from pfilter.store.layout import blob_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RELINK_TRIES = 5


@contextmanager
def room_for(root: str, contents: "Sequence[tuple[Spool, str]]", limit: int) -> "Iterator[None]":
    """Take room for contents before they are placed, and give back what was not filled; `limit` 0: there is no quota.

    Raises NoRoomError, OSError.
    """
    if not limit:
        yield
        return
    needed = _missing(root, contents)
    if needed:
        quota.take(root, needed, limit)
    try:
        yield
    except BaseException:
        quota.give_back(root, _missing(root, contents))
        raise


def place(root: str, content: Spool, digest: str, path: str) -> None:
    """Make `path` a link to the blob of this content, or a copy where there can be no link. Raises OSError, StoreError.

    The folder of all blobs is there.
    """
    blob = os.path.join(root, blob_path(digest))
    for _ in range(RELINK_TRIES):
        if not _is_there(blob, content.size):
            _put(content, blob)
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


def _put(content: Spool, blob: str) -> None:
    durable.make_directory(os.path.dirname(blob), durable.PRIVATE_DIR)
    if not durable.link_spool(content, blob, durable.PUBLIC_FILE):
        durable.copy_spool(content, blob, durable.PUBLIC_FILE)


def _missing(root: str, contents: "Sequence[tuple[Spool, str]]") -> int:
    """Return the octets of the contents that have no blob yet."""
    sizes = {digest: content.size for content, digest in contents}
    return sum(size for digest, size in sizes.items() if not _is_there(os.path.join(root, blob_path(digest)), size))


def _is_there(blob: str, size: int) -> bool:
    try:
        return os.stat(blob).st_size == size
    except FileNotFoundError:
        return False
