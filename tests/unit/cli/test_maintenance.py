"""`pfilter expire` and `revoke`: what they remove, and what they say."""

import time

import pytest

from tests.lib.command import pfilter, without_traceback
from tests.lib.support import BASE_URL, Gateway, attachment, message, multipart, noise, part, table

MIXED = message(
    multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin"), attachment(table(), "list.csv"))
)


def stored(gateway: Gateway, keep: str = "7d", grace: str = "7d") -> str:
    """Send a message with a link; return its id."""
    gateway.configure(store=f'keep = "{keep}"\ngrace = "{grace}"')
    gateway.pipe(MIXED)
    (download,) = (gateway.store / "downloads").glob("*/")
    return download.name


def test_expire_removes_what_is_over(gateway: Gateway) -> None:
    """Keep = "1s" and grace = "0s": a moment later all files are gone, what was freed is said, and a page says so."""
    download = stored(gateway, "1s", "0s")
    time.sleep(2.1)
    done = pfilter("expire", "--config", str(gateway.config))
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"removed download {download[:8]}".encode() in done.stdout
    assert b"freed 90" in done.stdout or b"freed 9" in done.stdout
    assert [path.name for path in (gateway.store / "downloads" / download).iterdir()] == ["index.html"]
    page = (gateway.store / "downloads" / download / "index.html").read_text()
    assert "no longer available" in page
    assert "big.bin" not in page
    assert [path for path in (gateway.store / "blobs").rglob("*") if path.is_file()] == []


def test_expire_says_nothing_where_nothing_is_over(gateway: Gateway) -> None:
    """Cron mails output: where nothing is to be done there is none."""
    stored(gateway)
    done = pfilter("expire", "--config", str(gateway.config))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_expire_dry_run(gateway: Gateway) -> None:
    """--dry-run says what would be removed, and removes nothing."""
    download = stored(gateway, "1s", "0s")
    time.sleep(2.1)
    done = pfilter("expire", "--dry-run", "--config", str(gateway.config))
    assert f"would remove download {download[:8]}".encode() in done.stdout
    assert (gateway.store / "downloads" / download / "files" / "big.bin").exists()


def test_expire_names_what_it_cannot_read(gateway: Gateway) -> None:
    """A record that can't be read is kept, named on stderr, and makes the exit status 1."""
    download = stored(gateway)
    (gateway.store / "records" / f"{download}.json").write_bytes(b"")
    done = pfilter("expire", "--config", str(gateway.config))
    assert done.returncode == 1
    assert download[:8].encode() in done.stderr
    assert (gateway.store / "downloads" / download / "files" / "big.bin").exists()


@pytest.mark.parametrize("form", ["id", "prefix", "link"])
def test_revoke(gateway: Gateway, form: str) -> None:
    """A download is taken down at once by its id, the beginning of it as the log has it, or its link; then its page."""
    download = stored(gateway)
    given = {"id": download, "prefix": download[:8], "link": f"{BASE_URL}/{download}/"}[form]
    done = pfilter("downloads", "revoke", "--config", str(gateway.config), given)
    assert done.returncode == 0
    assert [path.name for path in (gateway.store / "downloads" / download).iterdir()] == ["index.html"]
    done = pfilter("downloads", "revoke", "--config", str(gateway.config), given)
    assert done.returncode == 0
    assert list((gateway.store / "downloads").glob("*/")) == []


def test_revoke_of_nothing(gateway: Gateway) -> None:
    """An id that is not here is an error."""
    assert "not the id" in without_traceback(
        pfilter("downloads", "revoke", "--config", str(gateway.config), "a" * 32), 1
    )


def test_a_missing_store_is_an_error(gateway: Gateway) -> None:
    """Expire without its store says so."""
    gateway.store.rmdir()
    assert "does not exist" in without_traceback(pfilter("expire", "--config", str(gateway.config)), 1)
