"""The keys of an object store, from a file or from the environment; never from anywhere else, never in a message."""

import os

from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen

SIZE_LIMIT = 1 << 16  # octets
NAMES = ("access_key_id", "secret_access_key", "session_token")


class Credentials(Frozen):
    """The keys, and a token where they are temporary."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(...)"


def read(file: str) -> Credentials:
    """Read a file, or without one AWS_ACCESS_KEY_ID and so on. Raises StoreError."""
    found = _from_file(file) if file else {name: os.environ.get(f"AWS_{name.upper()}", "") for name in NAMES}
    where = f"[store] credentials = {file}" if file else "the environment (there is no [store] credentials)"
    for name in NAMES[:2]:
        if not found.get(name):
            raise StoreError(f"{where}: no {name if file else 'AWS_' + name.upper()}")
    return Credentials(**{name: found.get(name, "") for name in NAMES})


def _from_file(file: str) -> dict[str, str]:
    """Read lines of `key = value`, quoted or not, with `aws_` before the key or not: TOML and AWS's own form both."""
    try:
        with open(file, "rb") as stream:
            lines = stream.read(SIZE_LIMIT).decode("utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"[store] credentials = {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise StoreError(f"[store] credentials = {file}: not UTF-8") from None
    found: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        name = key.strip().removeprefix("aws_")
        if equals and name in NAMES:
            if name in found:
                raise StoreError(f"[store] credentials = {file}: {name} is given twice")
            found[name] = value.strip().strip("\"'")
    return found
