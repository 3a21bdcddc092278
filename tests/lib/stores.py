"""Both kinds of store behind one face, for tests of what they have in common."""

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pfilter.config import load
from pfilter.config.settings import Settings
from pfilter.store.record import Download, Record, RecordedFile
from pfilter.store.select import open_admin, open_store
from tests.lib import objectstore
from tests.lib.support import BASE_URL, NOW, SECRET, BytesSpool

ID = "a" * 32
OTHER = "b" * 32
DAY = 86400
Files = Mapping[str, bytes]  # contents by names, which need not be Python's
NONE: Files = {}
_prefixes = itertools.count(1)


@dataclass
class Place:
    """A store, and what is needed to open it again."""

    policy: Settings
    kind: str
    server: objectstore.Server | None = None

    @property
    def store(self) -> Any:
        """The store, opened anew, as another process would."""
        return open_store(self.policy)

    @property
    def keeper(self) -> Any:
        """What looks after it."""
        return open_admin(self.policy)

    def save(
        self, download_id: str = ID, until: int = NOW, page: bytes = b"page", files: Files = NONE, **named: bytes
    ) -> Download:
        """Store files under an id."""
        contents = {**files, **named}
        spools = [(BytesSpool(data), sha256(data).hexdigest()) for data in contents.values()]
        made: Download = self.store.save(record(download_id, until, files=contents), spools, lambda _: page)
        return made

    def files(self, download_id: str = ID) -> dict[str, bytes]:
        """Return the files of a download."""
        one = self.keeper.record(download_id)
        return {file.name: b"".join(self.keeper.read(one, file.name)) for file in one.files}

    def live(self) -> list[str]:
        """Return the ids of what has not ended."""
        return [one.id for one in self.keeper.records([]) if not one.ended]

    def everything(self) -> list[str]:
        """Return the names of all that is public, or known of it."""
        if self.kind == "local":
            root = Path(self.policy.store_path)
            names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
            return sorted(name for name in names if name.startswith(("downloads/", "records/", "blobs/")))
        return sorted(key for folder in ("downloads", "records") for key, _ in self.store.bucket.below(folder))


def record(
    download_id: str = ID,
    until: int = NOW,
    created: int = NOW,
    sender: str = "a@example.org",
    files: Files = NONE,
    **named: bytes,
) -> Record:
    """Return a record of files."""
    recorded = tuple(
        RecordedFile(name=name, size=len(data), sha256=sha256(data).hexdigest())
        for name, data in {**files, **named}.items()
    )
    return Record(
        id=download_id, created=created, until=until, sender=sender, recipients=2, queue_id="4F2A",
        message_id="<1@example.org>", files=recorded,
    )  # fmt: skip


def local(root: Path, **changes: object) -> Place:
    """Return a store in a folder."""
    return Place(_policy(root, {}, changes), "local")


def objects(root: Path, server: objectstore.Server, **changes: object) -> Place:
    """Return a store in a bucket, below a prefix of its own."""
    prefix = f"test/{os.getpid()}-{next(_prefixes)}"
    return Place(_policy(root, server.section(prefix, root.parent / "s3.keys"), changes), "s3", server)


def beside(other: Place, root: Path) -> Place:
    """Return the same bucket as another gateway sees it, with the same secret."""
    root.mkdir(mode=0o711)
    (root / "secret").write_bytes(SECRET)
    return Place(other.policy.replace(store_path=str(root)), other.kind, other.server)


def _policy(root: Path, store: dict[str, object], changes: dict[str, object]) -> Settings:
    root.mkdir(mode=0o711, exist_ok=True)
    (root / "secret").write_bytes(SECRET)
    values = {"path": str(root), "base_url": BASE_URL, "min_free": 0, **store, **changes}
    return load.from_values({"policy": {"own_domains": ["*"]}, "log": {"to": "stderr"}, "store": values})
