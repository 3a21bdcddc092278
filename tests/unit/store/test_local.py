"""The local store: layout, rights, ids, and what happens when others are at it too."""

import errno
import json
import multiprocessing
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.message.model import Envelope
from pfilter.store import kept
from pfilter.store.layout import ID_CHARACTERS, ID_LENGTH
from pfilter.store.local import LocalStore
from pfilter.store.record import Download, Record, RecordedFile, read_record
from tests.lib.support import BASE_URL, NOW, SECRET, BytesSpool, mode, noise

ID = "a" * 32
OTHER = "b" * 32


def local(root: Path) -> LocalStore:
    """Return the store in a directory."""
    return LocalStore(str(root), BASE_URL)


def record(download_id: str = ID, until: int = NOW, **contents: bytes) -> Record:
    """Return a record of files."""
    recorded = tuple(
        RecordedFile(name=name, size=len(data), sha256=sha256(data).hexdigest()) for name, data in contents.items()
    )
    return Record(
        id=download_id, created=NOW, until=until, sender="a@example.org", recipients=2, queue_id="4F2A",
        message_id="<1@example.org>", files=recorded,
    )  # fmt: skip


def save(root: Path, download_id: str = ID, until: int = NOW, *, page: bytes = b"page", **contents: bytes) -> Download:
    """Store files under an id."""
    spools = [(BytesSpool(data), sha256(data).hexdigest()) for data in contents.values()]
    return local(root).save(record(download_id, until, **contents), spools, lambda _: page)


def stored(root: Path, download_id: str = ID) -> dict[str, bytes]:
    """Return the files of a download."""
    return {path.name: path.read_bytes() for path in (root / "downloads" / download_id / "files").iterdir()}


def blob(root: Path, data: bytes) -> Path:
    """Return the path of a content's blob."""
    digest = sha256(data).hexdigest()
    return root / "blobs" / digest[:2] / digest


@pytest.fixture(params=[0o077, 0o022, 0o000], ids=["umask 077", "umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> "Iterator[None]":
    """Run under an umask: pipe(8) gives 077, a shell 022."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_layout_and_rights(store: Path) -> None:
    """Whatever the umask, the web server can open what it knows the name of, lists nothing, and sees nothing else."""
    save(store, one=b"1")
    local(store).secret()
    local(store).workspace()
    kept.keep(str(store), kept.TROUBLE, BytesSpool(b"x"), Envelope(sender=b"", recipients=()), "", NOW)
    place = store / "downloads" / ID
    assert {path.name for path in place.iterdir()} == {"files", "index.html"}
    assert stored(store) == {"one": b"1"}
    public = [store / "downloads", place, place / "files"]
    assert [mode(path) for path in public] == [0o711] * 3
    assert [mode(path) for path in (place / "index.html", place / "files" / "one", blob(store, b"1"))] == [0o644] * 3
    private = ("blobs", "records", "trouble", "tmp", "locks")
    assert {name: mode(store / name) for name in private} == dict.fromkeys(private, 0o700)
    assert mode(store / "blobs" / blob(store, b"1").parent.name) == 0o700
    secrets = [store / "secret", store / "records" / f"{ID}.json", *(store / "trouble").iterdir()]
    assert [mode(path) for path in secrets] == [0o600] * 4


def test_a_directory_that_a_crash_left_closed_is_opened(store: Path) -> None:
    """A crash between making a directory and opening it for the web server is made good."""
    (store / "downloads").mkdir(mode=0o700)
    save(store, one=b"1")
    assert mode(store / "downloads") == 0o711


def test_a_directory_has_its_rights_when_its_name_is_durable(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was left by a process that was killed before is synced by the next: else a power cut takes its links."""
    synced: list[str] = []
    monkeypatch.setattr(durable, "sync_directory", synced.append)
    path = store / "blobs"
    path.mkdir(mode=durable.UNFINISHED_DIR)
    for _ in range(2):
        durable.make_directory(str(path), durable.PRIVATE_DIR)
    assert synced == [str(store)]
    assert mode(path) == durable.PRIVATE_DIR

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(durable, "sync_directory", killed)
    with pytest.raises(KeyboardInterrupt):
        durable.make_directory(str(store / "records"), durable.PRIVATE_DIR)
    assert mode(store / "records") == durable.UNFINISHED_DIR


def test_rights_that_the_administrator_gave_stay(store: Path) -> None:
    """Rights other than those of a crash are somebody's will."""
    (store / "downloads").mkdir(mode=0o750)
    save(store, one=b"1")
    assert mode(store / "downloads") == 0o750


def test_nothing_temporary_is_left(store: Path) -> None:
    """After storing, no temporary name is anywhere."""
    save(store, one=b"1", two=noise(2000))
    local(store).secret()
    assert [path for path in store.rglob("*") if path.name.startswith((".tmp-", "secret-"))] == []


def test_each_content_is_stored_once(store: Path) -> None:
    """The same content in two messages is one blob with two links."""
    save(store, ID, one=b"same", two=b"same")
    save(store, OTHER, three=b"same")
    assert blob(store, b"same").stat().st_nlink == 4
    assert len([path for path in (store / "blobs").rglob("*") if path.is_file()]) == 1


def test_links_are_url_quoted(store: Path) -> None:
    """Links lead to the file's own name, percent-encoded, below the page."""
    data = b"x"
    made = record().replace(files=(RecordedFile(name="a b%&日.txt", size=1, sha256=sha256(data).hexdigest()),))
    download = local(store).save(made, [(BytesSpool(data), made.files[0].sha256)], lambda _: b"page")
    assert download.url == f"{BASE_URL}/{ID}/"
    assert download.links[0].url == f"{BASE_URL}/{ID}/files/a%20b%25%26%E6%97%A5.txt"
    assert stored(store) == {"a b%&日.txt": b"x"}


def test_the_record_says_it_all(store: Path) -> None:
    """The record holds who, when, what and until when, and reads back as it was written."""
    save(store, one=b"1")
    path = store / "records" / f"{ID}.json"
    assert read_record(str(path)) == record(one=b"1")
    assert json.loads(path.read_text())["version"] == 1


def test_the_record_comes_before_the_files(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while files are stored leaves a record, by which they expire."""

    def crash(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "link_spool", crash)
    with pytest.raises(OSError, match="No space"):
        save(store, one=b"1")
    assert read_record(str(store / "records" / f"{ID}.json")).until == NOW


@pytest.mark.parametrize(("first", "second"), [(NOW, NOW + 100), (NOW + 100, NOW)])
def test_the_later_date_wins(store: Path, first: int, second: int) -> None:
    """A retry moves the promised date to the later one, never to an earlier one, and says so on its page."""
    save(store, until=first, one=b"1")
    download = save(store, until=second, one=b"1")
    assert download.until == NOW + 100
    assert read_record(str(store / "records" / f"{ID}.json")).until == NOW + 100


def test_who_got_it_at_the_first_try_still_counts(store: Path) -> None:
    """A retry for the one recipient who was put off leaves the record's number of recipients as it was."""
    first = record(one=b"1")
    spools = [(BytesSpool(b"1"), first.files[0].sha256)]
    for recipients in (7, 1):
        local(store).save(first.replace(recipients=recipients), spools, lambda _: b"page")
    assert read_record(str(store / "records" / f"{ID}.json")).recipients == 7


def test_storing_twice_changes_nothing(store: Path) -> None:
    """A retry finds its files and leaves them."""
    save(store, one=b"1")
    inode = (store / "downloads" / ID / "files" / "one").stat().st_ino
    save(store, one=b"1")
    assert (store / "downloads" / ID / "files" / "one").stat().st_ino == inode


def test_a_damaged_record_does_not_stop_its_message(store: Path) -> None:
    """A record that can't be read is set aside, and the retry stores its files with a new one."""
    save(store, one=b"1")
    path = store / "records" / f"{ID}.json"
    path.write_bytes(b"damaged")
    save(store, one=b"1")
    assert read_record(str(path)) == record(one=b"1")
    assert path.with_name(f"{ID}.json.bad").read_bytes() == b"damaged"


@pytest.mark.parametrize("which", ["blob", "link"])
def test_what_a_crash_cut_short_is_written_again(store: Path, which: str) -> None:
    """A blob or a file of the wrong size is replaced."""
    save(store, one=b"whole")
    broken = blob(store, b"whole") if which == "blob" else store / "downloads" / ID / "files" / "one"
    broken.unlink()
    broken.write_bytes(b"wh")
    save(store, one=b"whole")
    assert stored(store) == {"one": b"whole"}
    assert blob(store, b"whole").read_bytes() == b"whole"


# --- Where hard links are not to be had


def refusing_links(monkeypatch: pytest.MonkeyPatch, code: int, *, only: str) -> None:
    """Make link(2) fail for targets below a directory of the store."""
    real = os.link

    def link(source: str, target: str, **options: bool) -> None:
        if f"/{only}/" in target:
            raise OSError(code, os.strerror(code))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EXDEV, errno.EPERM])
@pytest.mark.parametrize("only", ["files", "blobs"])
def test_without_links_there_are_copies(store: Path, monkeypatch: pytest.MonkeyPatch, code: int, only: str) -> None:
    """Too many links, another file system, or one without links: a copy serves."""
    refusing_links(monkeypatch, code, only=only)
    save(store, one=b"content")
    assert stored(store) == {"one": b"content"}
    assert mode(store / "downloads" / ID / "files" / "one") == 0o644


def test_other_errors_are_errors(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no reason to try in another way."""
    refusing_links(monkeypatch, errno.ENOSPC, only="files")
    with pytest.raises(OSError, match="No space"):
        save(store, one=b"content")


def test_a_blob_that_vanishes_is_written_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If clean-up takes the blob between look and link, it is written again."""
    real = os.link
    taken: list[str] = []

    def link(source: str, target: str, **options: bool) -> None:
        if "/files/" in target and len(taken) < 2:
            taken.append(target)
            os.unlink(blob(store, b"content"))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    save(store, one=b"content")
    assert len(taken) == 2
    assert stored(store) == {"one": b"content"}


def test_a_blob_that_always_vanishes_is_an_error(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tries for ever."""
    refusing_links(monkeypatch, errno.ENOENT, only="files")
    with pytest.raises(StoreError, match="keeps vanishing"):
        save(store, one=b"content")


def test_large_contents_are_linked_into_place(store: Path) -> None:
    """A content in the workspace becomes the blob itself, without a copy."""
    from pfilter.base import spool

    data = noise(2 << 20)
    source = spool.finished([data], local(store).workspace, len(data))
    inode = os.fstat(source.fd).st_ino
    digest = sha256(data).hexdigest()
    made = record().replace(files=(RecordedFile(name="one", size=len(data), sha256=digest),))
    local(store).save(made, [(source, digest)], lambda _: b"page")
    assert (store / "downloads" / ID / "files" / "one").stat().st_ino == inode


# --- Ids and the secret


def make_id(
    root: Path, header: bytes = b"A: b\n", sender: bytes = b"a@b", digests: tuple[str, ...] = ("00" * 32,)
) -> str:
    """Return the id of a message."""
    return local(root).download_id(header, sender, digests)


def test_ids_are_160_bits_of_base32(store: Path) -> None:
    """An id is 32 characters of lower-case base32."""
    found = make_id(store)
    assert len(found) == ID_LENGTH == 32
    assert set(found) <= ID_CHARACTERS


def test_the_same_message_gives_the_same_id(store: Path) -> None:
    """A retry computes the same id."""
    assert make_id(store) == make_id(store)


def test_everything_counts(store: Path) -> None:
    """Header, sender, and each content in order make another id; so does where one ends and the next begins."""
    ids = {
        make_id(store),
        make_id(store, header=b"A: c\n"),
        make_id(store, sender=b"a@c"),
        make_id(store, digests=("01" * 32,)),
        make_id(store, digests=("00" * 32, "01" * 32)),
        make_id(store, digests=("01" * 32, "00" * 32)),
        make_id(store, header=b"A: b\na", sender=b"@b"),
    }
    assert len(ids) == 7


def test_another_installation_has_other_ids(store: Path, tmp_path: Path) -> None:
    """Without the secret nobody can compute an id; with it any gateway can."""
    other = tmp_path / "other"
    other.mkdir()
    assert make_id(store) != make_id(other)
    (other / "secret").write_bytes((store / "secret").read_bytes())
    assert make_id(store) == make_id(other)


def test_ids_do_not_change_between_versions(store: Path) -> None:
    """Links in mail that is delivered must be found by every later version: this id is pinned."""
    (store / "secret").write_bytes(SECRET)
    assert make_id(store) == "flfqh4h67svir6zd5ppfw7abxdsa3p22"


def test_a_short_secret_is_refused(store: Path) -> None:
    """A secret cut short by a crash is no key."""
    (store / "secret").write_bytes(b"abc\n")
    with pytest.raises(StoreError, match="too short"):
        make_id(store)


def ask_secret(root: str, start: "multiprocessing.synchronize.Event", answers: "multiprocessing.Queue[bytes]") -> None:
    """Ask for the secret when all others do."""
    start.wait()
    answers.put(LocalStore(root, BASE_URL).secret())


def test_of_many_secrets_one_wins(store: Path) -> None:
    """Eight processes that need the secret at once all get the same one."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    children = [context.Process(target=ask_secret, args=(str(store), start, answers)) for _ in range(8)]
    for child in children:
        child.start()
    start.set()
    found = {answers.get(timeout=30) for _ in children}
    for child in children:
        child.join()
    assert found == {(store / "secret").read_bytes().strip()}
    assert list((store / "tmp").iterdir()) == []


# --- Room, and a store that is not there


def test_the_floor_of_free_space(store: Path) -> None:
    """There is room while min_free is left, to the block."""
    free = os.statvfs(store).f_bavail * os.statvfs(store).f_frsize
    assert local(store).has_room(1, 0)
    assert local(store).has_room(1000, free // 2)
    assert not local(store).has_room(free, 1 << 30)
    assert not local(store).has_room(0, free * 2)


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """Without its root the store says how to make it, and makes nothing itself."""
    gone = local(tmp_path / "gone")
    for use in (gone.secret, gone.workspace, lambda: gone.has_room(1, 1), lambda: save(tmp_path / "gone", one=b"1")):
        with pytest.raises(StoreError, match="install -d"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{", b'{"version": 2}', b"\xff", b"null"])
def test_a_record_that_is_none(tmp_path: Path, data: bytes) -> None:
    """What is no record of a known version is an error that names the file."""
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"x\.json"):
        read_record(str(path))
