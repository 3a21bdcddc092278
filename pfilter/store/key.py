"""The installation's key, and the ids of downloads that are made with it.

An id is the HMAC-SHA256 of what makes a message this one, so that a second try finds what the first has stored, on any
gateway with the same key, and nobody without it can compute where files are.
"""

import os

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.store.layout import SECRET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ID_LABEL = b"pfilter download id 1"
ID_OCTETS = 20  # 160 bits
LEAST_SECRET = 32  # octets


def download_id(secret: bytes, header: bytes, sender: bytes, digests: "Sequence[str]") -> str:
    """Return the id of a message's downloads: the same for the same message, and nobody else can compute it."""
    from base64 import b32encode
    from hmac import digest

    parts = (ID_LABEL, header, sender, *(bytes.fromhex(value) for value in digests))
    told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return b32encode(digest(secret, told, "sha256")[:ID_OCTETS]).decode("ascii").lower()


def own(root: str, workspace: "Callable[[], str]") -> bytes:
    """Return the key that a store has itself, made at first need. Raises StoreError, OSError.

    By link(2), so that of many that make one at once, one wins. `workspace` is where it is written before.
    """
    path = os.path.join(root, SECRET)
    try:
        with open(path, "rb") as stream:
            found = stream.read()
            if os.fstat(stream.fileno()).st_nlink > 1:
                durable.sync_directory(root)  # whoever makes it has not come so far, or never will
    except FileNotFoundError:
        candidate = os.path.join(workspace(), f"{SECRET}-{os.getpid()}-{os.urandom(8).hex()}")
        durable.write_file(candidate, os.urandom(32).hex().encode("ascii") + b"\n", durable.PRIVATE_FILE)
        try:
            os.link(candidate, path)
            durable.sync_directory(root)
        except FileExistsError:
            pass
        finally:
            os.unlink(candidate)
        with open(path, "rb") as stream:
            found = stream.read()
    if len(found.strip()) < LEAST_SECRET:
        raise StoreError(f"{path} is too short to be a key; remove it to have a new one made")
    return found.strip()


def given(file: str) -> bytes:
    """Return the key in a file that the configuration names. Raises StoreError."""
    try:
        with open(file, "rb") as stream:
            found = stream.read().strip()
    except OSError as error:
        raise StoreError(f"[store] secret_file = {file}: {error.strerror}") from error
    if len(found) < LEAST_SECRET:
        raise StoreError(f"[store] secret_file = {file}: too short to be a key")
    return found
