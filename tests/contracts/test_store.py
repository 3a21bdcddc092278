"""What every store does, in a folder as in a bucket."""

import time
from pathlib import Path

import pytest

from pfilter.base.errors import StoreError
from pfilter.store.record import Download, Record
from tests.lib import stores
from tests.lib.stores import DAY, ID, OTHER, Place
from tests.lib.support import NOW, BytesSpool, noise


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, store: Path) -> Place:
    """Return one store after the other."""
    if request.param == "local":
        return stores.local(store)
    return stores.objects(store, request.getfixturevalue("object_store"), links="public")


def expire(place: Place, now: int = NOW, grace: int = 0, *, dry_run: bool = False) -> "tuple[tuple[str, ...], int]":
    """Clean up; there must be nothing to complain about."""
    report = place.keeper.expire(now, grace, dry_run=dry_run)
    assert report.problems == ()
    return report.ids, report.freed


def test_what_is_stored_can_be_read(place: Place) -> None:
    """Files come back whole, small and large ones, with names of any script; their record too."""
    contents = {"one": b"1", "größe 日本.txt": b"x" * 70_000, "large.bin": noise(12 << 20), "empty": b""}
    place.save(files=contents)
    assert place.files() == contents
    assert place.keeper.record(ID) == stores.record(files=contents)
    assert place.keeper.ids() == [ID]


def test_the_page_knows_the_links(place: Place) -> None:
    """The page is made of what readers are told; each link is an address of its own."""
    told: list[Download] = []

    def page(known: Download) -> bytes:
        told.append(known)
        return b"page"

    one, two = BytesSpool(b"1"), BytesSpool(b"2")
    made = stores.record(a=b"1", b=b"2")
    digests = [file.sha256 for file in made.files]
    pairs = list(zip((one, two), digests, strict=True))
    download = place.store.save(made, pairs, page)
    assert told == [download] == [place.keeper.describe(made)]
    assert [link.name for link in download.links] == ["a", "b"]
    assert len({download.url, *(link.url for link in download.links)}) == 3


@pytest.mark.parametrize(("first", "second"), [(NOW, NOW + 100), (NOW + 100, NOW)])
def test_the_later_date_wins(place: Place, first: int, second: int) -> None:
    """A retry moves the promised date to the later one, never to an earlier one."""
    place.save(until=first, one=b"1")
    assert place.save(until=second, one=b"1").until == NOW + 100
    assert place.keeper.record(ID).until == NOW + 100


def test_the_record_comes_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while files are stored leaves a record, by which they expire; the retry finishes the work."""

    def crash(*_: object) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.store.save(stores.record(one=b"1"), [(BytesSpool(b"1"), "0" * 64)], crash)
    assert place.keeper.ids() == [ID]
    place.save(one=b"1")
    assert expire(place)[0] == (ID,)


def test_of_what_was_stored_twice_nothing_is_left(place: Place) -> None:
    """A retry makes no second copy of anything."""
    place.save(one=b"1")
    before = place.everything()
    place.save(one=b"1")
    assert place.everything() == before


def test_the_same_message_has_the_same_id(place: Place) -> None:
    """Ids depend on the secret and the message, not on the kind of store."""
    assert place.store.download_id(b"A: b\n", b"a@b", ["00" * 32]) == "flfqh4h67svir6zd5ppfw7abxdsa3p22"


@pytest.mark.parametrize(("now", "grace", "gone"), [(NOW - 1, 0, False), (NOW, 0, True), (NOW + DAY, DAY + 1, False)])
def test_promised_date_and_grace(place: Place, now: int, grace: int, gone: bool) -> None:
    """A download goes when its promised date plus grace is there, not a second before; nothing of it is left."""
    place.save(until=NOW, one=b"1", two=b"22")
    assert expire(place, now, grace)[0] == ((ID,) if gone else ())
    assert (place.everything() == []) is gone


def test_a_dry_run_changes_nothing_and_says_the_same(place: Place) -> None:
    """A dry run reports what a run would remove, and removes nothing."""
    place.save(ID, one=b"x" * 1000)
    place.save(OTHER, until=NOW + DAY, one=b"y")
    before = place.everything()
    told = expire(place, dry_run=True)
    assert place.everything() == before
    assert expire(place) == told
    assert place.keeper.ids() == [OTHER]


def test_cleaning_up_twice_is_no_error(place: Place) -> None:
    """The second clean-up has nothing to do."""
    place.save(one=b"1")
    assert [expire(place)[0], expire(place)[0]] == [(ID,), ()]


def test_a_record_that_cannot_be_read_is_kept_and_named(place: Place) -> None:
    """Clean-up touches nothing of a download whose record it can't read, and says which; a retry mends it."""
    place.save(one=b"1")
    if place.kind == "local":
        Path(place.policy.store_path, "records", f"{ID}.json").write_bytes(b"damaged")
    else:
        place.store.bucket.put(f"records/{ID}.json", b"damaged", {})
    before = place.everything()
    (problem,) = place.keeper.expire(NOW + 1000 * DAY, 0, dry_run=False).problems
    assert "kept" in problem
    assert ID in problem
    assert place.everything() == before
    problems: list[str] = []
    assert list(place.keeper.records(problems)) == []
    assert len(problems) == 1
    place.save(one=b"1")
    assert place.files() == {"one": b"1"}
    (problem,) = place.keeper.expire(NOW - 1, 0, dry_run=False).problems
    assert "set aside" in problem


def test_a_download_without_a_record_is_kept_and_named(place: Place) -> None:
    """A download without a record is somebody's doing: it is kept, and named."""
    place.save(one=b"1")
    if place.kind == "local":
        Path(place.policy.store_path, "records", f"{ID}.json").unlink()
    else:
        place.store.bucket.delete([f"records/{ID}.json"])
    before = place.everything()
    (problem,) = place.keeper.expire(NOW + 1000 * DAY, 0, dry_run=False).problems
    assert "no record" in problem
    assert place.everything() == before


def test_taking_down(place: Place) -> None:
    """A download is taken down at once, whatever was promised; others stay."""
    place.save(ID, until=NOW + 1000 * DAY, one=b"12345", page=b"")
    place.save(OTHER, one=b"2")
    report = place.keeper.remove(ID)
    assert report.ids == (ID,)
    assert report.freed >= 5
    assert place.keeper.ids() == [OTHER]
    assert not [name for name in place.everything() if ID in name]


def test_taking_down_what_is_not_there(place: Place) -> None:
    """What is not there can't be taken down, read or extended."""
    for use in (place.keeper.remove, place.keeper.record):
        with pytest.raises(StoreError, match=r"not (?:a|the id of a) download here"):
            use(OTHER)
    with pytest.raises(StoreError, match="not a download"):
        place.keeper.extend(OTHER, NOW, lambda *_: b"")


def test_after_it_was_taken_down_it_can_be_stored_again(place: Place) -> None:
    """A message that is tried again after that gets its files back, under the same links."""
    place.save(one=b"1")
    place.keeper.remove(ID)
    place.save(one=b"1")
    assert place.files() == {"one": b"1"}


def test_extending(place: Place) -> None:
    """A later date is promised in the record and on the page, and clean-up keeps to it."""
    place.save(until=NOW, one=b"1")
    pages: list[tuple[Record, int]] = []

    def page(record: Record, download: Download) -> bytes:
        pages.append((record, download.until))
        return b"later"

    record = place.keeper.extend(ID, NOW + DAY, page)
    assert record == place.keeper.record(ID) == stores.record(until=NOW + DAY, one=b"1")
    assert pages == [(record, NOW + DAY)]
    assert expire(place, NOW)[0] == ()
    if place.kind == "local":
        shown = Path(place.policy.store_path, "downloads", ID, "index.html").read_bytes()
    else:
        shown = place.store.bucket.get(f"downloads/{ID}/index.html")[0]
    assert shown == b"later"


def test_a_promise_is_never_shortened(place: Place) -> None:
    """Who wants it gone takes it down."""
    place.save(until=NOW, one=b"1")
    for until in (NOW - 1, NOW):
        with pytest.raises(StoreError, match="promised for longer"):
            place.keeper.extend(ID, until, lambda *_: b"")


def test_a_date_that_moves_meanwhile_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a retry moves the date while clean-up is at it, the download stays."""
    place.save(until=NOW, one=b"1")
    keeper = place.keeper
    if place.kind == "local":
        from pfilter.store import cleanup

        owner, name = cleanup, "_end"
    else:
        owner, name = keeper._store, "mark_removing"
    real = getattr(owner, name)

    def retried_meanwhile(*arguments: object) -> object:
        place.save(until=NOW + DAY, one=b"1")
        return real(*arguments)

    monkeypatch.setattr(owner, name, retried_meanwhile)
    assert keeper.expire(NOW, 0, dry_run=False).ids == ()
    assert place.files() == {"one": b"1"}


def test_a_removal_that_was_interrupted_is_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files go before their record, so that the next clean-up finds what the last one left."""
    import os

    place.save(one=b"1")
    keeper = place.keeper

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if place.kind == "local":
            patch.setattr(os, "unlink", crash)
        else:
            patch.setattr(keeper._bucket, "delete", crash)
        with pytest.raises(KeyboardInterrupt):
            keeper.expire(NOW, 0, dry_run=False)
    assert place.keeper.ids() == [ID]
    assert expire(place, NOW)[0] == (ID,)
    assert place.everything() == []


def test_many_at_once(place: Place) -> None:
    """Clean-ups side by side remove everything once, without an error."""
    from concurrent.futures import ThreadPoolExecutor

    ids = [f"{one}{two}" * 16 for one in "abcdefgh" for two in "ab"]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: place.save(one, one=one.encode()), ids))
        reports = list(threads.map(lambda _: place.keeper.expire(NOW, 0, dry_run=False), range(3)))
    assert [problem for report in reports for problem in report.problems] == []
    assert sorted({one for report in reports for one in report.ids}) == sorted(ids)
    assert place.everything() == []


def test_reading_what_is_gone(place: Place) -> None:
    """A stored file that is missing is an error of the store's, not an empty file."""
    place.save(one=b"1")
    record = place.keeper.record(ID)
    with pytest.raises(OSError, match=r"[Nn]o such"):
        list(place.keeper.read(record, "two"))


def test_time_is_that_of_the_record(place: Place) -> None:
    """Clean-up believes the record, not the age of files."""
    place.save(until=int(time.time()) + DAY, one=b"1")
    assert expire(place, int(time.time()))[0] == ()
