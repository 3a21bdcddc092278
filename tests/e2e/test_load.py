"""A small load test of each layout, and whether it would notice."""

from pathlib import Path

from tests.e2e.conftest import only
from tests.e2e.faults import appended
from tests.e2e.installed import Venv
from tests.tools.load.mix import Mix
from tests.tools.load.run import Settings, load

MESSAGES = 120
FEW = 60


def test_load(layout: str, ground: Path, venv: Venv, first_port: int) -> None:
    settings = Settings(MESSAGES, layout, kills_per_second=4.0, first_port=first_port + 200, limit=50.0)
    report = load(settings, ground, venv)
    assert report.violations == [], report.figures
    assert report.figures["in"] == report.figures["out"] == MESSAGES


# What a filter must never do, to one message each: lose it, send it twice, cut it short, ...
REINJECT = """
_send = send

def send(message, envelope, settings, meanwhile=None, way=None):
    import os
    from pfilter.base.spool import Spool

    about = message.read(0, 4096)
    if b"Subject: Load {lost:06d}" in about:
        return ()
    if b"Subject: Load {doubled:06d}" in about:
        _send(message, envelope, settings)
    if b"Subject: Load {cut:06d}" in about:
        message = Spool(os.dup(message.fd), message.size - 40)
    return _send(message, envelope, settings, meanwhile, way)
"""
# ... take a file away that was promised, put something else in its place.
STORE = """
_save = LocalStore.save

def save(self, record, contents, page):
    download = _save(self, record, contents, page)
    path = self.path("downloads", record.id, "files", record.files[0].name)
    if "load.{gone}@" in record.message_id:
        os.unlink(path)
    if "load.{other}@" in record.message_id:
        os.unlink(path)
        durable.write_file(path, b"something else", durable.PUBLIC_FILE)
    return download

LocalStore.save = save
"""


@only("smtp", "lmtp")
def test_harm_is_noticed(layout: str, ground: Path, broken: Venv, first_port: int) -> None:
    """The load test against a filter that does what it looks for."""
    settings = Settings(FEW, layout, kills_per_second=0, first_port=first_port + 200, limit=50.0)
    kinds = list(enumerate(Mix(FEW, settings.seed).kinds))
    lost, doubled, cut = [number for number, kind in kinds if kind.fate == "pass"][:3]
    gone, other = [number for number, kind in kinds if kind.fate == "link"][:2]
    with (
        appended(
            broken.packages / "pfilter/delivery/reinject.py", REINJECT.format(lost=lost, doubled=doubled, cut=cut)
        ),
        appended(broken.packages / "pfilter/store/local.py", STORE.format(gone=gone, other=other)),
    ):
        report = load(settings, ground, broken)
    assert report.figures["lost"] == 1
    assert report.figures["doubled beyond it"] == 1
    assert report.figures["not as they should be"] == 1
    assert report.figures["links"]["failed"] == report.figures["links"]["wrong octets"] == 2  # soon, and at the end
    found = {int(text.removeprefix("message ").split(",")[0].split(":")[0]) for text in report.violations}
    assert found == {lost, doubled, cut, gone, other}, report.violations
