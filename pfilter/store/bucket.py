"""The download store in a bucket, for several gateways and more than one disk.

    <prefix>/downloads/<id>/index.html     page
    <prefix>/downloads/<id>/files/<name>   one object for each file; its headers make it a download
    <prefix>/records/<id>.json             who, when, what, until when: never public

What is private to a gateway stays in its folder: temporary files, the key that ids are made with, kept messages.

Order of a commit as in the local store: record, files, page. The record is written only if it is still what was read
(conditional put), so the later of two dates wins, whoever writes it. Removing marks the record first: a message that
is tried again in this moment waits, instead of finding files that go.
"""

import json
import time

from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.config.settings import PRESIGNED_LIMIT, Settings
from pfilter.store import http_headers
from pfilter.store.layout import DOWNLOADS, EXPIRED, file_path, page_path, record_path, set_aside_path, short
from pfilter.store.local import LocalStore
from pfilter.store.record import Download, Link, Record, decode, encode
from pfilter.store.s3 import Bucket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

RECORD_TRIES = 8
REMOVAL_LIMIT = 900  # seconds; a removal under way for longer was given up
REMOVING = "removing"
CACHE = "private, no-store"
JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": CACHE}
PAGE_HEADERS = {"Content-Type": http_headers.HTML, "Cache-Control": CACHE}
DIGEST = "sha256"
# S3's own word for it. Where it is application/octet-stream some stores (SeaweedFS) guess by the name: text/html.
BYTES = "binary/octet-stream"


class Known(Frozen):
    """A record as it lies in the bucket: `e_tag` is its version, `removing` since when it is being removed, or 0."""

    record: Record | None  # None: it can't be read
    e_tag: str
    removing: int = 0
    problem: str = ""


class ObjectStore:
    """A store in a bucket. Methods raise StoreError or OSError: then nothing may be sent."""

    def __init__(self, settings: Settings, local: LocalStore) -> None:
        self.bucket = Bucket(settings)
        self._local = local
        self.presigned = settings.store_links == "presigned"
        self._base_url = settings.store_base_url
        self._grace = settings.store_grace

    def download_id(self, header: bytes, sender: bytes, digests: "Sequence[str]") -> str:
        """Return the id of a message's downloads; the same on all gateways with the same key."""
        return self._local.download_id(header, sender, digests)

    def save(
        self, record: Record, contents: "Sequence[tuple[Spool, str]]", page: "Callable[[Download], bytes]"
    ) -> Download:
        """Store the files of one message; what is there already is not sent again."""
        record = self.write_record(record)
        for (content, digest), file in zip(contents, record.files, strict=True):
            key = file_path(record.id, file.name)
            found = self.bucket.look(key)
            if not found or found[0] != content.size or found[1].get(DIGEST) != digest:
                self.bucket.upload(key, content, file_headers(file.name, digest))
        download = self.describe(record)
        self.bucket.put(page_path(record.id), page(download), PAGE_HEADERS)
        after = self.known(record.id)
        if not after or after.removing:
            raise StoreError(f"download {short(record.id)} was removed while it was stored")
        return download

    def put_expired_page(self, page: "Callable[[], bytes]", *, anew: bool) -> bool:
        """Put the page about what is not there where a bucket can name it as its error document; not for each mail."""
        return anew and self.bucket.put(f"{DOWNLOADS}/{EXPIRED}", page(), PAGE_HEADERS)

    def write_record(self, record: Record) -> Record:
        """Write a record, unless one with a later date is there; return the one that counts. Raises StoreError."""
        place = record_path(record.id)
        for _ in range(RECORD_TRIES):
            known = self.known(record.id)
            if known and known.removing and time.time() < known.removing + REMOVAL_LIMIT:
                raise StoreError(f"download {short(record.id)} is being removed; it can be stored again after that")
            if known and known.record and not known.removing and not known.record.ended:
                if known.record.until >= record.until and known.record.files == record.files:
                    return known.record
                record = record.joined(known.record)
            if known and not known.record:
                # A damaged record must not stop its message for ever. Clean-up names it.
                damaged = self.bucket.get(place)
                self.bucket.put(set_aside_path(record.id), damaged[0] if damaged else b"", JSON_HEADERS)
            if self.bucket.put(place, encode(record), JSON_HEADERS, e_tag=known.e_tag if known else ""):
                return record
        raise StoreError(f"record {short(record.id)} keeps being changed by others")

    def mark_removing(self, known: Known, record: Record, now: int) -> bool:
        """Say in a record that its files are going, and what is known then; whether it was still the same."""
        values: Any = json.loads(encode(record))
        data = json.dumps({**values, REMOVING: now}).encode("ascii")
        return self.bucket.put(record_path(record.id), data, JSON_HEADERS, e_tag=known.e_tag)

    def change(self, known: Known, record: Record) -> bool:
        """Write a record in place of one that was read; whether it was still the same."""
        return self.bucket.put(record_path(record.id), encode(record), JSON_HEADERS, e_tag=known.e_tag)

    def known(self, download_id: str) -> Known | None:
        """Return what is known of a download; None where there is nothing. Raises StoreError."""
        key = record_path(download_id)
        found = self.bucket.get(key)
        if found is None:
            return None
        data, e_tag = found
        try:
            record = decode(data, f"{self.bucket}: {key}")
            return Known(record, e_tag, int(json.loads(data).get(REMOVING, 0)))
        except (StoreError, ValueError, TypeError) as error:
            return Known(None, e_tag, problem=str(error))

    def describe(self, record: Record) -> Download:
        """Return a record as readers are told of it. Links that are signed anew leave those before as they are."""
        pages = [page_path(record.id), *(file_path(record.id, file.name) for file in record.files)]
        urls = self._signed(pages, record) if self.presigned else self._public(pages)
        links = tuple(
            Link(name=file.name, size=file.size, sha256=file.sha256, url=url)
            for file, url in zip(record.files, urls[1:], strict=True)
        )
        return Download(id=record.id, url=urls[0], links=links, until=record.until)

    def _signed(self, keys: list[str], record: Record) -> list[str]:
        left = record.until + self._grace - int(time.time())
        return self.bucket.sign(keys, min(left, PRESIGNED_LIMIT))

    def _public(self, keys: list[str]) -> list[str]:
        from urllib.parse import quote

        return [f"{self._base_url}/{quote(key.removeprefix(DOWNLOADS + '/'), safe='/')}" for key in keys]


def file_headers(name: str, digest: str) -> dict[str, str]:
    """Return what browsers are told of a file: it is saved under its name, whatever it holds."""
    kind = http_headers.content_type(name)
    return {
        "Content-Type": BYTES if kind == http_headers.BYTES else kind,
        "Content-Disposition": http_headers.disposition(name),
        "Cache-Control": CACHE,
        DIGEST: digest,
    }
