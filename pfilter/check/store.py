"""The store: there, ours, with room; its secret, and the bucket that stands in for it."""

import os
import stat

from pfilter.base import users
from pfilter.base.finding import Finding
from pfilter.config.settings import Settings
from pfilter.store import layout
from pfilter.store.select import open_local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    root = settings.store_path
    try:
        found = os.stat(root)
    except FileNotFoundError:
        yield Finding("error", f"store {root} does not exist: install -d -o pfilter -g pfilter -m 0711 {root}")
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Finding("error", f"store {root} is not a directory")
        return
    if found.st_uid == 0:
        yield Finding(
            "error",
            f"store {root} belongs to root, but pipe(8) refuses to run filters as root: "
            f"chown -R pfilter:pfilter {root}",
        )
    if found.st_mode & 0o022:
        yield Finding("error", f"store {root} can be written by others (mode {found.st_mode & 0o777:04o}): chmod 0711")
    if settings.link_enabled and not found.st_mode & 0o001:
        yield Finding("error", f"store {root} can't be entered by the web server: chmod 0711 {root}")
    if not os.access(root, os.W_OK | os.X_OK):
        yield Finding("error", f"store {root} can't be written by {users.name(os.geteuid())}")
        return
    store = open_local(settings)
    store.workspace()
    if store.has_room(0, settings.store_min_free):
        yield Finding("ok", f"store {root} can be written, and has room")
    else:
        yield Finding(
            "error",
            f"store {root} has less free space, or fewer inodes, than [store] min_free asks for: nothing is stored",
        )


def secret(settings: Settings) -> "Iterator[Finding]":
    """Yield whether the secret of the links can be read, by us alone."""
    if not settings.store_secret_file:
        if settings.store_url:
            secret = os.path.join(settings.store_path, layout.SECRET)
            yield Finding("ok", f"the key that links are made with is {secret}: other gateways need a copy of it")
        return
    open_local(settings).secret()
    yield from _private("secret_file", settings.store_secret_file)


def bucket(settings: Settings) -> "Iterator[Finding]":
    """Yield whether the object store can be used, and shared. Raises StoreError."""
    if not settings.store_url:
        return
    from pfilter.store.s3 import Bucket

    if settings.store_credentials:
        yield from _private("credentials", settings.store_credentials)
    shared = Bucket(settings)
    if shared.endpoint.startswith("http://"):
        yield Finding("warning", "[store] endpoint is not https: others can read what is stored on its way")
    key = f"{layout.RECORDS}/check-{os.getpid()}"
    written = [shared.put(key, b"pfilter check", {}, e_tag="") for _ in range(2)]
    found = shared.get(key)
    shared.delete([key])
    if not found or found[0] != b"pfilter check":
        yield Finding("error", f"{shared}: what was written can't be read")
    elif written != [True, False]:
        yield Finding("error", f"{shared} ignores conditional writes (If-None-Match): it can't be shared")
    else:
        yield Finding("ok", f"{shared} can be written to and read, and supports conditional writes")


def _private(key: str, file: str) -> "Iterator[Finding]":
    found = os.stat(file)
    if found.st_mode & 0o007:
        yield Finding("error", f"[store] {key} = {file} can be read by everybody: chmod o-rwx {file}")
    else:
        yield Finding("ok", f"[store] {key} = {file} can be read here, but not by everybody")
