"""What stays of a download after its date and after its end, in a folder as in a bucket."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pfilter.base.errors import ConfigError, StoreError
from pfilter.store.cleanup import Report
from pfilter.store.pages import Pages
from pfilter.store.record import WITHDRAWN, Record
from tests.lib import stores
from tests.lib.stores import DAY, ID, Place
from tests.lib.support import NOW

TOMBSTONE = 90 * DAY
SECRET_NAME = "salaries.xlsx"


def tombstone(record: Record) -> bytes:
    """Return a page about what has ended."""
    return f"{record.reason} {record.sender} {record.until}".encode()


PAGES = Pages(late=lambda record, _: f"a little longer: {record.id}".encode(), tombstone=tombstone, keep=TOMBSTONE)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, store: Path) -> Place:
    """Return one store after the other."""
    if request.param == "local":
        return stores.local(store)
    return stores.objects(store, request.getfixturevalue("object_store"), links="public")


def expire(place: Place, now: float, *, dry_run: bool = False, grace: int = DAY, pages: Pages | None = PAGES) -> Report:
    """Clean up."""
    report: Report = place.keeper.expire(now, grace, dry_run=dry_run, pages=pages)
    return report


def page(place: Place) -> bytes:
    """Return the page at the download's address."""
    if place.kind == "local":
        return Path(place.policy.store_path, "downloads", ID, "index.html").read_bytes()
    found = place.store.bucket.get(f"downloads/{ID}/index.html")
    assert found
    return bytes(found[0])


def names(place: Place) -> list[str]:
    """Return what there is of the download, without the folder of its record."""
    return [name for name in place.everything() if not name.startswith("records/")]


def test_in_the_grace_the_page_has_no_date(place: Place) -> None:
    """From its date on the page says something else, once; a later promise takes that back."""
    place.save(until=NOW, one=b"1")
    expire(place, NOW - 1)
    assert page(place) == b"page"
    assert expire(place, NOW).ids == ()
    assert page(place) == f"a little longer: {ID}".encode()
    assert place.files() == {"one": b"1"}
    assert place.keeper.extend(ID, NOW + DAY, lambda *_: b"later").late is False
    expire(place, NOW)
    assert page(place) == b"later"


def test_a_retry_in_the_grace_promises_anew(place: Place) -> None:
    """The page of the retry, with its later date, stays until that one is over."""
    place.save(until=NOW, one=b"1")
    expire(place, NOW)
    place.save(until=NOW + DAY, page=b"anew", one=b"1")
    expire(place, NOW + 1)
    assert page(place) == b"anew"


def test_after_the_end_a_page_is_all_that_stays(place: Place) -> None:
    """The files go, with their names, also from the record; the page stays for as long as it shall, and then goes."""
    place.save(until=NOW, files={SECRET_NAME: b"1"})
    assert expire(place, NOW + DAY).ids == (ID,)
    assert names(place) == [f"downloads/{ID}/index.html"]
    assert page(place) == f"expired a@example.org {NOW}".encode()
    record = place.keeper.record(ID)
    assert (record.files, record.ended, record.reason) == ((), NOW + DAY, "expired")
    assert SECRET_NAME not in repr(record)
    assert expire(place, NOW + DAY + TOMBSTONE - 1) == Report((), (), 0, ())
    report = expire(place, NOW + DAY + TOMBSTONE)
    assert (report.ids, len(report.leftovers), report.problems) == ((), 1, ())
    assert ID not in report.leftovers[0]
    assert place.everything() == []


@pytest.mark.parametrize("pages", [None, PAGES.replace(keep=0)], ids=["no pages", "tombstone = 0"])
def test_without_a_tombstone_nothing_stays(place: Place, pages: Pages | None) -> None:
    """With [store] tombstone = 0 what ends is gone, and so is what stayed of others."""
    place.save(until=NOW, one=b"1")
    expire(place, NOW + DAY, pages=pages)
    assert place.everything() == []
    place.save(until=NOW, one=b"1")
    expire(place, NOW + DAY)
    expire(place, NOW + DAY, pages=pages)
    assert place.everything() == []


def test_what_is_taken_down_says_why(place: Place) -> None:
    """The page knows whether the sender took it back; taken down once more it is gone."""
    place.save(until=int(time.time()) + DAY, one=b"1")
    assert place.keeper.remove(ID, WITHDRAWN, PAGES).ids == (ID,)
    assert page(place).startswith(b"withdrawn a@example.org")
    assert names(place) == [f"downloads/{ID}/index.html"]
    with pytest.raises(StoreError, match="has ended"):
        place.keeper.extend(ID, int(time.time()) + 2 * DAY, lambda *_: b"")
    place.keeper.remove(ID, WITHDRAWN, PAGES)
    assert place.everything() == []


def test_a_message_that_is_tried_again_after_the_end_brings_it_back(place: Place) -> None:
    """It has the same id, and what it promises counts, not what was promised before."""
    place.save(until=NOW + 100 * DAY, one=b"1")
    place.keeper.remove(ID, pages=PAGES)
    assert place.save(until=NOW, page=b"again", one=b"1").until == NOW
    assert (page(place), place.files(), place.live()) == (b"again", {"one": b"1"}, [ID])


def test_a_dry_run_leaves_all_pages(place: Place) -> None:
    """It says what would end, and writes nothing."""
    place.save(until=NOW, one=b"1")
    before = place.everything()
    assert expire(place, NOW, dry_run=True).ids == ()
    told = expire(place, NOW + DAY, dry_run=True)
    assert (place.everything(), page(place)) == (before, b"page")
    assert expire(place, NOW + DAY).ids == told.ids == (ID,)
    over = NOW + DAY + TOMBSTONE
    told, before = expire(place, over, dry_run=True), place.everything()
    assert place.everything() == before
    assert expire(place, over).leftovers == told.leftovers != ()


def test_words_that_cannot_be_used_keep_no_file(place: Place) -> None:
    """Files go on time, and what is wrong with the page is said."""

    def broken(*_: object) -> bytes:
        raise ConfigError("template expired.html: broken")

    place.save(until=NOW, one=b"1")
    pages = PAGES.replace(late=broken, tombstone=broken)
    assert "broken" in expire(place, NOW, pages=pages).problems[0]
    report = expire(place, NOW + DAY, pages=pages)
    assert (report.ids, len(report.problems)) == ((ID,), 1)
    assert place.everything() == []


class PowerCut(BaseException):
    """What ends a process anywhere."""


def cut(monkeypatch: pytest.MonkeyPatch, place: Place, after: int) -> Callable[[], int]:
    """End the process before the call number `after` that changes something; return what counts the calls."""
    calls = 0

    def wrap(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def counted(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == after:
                raise PowerCut
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, counted)

    if place.kind == "local":
        for name in ("rename", "unlink", "rmdir", "fsync"):
            wrap(os, name)
    else:
        from pfilter.store.s3 import Bucket

        for name in ("put", "delete"):
            wrap(Bucket, name)
    return lambda: calls


def test_a_clean_up_that_is_cut_short_anywhere_is_finished_by_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever change is the last one, after the next run there is the page alone, and it is the right one."""
    after = 0
    while True:
        after += 1
        place.save(until=NOW, one=b"1", two=b"2")
        with monkeypatch.context() as patch:
            calls = cut(patch, place, after)
            try:
                expire(place, NOW + DAY)
            except PowerCut:
                pass
            done = calls() < after
        assert expire(place, NOW + DAY + 1).problems == ()
        assert names(place) == [f"downloads/{ID}/index.html"], after
        assert page(place) == f"expired a@example.org {NOW}".encode()
        assert place.keeper.record(ID).files == ()
        if done:
            break
    assert after > 4
