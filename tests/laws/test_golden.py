"""Golden files: NAME.eml goes by NAME.toml into NAME.out, and `explain` shows NAME.tree.

The [envelope] section of NAME.toml is the envelope, the rest a configuration; secret, time and store are fixed. On a
mismatch NAME.out.failed or NAME.tree.failed is written beside: look at the difference, and if it is right, move it
over the golden file.
"""

import sys
import tomllib
import zlib
from pathlib import Path

import pytest

from pfilter import pipeline
from pfilter.cli import explain
from pfilter.config import load
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope
from tests.lib import support
from tests.lib.support import BASE_URL, NOW, SECRET, TESTS

GOLDEN = TESTS / "laws" / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.eml"))


def case(name: str, store: Path) -> tuple[bytes, Settings, Envelope]:
    """Return message, policy and envelope of a case."""
    values = tomllib.loads((GOLDEN / f"{name}.toml").read_text(encoding="utf-8"))
    given = values.pop("envelope", {})
    values.setdefault("policy", {}).setdefault("own_domains", ["example.org"])
    values["store"] = {"path": str(store), "base_url": BASE_URL, "min_free": 0, **values.get("store", {})}
    envelope = Envelope(
        sender=given.get("sender", "sender@example.org").encode("utf-8"),
        recipients=tuple(to.encode("utf-8") for to in given.get("recipients", ["reader@example.net"])),
        queue_id="4F2A",
    )
    (store / "secret").write_bytes(SECRET)
    return (GOLDEN / f"{name}.eml").read_bytes(), load.from_values(values), envelope


def compare(path: Path, found: bytes) -> None:
    """Compare with a golden file; leave what was found beside it where it differs."""
    failed = path.with_name(path.name + ".failed")
    failed.unlink(missing_ok=True)
    expected = path.read_bytes() if path.exists() else b""
    if found != expected:
        failed.write_bytes(found)
    assert found == expected, f"see {failed.name}"


@pytest.fixture(autouse=True)
def _zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have zlib make the zips, which is everywhere."""
    monkeypatch.setitem(sys.modules, "deflate", None)


@pytest.mark.parametrize("name", NAMES)
def test_out(name: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message comes out as the golden file has it, octet for octet."""
    data, policy, envelope = case(name, store)
    monkeypatch.setattr("time.time", lambda: float(NOW))
    result = support.process(data, policy, envelope)
    if result.outcome.zipped and "ng" in zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip("another zlib compresses to other octets")
    compare(GOLDEN / f"{name}.out", result.output)


@pytest.mark.parametrize("name", NAMES)
def test_tree(name: str, store: Path) -> None:
    """`explain` shows the message as the golden file has it."""
    data, policy, envelope = case(name, store)
    spool = support.BytesSpool(data)
    found = pipeline.examine(spool, envelope, policy, lambda: str(store))
    compare(GOLDEN / f"{name}.tree", explain.tree(spool, found, policy).encode("utf-8") + b"\n")


def test_there_are_golden_files() -> None:
    """Each message has its configuration and its results, and there are no others."""
    endings = {
        name: sorted(path.suffix for path in GOLDEN.glob(f"{name}.*") if path.suffix != ".failed") for name in NAMES
    }
    assert len(NAMES) >= 12
    assert all(found == [".eml", ".out", ".toml", ".tree"] for found in endings.values())
