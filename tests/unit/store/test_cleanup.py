"""What expires goes, what was promised stays; beside the filter, beside another clean-up, and after crashes."""

import fcntl
import os
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from pfilter.base.errors import StoreError
from pfilter.store import cleanup
from pfilter.store.cleanup import Report, expire, revoke
from tests.lib.support import BASE_URL, NOW
from tests.unit.store.test_local import ID, OTHER, blob, local, save

DAY = 86400


def run(root: Path, now: float = NOW, grace: int = 0, *, dry_run: bool = False) -> Report:
    """Clean a store up."""
    return expire(local(root), now, grace, dry_run=dry_run)


def everything(root: Path) -> dict[str, bytes]:
    """Return all files of a store, locks left out."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }


def age(path: Path, seconds: float) -> None:
    """Make a file look old."""
    os.utime(path, (NOW - seconds, NOW - seconds))


@pytest.mark.parametrize(
    ("now", "grace", "gone"),
    [
        (NOW - 1, 0, False),
        (NOW, 0, True),
        (NOW + DAY, DAY + 1, False),
        (NOW + DAY, DAY, True),
        (NOW + 10 * DAY, 0, True),
    ],
    ids=["before", "at its date", "within grace", "at the end of grace", "long after"],
)
def test_promised_date_and_grace(store: Path, now: int, grace: int, gone: bool) -> None:
    """A download goes when its promised date plus grace is there, not a second before."""
    save(store, until=NOW, one=b"1")
    report = run(store, now, grace)
    assert (report.ids == (ID,)) is gone
    assert (store / "downloads" / ID).exists() is not gone


def test_nothing_of_an_expired_download_is_left(store: Path) -> None:
    """Page, files, record and the blobs whose last link went, all in the same run; freed octets are counted."""
    save(store, one=b"x" * 1000, two=b"y" * 500, page=b"")
    size = (store / "records" / f"{ID}.json").stat().st_size
    report = run(store)
    assert everything(store) == {}
    assert list((store / "downloads").iterdir()) == []
    assert (report.freed - size, report.problems) == (1500, ())


def test_modification_times_do_not_count(store: Path) -> None:
    """Only the record's date counts, not how old files look."""
    save(store, until=NOW + DAY, one=b"1")
    for path in store.rglob("*"):
        age(path, 1000 * DAY)
    assert run(store).ids == ()


def test_a_blob_in_use_elsewhere_stays(store: Path) -> None:
    """Content that another download links stays, until that one goes too."""
    save(store, ID, until=NOW, one=b"same")
    save(store, OTHER, until=NOW + DAY, one=b"same")
    run(store)
    assert blob(store, b"same").exists()
    assert run(store, NOW + DAY).ids == (OTHER,)
    assert not blob(store, b"same").exists()


@pytest.mark.parametrize("data", [b"", b"{", b'{"version": 99}'])
def test_a_record_that_cannot_be_read_is_kept_and_named(store: Path, data: bytes) -> None:
    """Clean-up touches nothing of a download whose record it can't read, and says which."""
    save(store, one=b"1")
    (store / "records" / f"{ID}.json").write_bytes(data)
    before = everything(store)
    report = run(store, NOW + 1000 * DAY)
    assert everything(store) == before
    assert report.ids == ()
    assert len(report.problems) == 1
    assert ID[:8] in report.problems[0]


def test_a_record_that_was_set_aside_is_named(store: Path) -> None:
    """What a retry had to set aside is named at each run, until somebody looks at it."""
    save(store, until=NOW + DAY, one=b"1")
    (store / "records" / f"{ID}.json").write_bytes(b"")
    save(store, until=NOW + DAY, one=b"1")
    report = run(store)
    assert len(report.problems) == 1
    assert "set aside" in report.problems[0]
    assert (store / "downloads" / ID / "files" / "one").exists()


def test_one_bad_record_does_not_stop_the_others(store: Path) -> None:
    """The downloads behind a bad record expire all the same."""
    save(store, ID, one=b"1")
    save(store, OTHER, one=b"2")
    (store / "records" / f"{ID}.json").write_bytes(b"")
    assert run(store).ids == (OTHER,)


def test_a_download_without_a_record_is_kept_and_named(store: Path) -> None:
    """A download without a record is somebody's doing: it is kept, and named."""
    save(store, one=b"1")
    (store / "records" / f"{ID}.json").unlink()
    report = run(store, NOW + 1000 * DAY)
    assert (store / "downloads" / ID / "files" / "one").exists()
    assert len(report.problems) == 1
    assert "no record" in report.problems[0]


def orphan(root: Path, data: bytes, seconds: float) -> Path:
    """Put a blob that was never linked into a store."""
    path = blob(root, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    age(path, seconds)
    return path


def test_blobs_never_linked(store: Path) -> None:
    """A young blob may be on its way into a download and stays; an old one that nothing links goes."""
    young, old = orphan(store, b"young", DAY - 10), orphan(store, b"old", DAY + 10)
    report = run(store)
    assert (young.exists(), old.exists()) == (True, False)
    assert report.leftovers == (str(old),)
    assert report.freed == 3


def test_an_old_blob_that_is_linked_stays(store: Path) -> None:
    """Age counts for blobs that nothing links alone."""
    save(store, until=NOW + DAY, one=b"1")
    age(blob(store, b"1"), 100 * DAY)
    run(store)
    assert blob(store, b"1").exists()


@pytest.mark.parametrize(
    "place", ["tmp", "records", "trouble", "quarantine", "blobs/ab", f"downloads/{ID}", f"downloads/{ID}/files"]
)
def test_leftovers_of_crashed_runs_go(store: Path, place: str) -> None:
    """A temporary file that nobody holds goes, wherever a crash left it."""
    save(store, until=NOW + DAY, one=b"1")
    left = store / place / ".tmp-123-abc"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    report = run(store)
    assert not left.exists()
    assert str(left) in report.leftovers


def test_a_locked_temporary_stays(store: Path) -> None:
    """A temporary file that somebody writes to stays."""
    local(store).workspace()
    left = store / "tmp" / ".tmp-123-abc"
    with left.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert run(store).leftovers == ()
        assert left.exists()
    assert run(store).leftovers == (str(left),)


def test_a_young_temporary_stays(store: Path) -> None:
    """A temporary file that nobody has locked yet is left to whoever has just made it."""
    local(store).workspace()
    left = store / "tmp" / ".tmp-123-abc"
    left.write_bytes(b"")
    os.utime(left, (NOW - 3599, NOW - 3599))
    assert run(store).leftovers == ()
    os.utime(left, (NOW - 3601, NOW - 3601))
    assert run(store).leftovers == (str(left),)


def test_the_secret_stays(store: Path) -> None:
    """The key is not clean-up's."""
    local(store).secret()
    run(store, NOW + 1000 * DAY)
    assert (store / "secret").exists()


def test_a_dry_run_changes_nothing_and_says_the_same(store: Path) -> None:
    """A dry run reports what a run would remove and free, and removes nothing."""
    save(store, ID, one=b"x" * 1000, two=b"x" * 1000)
    save(store, OTHER, until=NOW + DAY, one=b"y")
    orphan(store, b"old", 2 * DAY)
    before = everything(store)
    told = run(store, dry_run=True)
    assert everything(store) == before
    assert told.ids == (ID,)
    assert run(store) == told


def test_an_empty_store_is_clean(store: Path) -> None:
    """A store in which nothing ever was is nothing to worry about."""
    assert run(store) == Report((), (), 0, ())


def test_names_that_are_not_ours_stay(store: Path) -> None:
    """Files that no download ever had are left alone."""
    save(store, one=b"1")
    strangers = [store / "records" / "note.txt", store / "records" / "x.json", store / "blobs" / "note.txt"]
    strangers += [store / "downloads" / "index.html", store / "downloads" / "robots.txt"]
    for path in strangers:
        path.write_bytes(b"mine")
    run(store, NOW + 1000 * DAY)
    assert all(path.exists() for path in strangers)


# --- Hostile or odd contents


def test_symbolic_links_are_not_followed(store: Path, tmp_path: Path) -> None:
    """A symbolic link in a download is removed itself; what it points to stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    save(store, one=b"1")
    (store / "downloads" / ID / "files" / "link").symlink_to(outside / "precious")
    (store / "downloads" / ID / "page").symlink_to(outside)
    run(store)
    assert not (store / "downloads" / ID).exists()
    assert (outside / "precious").exists()


@pytest.mark.parametrize("place", [f"downloads/{ID}", f"downloads/{ID}/files"])
def test_a_download_that_is_a_symbolic_link(store: Path, tmp_path: Path, place: str) -> None:
    """A directory of a download that was replaced by a symbolic link is not followed."""
    import shutil

    outside = tmp_path / "outside"
    (outside / "files").mkdir(parents=True)
    (outside / "files" / "precious").write_bytes(b"x")
    (outside / "precious").write_bytes(b"x")
    save(store, one=b"1")
    shutil.rmtree(store / place)
    (store / place).symlink_to(outside)
    run(store)
    assert (outside / "precious").exists()
    assert (outside / "files" / "precious").exists()


def test_a_digest_in_a_record_is_no_path(store: Path, tmp_path: Path) -> None:
    """What a record names as a digest is removed only if it is one."""
    import json

    precious = store / "precious"
    precious.write_bytes(b"x")
    save(store, one=b"1")
    path = store / "records" / f"{ID}.json"
    values = json.loads(path.read_text())
    values["files"][0]["sha256"] = "../../precious"
    path.write_text(json.dumps(values))
    run(store)
    assert precious.exists()


def test_an_unknown_directory_in_a_download_is_a_problem_not_a_crash(store: Path) -> None:
    """A download with something unknown in it is kept, named, and does not stop the others."""
    save(store, ID, one=b"1")
    (store / "downloads" / ID / "extra").mkdir()
    save(store, OTHER, one=b"2")
    report = run(store)
    assert report.ids == (OTHER,)
    assert len(report.problems) == 1


# --- Side by side


def test_two_at_once(store: Path) -> None:
    """Two clean-ups at once remove everything once, without an error."""
    digits = "abcdefghijklmnop"
    ids = [f"{one}{two}" * 16 for one in digits for two in "ab"]
    for number, download_id in enumerate(ids):
        save(store, download_id, one=b"%d" % number, two=b"same")
    reports: list[Report] = []
    errors: list[BaseException] = []

    def clean() -> None:
        try:
            reports.append(run(store))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=clean) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [problem for report in reports for problem in report.problems] == []
    assert sorted(found for report in reports for found in report.ids) == sorted(ids)
    assert everything(store) == {}


def test_a_date_that_moves_meanwhile_counts(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a retry moves the date between look and lock, the download stays."""
    save(store, until=NOW, one=b"1")
    real = cleanup._end

    def retried_meanwhile(*arguments: object) -> None:
        save(store, until=NOW + DAY, one=b"1")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cleanup, "_end", retried_meanwhile)
    assert run(store).ids == ()
    assert (store / "downloads" / ID / "files" / "one").exists()


def test_an_interrupted_run_is_finished_by_the_next(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads go before their record, so that what a crash leaves is found."""
    save(store, one=b"1")
    calls = []
    real = os.unlink

    def crash(path: str) -> None:
        calls.append(path)
        if len(calls) > 2:
            raise KeyboardInterrupt
        real(path)

    monkeypatch.setattr(os, "unlink", crash)
    with pytest.raises(KeyboardInterrupt):
        run(store)
    monkeypatch.undo()
    assert (store / "records" / f"{ID}.json").exists()
    assert run(store).ids == (ID,)
    assert everything(store) == {}


def test_a_retry_after_clean_up_stores_again(store: Path) -> None:
    """What was removed comes back whole when its message is tried again."""
    save(store, one=b"1")
    run(store)
    save(store, one=b"1", until=NOW + DAY)
    assert (store / "downloads" / ID / "files" / "one").read_bytes() == b"1"


# --- Revoke


@pytest.mark.parametrize(
    "given",
    [ID, ID[:8], f"{BASE_URL}/{ID}/", f"{BASE_URL}/{ID}", f"{BASE_URL}/{ID}/files/one"],
    ids=["id", "prefix", "page", "page without slash", "file"],
)
def test_revoke(store: Path, given: str) -> None:
    """A download is taken down at once, by its id, its beginning as in the log, or a link out of the mail."""
    save(store, until=NOW + 1000 * DAY, one=b"1")
    assert revoke(local(store), given).ids == (ID,)
    assert everything(store) == {}


@pytest.mark.parametrize("given", ["", "a", ID[:7], "c" * 8, "../../../etc", "c" * 32, f"{BASE_URL}/"])
def test_revoke_of_what_is_not_there(store: Path, given: str) -> None:
    """What is not the id of a download here, or too short to be sure, is an error, and nothing goes."""
    save(store, one=b"1")
    with pytest.raises(StoreError):
        revoke(local(store), given)
    assert (store / "downloads" / ID).exists()


def test_revoke_of_what_begins_two(store: Path) -> None:
    """A beginning of two ids is none of them."""
    save(store, "a" * 31 + "b", one=b"1")
    save(store, "a" * 31 + "c", one=b"2")
    with pytest.raises(StoreError, match="more than one"):
        revoke(local(store), "a" * 10)


def test_digests_name_blobs(store: Path) -> None:
    """The blob of a content is found by its SHA-256."""
    save(store, one=b"1")
    assert blob(store, b"1").name == sha256(b"1").hexdigest()
