"""`pfilter check`: what works, and what does not."""

import os
from pathlib import Path

import pytest

from tests.lib.command import pfilter
from tests.lib.support import Gateway


def test_check_of_what_works(gateway: Gateway) -> None:
    """Check says of everything that it works."""
    if os.geteuid() == 0:
        os.chown(gateway.store, 65534, 65534)
        for directory in gateway.root.parents:
            if directory.name.startswith("pytest-") or directory.name.startswith("popen-"):
                directory.chmod(directory.stat().st_mode | 0o011)
        gateway.root.chmod(0o755)
        gateway.log.touch()
        gateway.log.chmod(0o666)
    done = pfilter("check", "--config", str(gateway.config))
    text = done.stdout.decode("utf-8")
    assert "error " not in text, text
    assert done.returncode == 0
    assert text.count("\nok ") >= 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"store": 'path = "/nonexistent"'}, "does not exist"),
        ({"reinject": 'sendmail = "/nonexistent/sendmail"'}, "/nonexistent/sendmail"),
        ({"reinject": 'method = "smtp"\nsmtp = "127.0.0.1:1"'}, "127.0.0.1:1"),
        ({"log": 'to = "file:/nonexistent/log"'}, "/nonexistent/log"),
        ({"notice": 'templates = "/nonexistent"'}, "no such directory"),
        ({"store": 'min_free = "1000 TiB"'}, "less free space"),
    ],
    ids=["store", "sendmail", "smtp", "log", "templates", "room"],
)
def test_check_finds_what_does_not_work(gateway: Gateway, change: dict[str, str], word: str) -> None:
    """Check names what mail would fail for, and its exit status is 1."""
    gateway.configure(**change)
    done = pfilter("check", "--config", str(gateway.config))
    errors = [line for line in done.stdout.decode("utf-8").splitlines() if line.startswith("error")]
    assert any(word in line for line in errors), done.stdout
    assert done.returncode == 1


def test_check_finds_a_store_that_is_open_to_all(gateway: Gateway) -> None:
    """A store that anybody can write is an error."""
    gateway.store.chmod(0o777)
    done = pfilter("check", "--config", str(gateway.config))
    assert b"can be written by others" in done.stdout
    assert done.returncode == 1


def test_check_finds_a_broken_template(gateway: Gateway, tmp_path: Path) -> None:
    """A template that would defer all mail with links is found before."""
    (tmp_path / "page.html").write_text("{% for %}")
    gateway.configure(notice=f'templates = "{tmp_path}"')
    assert b"page.html" in pfilter("check", "--config", str(gateway.config)).stdout
