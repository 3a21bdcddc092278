"""One bucket of an object store, by obstore, which is loaded at first need (28 ms, a tenth of boto3).

Every request ends within `[store] timeout`, tries included. Keys and endpoint are always given: what is left out would
be looked for in the environment, or asked of the cloud's metadata address. Errors are one sentence, without keys. Not
to be used before fork(2): the child would hang.
"""

import os

from pfilter.base.errors import StoreError
from pfilter.base.spool import Spool
from pfilter.config.settings import PRESIGNED_LIMIT, Settings
from pfilter.store import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, NoReturn

PIECE = 5 << 20  # octets; the least that a multipart upload may have in a part
CONCURRENCY = 2  # parts under way at once: faster than one, and 29 MiB of memory where the default of 12 takes 79
CONNECT_LIMIT = 5  # seconds
TRIES_AGAIN = 2
DELETE_AT_ONCE = 1000
REASON_LIMIT = 240  # characters


class Bucket:
    """The objects below the prefix of `[store] url`; keys are relative to it. Methods raise StoreError."""

    def __init__(self, settings: Settings) -> None:
        self.name, _, self.prefix = settings.store_url.removeprefix("s3://").partition("/")
        self.endpoint = settings.store_endpoint or f"https://s3.{settings.store_region}.amazonaws.com"
        self._settings = settings
        self._opened: Any = None

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return the octets of a small object and its tag; None where there is no such object."""
        import obstore

        try:
            found = obstore.get(self._client(), key)
            return bytes(found.bytes()), str(found.meta["e_tag"] or "")
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001  # obstore's own errors have no common base but Exception
            self._fail("read", error)

    def put(self, key: str, data: bytes, headers: "Mapping[str, str]", *, e_tag: str | None = None) -> bool:
        """Write a small object, whole or not at all; return False where somebody else was faster.

        With e_tag "" it must not exist, with another it must still be that version; with None neither counts.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "overwrite" if e_tag is None else {"e_tag": e_tag} if e_tag else "create"
        try:
            obstore.put(self._client(), key, data, attributes=dict(headers), mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except FileNotFoundError:
            if e_tag:
                return False  # gone meanwhile
            raise StoreError(f"{self}: no such bucket") from None
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("write", error)
        return True

    def upload(self, key: str, content: Spool, headers: "Mapping[str, str]") -> None:
        """Write an object of any size, in pieces; an interruption leaves nothing of it."""
        import obstore

        if content.size <= PIECE:
            self.put(key, content.read(0, content.size), headers)
            return
        try:
            obstore.put(
                self._client(),
                key,
                content.windows(0, content.size),
                attributes=dict(headers),
                chunk_size=_piece(content.size),
                max_concurrency=CONCURRENCY,
            )
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                raise  # our own file can't be read
            raise StoreError(f"{self}: no such bucket") from None
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("write", error)

    def look(self, key: str) -> "tuple[int, Mapping[str, str]] | None":
        """Return size and headers of an object, with its own in lower case; None where there is none."""
        import obstore

        try:
            found = obstore.get(self._client(), key, options={"head": True})
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("read", error)
        return int(found.meta["size"]), {str(name): str(value) for name, value in found.attributes.items()}

    def stream(self, key: str) -> "Iterator[bytes]":
        """Yield the octets of an object in pieces. FileNotFoundError where there is none."""
        import obstore

        try:
            for piece in obstore.get(self._client(), key).stream(min_chunk_size=1 << 20):
                yield bytes(piece)
        except FileNotFoundError:
            raise FileNotFoundError(2, "no such object", key) from None
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("read", error)

    def below(self, folder: str) -> "Iterator[tuple[str, int]]":
        """Yield key and size of all objects below a folder, in no order that counts."""
        import obstore

        try:
            for batch in obstore.list(self._client(), prefix=folder, chunk_size=1000):
                for found in batch:
                    yield found["path"], found["size"]
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("list", error)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        import obstore

        try:
            found = obstore.list_with_delimiter(self._client(), prefix=folder)
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("list", error)
        return [name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"]]

    def delete(self, keys: "Iterable[str]") -> None:
        """Remove objects; those that are gone already are no error."""
        import obstore

        waiting = list(keys)
        for start in range(0, len(waiting), DELETE_AT_ONCE):
            try:
                obstore.delete(self._client(), waiting[start : start + DELETE_AT_ONCE])
            except FileNotFoundError:
                continue
            except Exception as error:  # noqa: BLE001  # as above
                self._fail("remove", error)

    def sign(self, keys: list[str], seconds: int) -> list[str]:
        """Return links that open objects for so many seconds; nothing is asked of the store for it."""
        from datetime import timedelta

        import obstore

        lifetime = timedelta(seconds=max(1, min(seconds, PRESIGNED_LIMIT)))
        return list(obstore.sign(self._client(), "GET", keys, lifetime))

    def __str__(self) -> str:
        return f"object store {self.endpoint}/{self.name}"

    def _client(self) -> "Any":
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> "Any":
        from datetime import timedelta

        # Else one thread for each processor, whose stacks and arenas are past our own limit of address space.
        os.environ.setdefault("TOKIO_WORKER_THREADS", "2")
        try:
            from obstore.store import S3Store
        except ImportError as error:
            raise StoreError(f"[store] url needs the package obstore: pip install 'pfilter[s3]' ({error})") from None
        keys = credentials.read(self._settings.store_credentials)
        if keys.session_token and self._settings.store_links == "presigned":
            raise StoreError("[store] links = presigned with a session_token: links would end with it")
        half = self._settings.store_timeout / 2  # one half to try again in, one for the last try
        token: Any = {"session_token": keys.session_token} if keys.session_token else {}
        allow_http = self.endpoint.startswith("http://")
        try:
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                endpoint=self.endpoint,
                region=self._settings.store_region,
                access_key_id=keys.access_key_id,
                secret_access_key=keys.secret_access_key,
                **token,
                client_options={
                    "allow_http": allow_http,
                    "timeout": timedelta(seconds=half),
                    "connect_timeout": timedelta(seconds=min(half, CONNECT_LIMIT)),
                },
                retry_config={"max_retries": TRIES_AGAIN, "retry_timeout": timedelta(seconds=half)},
            )
        except Exception as error:  # noqa: BLE001  # as above
            self._fail("open", error)

    def _fail(self, what: str, error: Exception) -> "NoReturn":
        """Raise a StoreError that says in one line what went wrong."""
        if isinstance(error, StoreError):
            raise error
        raise StoreError(f"{self}: can't {what}: {reason(str(error))}") from None


def reason(text: str) -> str:
    """Return what obstore's text comes to in one line: the server's own code first, no dump, no address with an id."""
    code = text.partition("<Code>")[2].partition("</Code>")[0] if "<Code>" in text else ""
    line = " ".join(text.partition("\n\n")[0].partition("<?xml")[0].split()).rstrip(" :")
    line = line.rpartition(" - ")[2]
    return f"{code}: {line}"[:REASON_LIMIT] if code else line[:REASON_LIMIT]


def _piece(size: int) -> int:
    """Return how large pieces must be so that 10,000 of them suffice."""
    return max(PIECE, -(-size // 9000))
