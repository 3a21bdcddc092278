"""What is promised of the files that become links."""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from pfilter.base import days
from pfilter.config.settings import PRESIGNED_LIMIT
from pfilter.notices import texts
from pfilter.rewriting.store_files import store_files
from pfilter.store.record import Download, Record
from tests.lib import support
from tests.lib.support import NOW, BytesSpool

DAY = 24 * 3600
BUCKET = {"url": "s3://bucket", "links": "presigned"}


class Kept:
    """A store that only remembers what is promised."""

    def download_id(self, *_: object) -> str:
        """Return always the same."""
        return "a" * 32

    def save(self, record: Record, _: object, page: "Callable[[Download], bytes]") -> Download:
        """Return what readers are told of, and have the page made."""
        made = Download(id=record.id, url="https://b.example/p", links=(), until=record.until)
        page(made)
        return made

    def put_expired_page(self, *_: object, anew: bool) -> bool:
        """Put nothing."""
        return anew


def promised(now: int, **store: object) -> tuple[Download, str]:
    """Return what is promised at a time, and how readers are told."""
    policy = support.policy(store={**BUCKET, **store})
    data = support.message(support.part(b"x\n"))
    unused: Any = None
    kept: Any = Kept()
    with mock.patch.object(time, "time", return_value=now):
        made = store_files(BytesSpool(data), support.scanned(data), [], support.ENVELOPE, policy, unused, kept)
    return made, texts.for_links(made, "", policy).text


@pytest.mark.parametrize(("keep", "grace"), [("7d", "0d"), ("6d", "1d"), ("5d", "1d"), ("1d", "0d")])
def test_presigned_links_work_as_promised_and_for_the_grace(keep: str, grace: str) -> None:
    """Whenever it is promised, no signature ends before promise and grace, and what is told is what is promised."""
    for now in range(NOW, NOW + DAY, 7000):
        made, told = promised(now, keep=keep, grace=grace)
        asked = now + int(keep[0]) * DAY
        assert made.until + int(grace[0]) * DAY - now <= PRESIGNED_LIMIT
        assert asked <= made.until <= days.end(asked, "")
        assert ("UTC" in told) == (made.until == asked)


def test_presigned_links_are_promised_by_the_day_where_they_can() -> None:
    """With a day to spare, readers are told a day; without, the time; public links are never in such need."""
    assert "until Wednesday, 20 January 2027\n" in promised(NOW, keep="5d", grace="1d")[1]
    assert "until Friday, 22 January 2027, 08:00 UTC\n" in promised(NOW, keep="7d", grace="0d")[1]
    public = {"links": "public", "base_url": "https://files.example.org/d"}
    assert "until Friday, 22 January 2027\n" in promised(NOW, keep="7d", grace="7d", **public)[1]
