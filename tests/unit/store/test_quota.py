"""The quota holds, however many store at once, and what a crash leaves wrong in its count is put right."""

import threading
from pathlib import Path

import pytest

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.store import quota
from pfilter.store.layout import USAGE
from pfilter.store.quota import NoRoomError
from tests.lib import stores, support
from tests.lib.stores import DAY, ID, OTHER, Place
from tests.lib.support import NOW

LIMIT = 1000


@pytest.fixture
def place(store: Path) -> Place:
    """Return a store with a quota."""
    return stores.local(store, quota=LIMIT)


def used(place: Place) -> int:
    """Return the octets that are counted."""
    return int(Path(place.policy.store_path, USAGE).read_text())


def test_up_to_the_last_octet(place: Place) -> None:
    """What fits exactly is stored; one octet more is not, and leaves no trace."""
    place.save(ID, one=b"x" * 600, two=b"y" * 400)
    before = place.everything()
    with pytest.raises(NoRoomError, match="1000 octets are used of a quota of 1000, and 1 more"):
        place.save(OTHER, one=b"z")
    assert place.everything() == before
    assert used(place) == LIMIT


def test_each_content_counts_once(place: Place) -> None:
    """The same content in many messages takes room once; a retry takes none."""
    for download_id in (ID, OTHER, ID):
        place.save(download_id, one=b"x" * 900, two=b"x" * 900)
    assert used(place) == 900


def test_what_goes_gives_room(place: Place) -> None:
    """Taken down or expired: there is room again at once, when the last link has gone."""
    place.save(ID, one=b"x" * 900)
    place.save(OTHER, until=NOW + DAY, one=b"x" * 900, two=b"y")
    place.keeper.remove(ID)
    assert used(place) == 901
    place.keeper.expire(NOW + DAY, 0, dry_run=False)
    assert used(place) == 0
    place.save(ID, one=b"z" * LIMIT)


def test_a_dry_run_counts_nothing(place: Place) -> None:
    """Who only looks changes nothing."""
    place.save(one=b"x" * 900)
    Path(place.policy.store_path, USAGE).write_text(f"{5:020}\n")
    place.keeper.expire(NOW, 0, dry_run=True)
    assert used(place) == 5


@pytest.mark.parametrize("text", [None, "", "damaged", "5\n", "-0000000000000000001\n"])
def test_a_count_that_is_lost_is_made_anew(place: Place, text: str | None) -> None:
    """A missing or damaged count is made anew before anything is taken for true."""
    place.save(one=b"x" * 900)
    file = Path(place.policy.store_path, USAGE)
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(NoRoomError):
        place.save(OTHER, one=b"y" * 200)
    place.save(OTHER, one=b"y" * 100)
    assert used(place) == LIMIT


def test_clean_up_puts_a_wrong_count_right(place: Place) -> None:
    """What killed processes took, and never used, comes back with the next clean-up."""
    place.save(until=NOW + DAY, one=b"x" * 100)
    quota.take(place.policy.store_path, 800, LIMIT)
    place.keeper.expire(NOW, 0, dry_run=False)
    assert used(place) == 100


def test_what_fails_gives_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries that fail again and again do not fill the count."""

    def crash(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "link_spool", crash)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            place.save(one=b"x" * 900)
    assert used(place) == 0


def test_many_at_once(place: Place) -> None:
    """Of many that store at the same time no more are let in than fit."""
    done: list[str] = []
    refused: list[str] = []

    def store(number: int) -> None:
        download_id = f"{'abcdefgh'[number]}" * 32
        try:
            place.save(download_id, one=bytes([number]) * 300)
            done.append(download_id)
        except NoRoomError:
            refused.append(download_id)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(refused)) == (3, 5)
    assert quota.count(place.policy.store_path) == used(place) == 900


def test_without_a_quota_nothing_is_counted(store: Path) -> None:
    """Who wants no limit pays for none."""
    place = stores.local(store)
    place.save(one=b"x" * 5000)
    place.keeper.remove(ID)
    place.keeper.expire(NOW, 0, dry_run=False)
    assert not Path(store, USAGE).exists()


def test_clean_up_of_a_store_that_had_no_quota(store: Path) -> None:
    """A quota that is new counts what is there already."""
    stores.local(store).save(one=b"x" * 900)
    with pytest.raises(NoRoomError):
        stores.local(store, quota=LIMIT).save(OTHER, one=b"y" * 101)


# --- What becomes of the message

MAIL = support.message(
    support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.noise(3000), "a.bin"))
)


@pytest.mark.parametrize("full", [{"store_quota": LIMIT}, {"store_min_free": 1 << 60}], ids=["quota", "floor"])
def test_full_and_pass(store: Path, full: dict[str, object]) -> None:
    """The message goes out with its attachment and no link; the log has an error."""
    done = support.process(MAIL, support.link_everything(store).replace(**full))
    assert done.output == MAIL
    assert done.outcome.line() == "passed (no room in the store)"
    assert [level for level, name, _ in done.log.events if name == "message"] == ["error"]
    assert not (store / "downloads" / "files").exists()


@pytest.mark.parametrize("full", [{"store_quota": LIMIT}, {"store_min_free": 1 << 60}], ids=["quota", "floor"])
def test_full_and_defer(store: Path, full: dict[str, object]) -> None:
    """The message waits; nothing was stored or sent."""
    with pytest.raises(StoreError, match=r"quota|min_free"):
        support.process(MAIL, support.link_everything(store).replace(store_on_full="defer", **full))
    assert not list(store.glob("records/*"))


def test_room_is_enough(store: Path) -> None:
    """A quota that is not reached changes nothing."""
    done = support.process(MAIL, support.link_everything(store).replace(store_quota=1 << 20))
    assert done.outcome.linked == 1
