"""The configuration in a form that loads at once, as Postfix does with its lookup tables.

Parsing TOML costs as much as starting Python. So the pipe keeps the checked values, by marshal, in the store: a file of
its own, 0600, valid for exactly one state of the configuration file, one version of pfilter and of Python. Without it,
or with one that does not fit, the file itself is read; nothing ever depends on it.
"""

import marshal
import os
import sys
import time
from binascii import crc32

from pfilter import __version__
from pfilter.base.errors import StoreError
from pfilter.base.limits import Limits
from pfilter.base.privileges import look
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "config.cache"
SIZE_LIMIT = 1 << 20
PACKAGE = os.path.dirname(os.path.dirname(__file__))
# What values depend on: a changed default is another state.
CODE = (
    "config/keys.py", "config/readers.py", "config/load.py", "config/settings.py",
    "base/idn.py", "base/limits.py", "base/sockets.py",
)  # fmt: skip
# A file changed twice within one tick of the kernel's clock looks unchanged: a young one is not kept.
LEAST_AGE = 2.0  # seconds


def load(file: str) -> Settings:
    """Return what `config.load.load` returns, sooner. Raises ConfigError."""
    try:
        state, store = _state(file)
        with open(os.path.join(store, NAME), "rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_uid == os.geteuid() and not found.st_mode & 0o077 and found.st_size < SIZE_LIMIT:
                data = stream.read()
                if data[:4] == _checksum(data[4:]):
                    kept = marshal.loads(data[4:])  # noqa: S302  # only we can have written it
                    if kept[0] == state and kept[1]["store_path"] == store and tuple(kept[1]) == Settings._fields:
                        return _settings(kept[1])
    except (OSError, ValueError, EOFError, TypeError, LookupError):
        pass  # a reason to read the file itself, which says what is wrong
    return _read_and_keep(file)


class Watched:
    """A configuration file for a process that handles many messages: looked at for each, read when it has changed."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._state: tuple[int, ...] = ()
        self._kept: Settings | None = None

    def load(self) -> Settings:
        """Return what `config.load` returns. Raises ConfigError, as often as it is asked for one that is broken."""
        state = self._look()
        if self._kept is not None and state and state == self._state:
            return self._kept
        self._kept = None
        settings = load(self._file)
        # As above: one that is young, or changed while it was read, is read again.
        if state == self._look() and state and time.time() - state[-1] / 1e9 > LEAST_AGE:
            self._state = state
            self._kept = settings
        return settings

    def _look(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._file)
        except OSError:
            return ()
        return (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_uid,
            found.st_mode,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )


def _settings(values: "dict[str, Any]") -> Settings:
    values["limits"] = Limits(**values["limits"])
    return Settings(**values)


def _values(settings: Settings) -> "dict[str, Any]":
    """Return all fields, in order, as what marshal knows."""
    values = {name: getattr(settings, name) for name in Settings._fields}
    values["limits"] = {name: getattr(settings.limits, name) for name in Limits._fields}
    return values


def _checksum(data: bytes) -> bytes:
    """Return what tells damaged data apart: of some, marshal makes lists of gigabytes."""
    return crc32(data).to_bytes(4, "big")


def _read_and_keep(file: str) -> Settings:
    from pfilter.config.load import load as read

    try:
        before = _state(file)[0]
    except OSError:
        before = ()
    settings = read(file)
    try:
        owned = look(settings.store_path).st_uid == os.geteuid()
        if owned and before and before == _state(file)[0] and time.time() - os.stat(file).st_ctime > LEAST_AGE:
            from pfilter.base.durable import PRIVATE_FILE, write_file

            kept: Any = (before, _values(settings))
            data = marshal.dumps(kept)
            write_file(os.path.join(settings.store_path, NAME), _checksum(data) + data, PRIVATE_FILE)
    except (OSError, StoreError):
        pass  # no store yet, no room, or not where root would go: only time is lost
    return settings


def _state(file: str) -> tuple[tuple[object, ...], str]:
    """Return what must be the same for kept values to be valid, and the store that the file seems to name."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        text = os.read(fd, SIZE_LIMIT)
    finally:
        os.close(fd)
    code = [os.stat(f"{PACKAGE}/{name}") for name in CODE]
    version = (__version__, sys.version, PACKAGE, *((each.st_mtime_ns, each.st_size) for each in code))
    times = (found.st_mtime_ns, found.st_ctime_ns)
    where = (os.path.abspath(file), found.st_dev, found.st_ino)
    return (*version, *where, found.st_size, *times, found.st_uid), _store(text)


def _store(text: bytes) -> str:
    """Guess [store] path without a parser. A wrong guess finds nothing that fits."""
    for line in text.split(b"\n"):
        key, equals, value = line.partition(b"=")
        if equals and key.strip() == b"path":
            return os.fsdecode(value.split(b"#")[0].strip().strip(b"\"'")).rstrip("/") or "/"
    return "/var/lib/pfilter"
