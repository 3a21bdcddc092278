"""The configuration kept in a form that loads at once: never anything but what the file says."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pfilter.base.errors import ConfigError
from pfilter.config import cache, load
from pfilter.config.settings import Settings
from tests.lib.support import PROJECT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration file, old enough to be kept, with its store."""
    (tmp_path / "store").mkdir()
    return write(tmp_path / "pfilter.toml", "a.example")


def write(file: Path, domain: str) -> Path:
    """Write a configuration file."""
    store = file.parent / "store"
    file.write_text(f'[policy]\nown_domains = ["{domain}"]\n[link]\nenabled = false\n[store]\npath = "{store}"\n')
    return file


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files just written count as old."""
    monkeypatch.setattr(cache, "LEAST_AGE", -1.0)


def kept(file: Path) -> Path:
    """Return where the values are kept."""
    return file.parent / "store" / cache.NAME


def without_reading(file: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load while the file itself can't be parsed."""

    def refuse(_: str) -> Settings:
        raise AssertionError("the file was parsed")

    with monkeypatch.context() as patch:
        patch.setattr(load, "load", refuse)
        return cache.load(str(file))


def test_the_second_time_nothing_is_parsed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read once is kept, and is the same."""
    first = cache.load(str(file))
    assert first == load.load(str(file)) == without_reading(file, monkeypatch)
    assert kept(file).stat().st_mode & 0o777 == 0o600


def test_a_change_counts_at_once(file: Path) -> None:
    """A changed file is read anew, also where its size is the same."""
    cache.load(str(file))
    write(file, "b.example")
    assert cache.load(str(file)).own_domains == ("b.example",)


def test_a_replaced_file_counts_at_once(file: Path) -> None:
    """Another file moved in its place is read, even if it is older and of the same size."""
    cache.load(str(file))
    other = write(file.with_name("other.toml"), "b.example")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.rename(file)
    assert cache.load(str(file)).own_domains == ("b.example",)


@pytest.mark.parametrize("damage", [0, 3, 4, 5, 40, -1])
@pytest.mark.parametrize("octet", [b"\0", b"(", b""], ids=["zero", "a tuple of gigabytes", "missing"])
def test_what_is_damaged_is_ignored(file: Path, damage: int, octet: bytes) -> None:
    """Kept values that are damaged anywhere cost nothing but time."""
    expected = cache.load(str(file))
    data = kept(file).read_bytes()
    damage %= len(data)
    kept(file).write_bytes(data[:damage] + octet + data[damage + 1 :])
    kept(file).chmod(0o600)
    assert cache.load(str(file)) == expected


@pytest.mark.parametrize("data", [b"", b"x", b"\0\0\0\0", b"(" * 1000])
def test_what_is_no_kept_configuration_is_ignored(file: Path, data: bytes) -> None:
    """Other octets in the place of kept values are ignored."""
    expected = cache.load(str(file))
    kept(file).write_bytes(data)
    kept(file).chmod(0o600)
    assert cache.load(str(file)) == expected


def test_what_others_can_write_is_ignored(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept values that anybody else could have touched are not believed."""
    cache.load(str(file))
    kept(file).chmod(0o666)
    with pytest.raises(AssertionError, match="parsed"):
        without_reading(file, monkeypatch)


def test_a_young_file_is_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may change again within one tick of the clock is not kept."""
    monkeypatch.setattr(cache, "LEAST_AGE", 1000.0)
    cache.load(str(file))
    assert not kept(file).exists()


def test_without_a_store_nothing_is_kept(file: Path) -> None:
    """Where the store is missing the file is read, and that is all."""
    kept(file).parent.rmdir()
    assert cache.load(str(file)).own_domains == ("a.example",)


def test_another_version_is_ignored(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values kept by another version of pfilter are not used."""
    cache.load(str(file))
    monkeypatch.setattr(cache, "__version__", "999")
    with pytest.raises(AssertionError, match="parsed"):
        without_reading(file, monkeypatch)


@pytest.mark.parametrize("name", cache.CODE)
def test_changed_code_counts_at_once(file: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Values are read anew where what they depend on is another file: an upgrade that kept its version, an editor."""
    cache.load(str(file))
    real = os.stat

    def stat(path: str, **options: Any) -> object:
        found = real(path, **options)
        if str(path) != str(PROJECT / "pfilter" / name):
            return found
        return SimpleNamespace(st_mtime_ns=found.st_mtime_ns + 1, st_size=found.st_size)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(AssertionError, match="parsed"):
        without_reading(file, monkeypatch)


# Of what is needed to read a configuration: what is said of one that is wrong, and what any value is made of.
BESIDE_VALUES = {"base/catalogue.py", "base/errors.py", "base/frozen.py", "base/text.py"}
IMPORTED = """
import os, sys
import pfilter.config.load
modules = [module for name, module in sys.modules.items() if name.startswith("pfilter.")]
print(*(module.__file__ for module in modules if os.path.basename(module.__file__) != "__init__.py"), sep="\\n")
"""


def test_all_code_that_values_depend_on_is_looked_at() -> None:
    """What the reading of a configuration imports is looked at, or has nothing to do with its values."""
    command = [sys.executable, "-P", "-c", IMPORTED]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = {str(Path(name).relative_to(PROJECT / "pfilter")) for name in done.stdout.split()}
    assert found == {*cache.CODE, *BESIDE_VALUES}


def test_errors_are_those_of_the_file(file: Path) -> None:
    """A file that became wrong is an error, whatever was kept."""
    cache.load(str(file))
    file.write_text("[policy")
    with pytest.raises(ConfigError, match="not TOML"):
        cache.load(str(file))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Nothing kept stands in for a file that is gone."""
    with pytest.raises(ConfigError, match="No such file"):
        cache.load(str(tmp_path / "none.toml"))
