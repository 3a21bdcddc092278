"""Events: one line each, whatever is in them, and never a reason to stop mail."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pfilter.base import log
from pfilter.base.log import Log
from tests.lib.support import PROJECT


def lines(path: Path) -> list[str]:
    """Return the lines of a log file."""
    return path.read_text(encoding="utf-8").splitlines()


def test_json_events_are_one_line_each(tmp_path: Path) -> None:
    """An event is one JSON object with time, level and name."""
    path = tmp_path / "log"
    logger = Log(f"file:{path}")
    logger.event("info", "message", queue_id="4F2A", size=7)
    logger.event("error", "failed", reason="x")
    first, second = (json.loads(line) for line in lines(path))
    assert (first["event"], first["level"], first["queue_id"], first["size"]) == ("message", "info", "4F2A", 7)
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"]) == ("failed", "error")


def test_logfmt(tmp_path: Path) -> None:
    """An event in logfmt is one line of key=value."""
    path = tmp_path / "log"
    Log(f"file:{path}", form="logfmt").event("info", "part size", file="a b.bin", done=False)
    (line,) = lines(path)
    assert 'event="part size"' in line
    assert 'file="a b.bin"' in line
    assert "done=false" in line


@pytest.mark.parametrize("form", ["json", "logfmt"])
@pytest.mark.parametrize(
    "value", ["a\nlevel=error\r\n", "\x1b[31m\x00\x85\u2028", '"}\n{"event": "x"}', b"\xff\n\x1b", "x" * 100_000]
)
def test_nobody_writes_lines_of_their_own(tmp_path: Path, form: str, value: object) -> None:
    """Values with line ends, controls or without end make one bounded line."""
    path = tmp_path / "log"
    Log(f"file:{path}", form=form).event("info", "message", sender=value)
    (line,) = path.read_bytes().decode("utf-8").split("\n")[:-1]
    assert line.isprintable()
    assert len(line) < 1000


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(tmp_path: Path, level: str, written: int) -> None:
    """Events below the level are dropped."""
    path = tmp_path / "log"
    logger = Log(f"file:{path}", level)
    for name in log.LEVELS:
        logger.event(name, "x")
        assert logger.wants(name) is (log.LEVELS[name] >= log.LEVELS[level])
    assert len(lines(path)) == written


@pytest.mark.parametrize("to", ["", "file:/nonexistent/x", "file:/", "syslog"])
def test_a_log_that_cannot_be_written_is_no_error(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for it an event is dropped, silently, and no further one is tried."""
    monkeypatch.setattr(log, "SYSLOG", "/nonexistent/log")
    logger = Log(to, "debug")
    logger.prepare()
    logger.event("error", "x", value=object())
    assert not logger.wants("error")


def test_a_log_that_nobody_reads_does_not_hang(tmp_path: Path) -> None:
    """A FIFO without a reader drops events; nobody waits for one."""
    os.mkfifo(tmp_path / "fifo")
    logger = Log(f"file:{tmp_path / 'fifo'}")
    logger.event("info", "x")
    assert not logger.wants("info")


def test_files_are_appended_to_and_private(tmp_path: Path) -> None:
    """A log file is appended to; a new one is not for everybody."""
    path = tmp_path / "log"
    before = os.umask(0)
    try:
        Log(f"file:{path}").event("info", "one")
    finally:
        os.umask(before)
    Log(f"file:{path}").event("info", "two")
    assert len(lines(path)) == 2
    assert path.stat().st_mode & 0o007 == 0


def test_a_rotated_file_is_made_anew(tmp_path: Path) -> None:
    """After logrotate moved the file, events go to a new one."""
    path = tmp_path / "log"
    logger = Log(f"file:{path}")
    logger.event("info", "one")
    path.rename(tmp_path / "log.1")
    logger.event("info", "two")
    assert len(lines(path)) == 1


@pytest.mark.parametrize(("level", "severity"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)])
def test_syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, severity: int) -> None:
    """Events go to syslog's socket in facility mail, with their severity."""
    path = str(tmp_path / "l")
    monkeypatch.setattr(log, "SYSLOG", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        Log("syslog", "debug").event(level, "message", queue_id="4F2A")
        line = receiver.recv(65536).decode("utf-8")
    assert line.startswith(f"<{16 + severity}>pfilter[{os.getpid()}]: ")
    assert json.loads(line.partition(": ")[2])["queue_id"] == "4F2A"


def test_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """At the command line events may go to stderr."""
    Log("stderr").event("info", "x")
    assert json.loads(capfd.readouterr().err)["event"] == "x"


def test_empty_fields_are_left_out(tmp_path: Path) -> None:
    """What is not known is not in the event."""
    path = tmp_path / "log"
    Log(f"file:{path}").event("info", "message", download="", sender=b"", size=0, done=False)
    found = json.loads(lines(path)[0])
    assert {"size", "done"} <= set(found)
    assert not {"download", "sender"} & set(found)


QUICKLY = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pfilter.base import structlog_loader
if sys.argv[2] == "whole":
    import structlog
else:
    sys.modules["structlog.stdlib"] = None  # the package itself can't be imported without it
quick = structlog_loader.load()
written = []
class Lines:
    def __getattr__(self, level):
        return lambda text: written.append((level, text))
for renderer in (quick[0].JSONRenderer(ensure_ascii=False), quick[0].LogfmtRenderer(bool_as_flag=False)):
    steps = [quick[0].add_log_level, quick[0].TimeStamper(fmt="%Y", utc=True), renderer]
    log = quick[1](Lines(), processors=steps, context={})
    log.info("message", name="caf\u00e9", size=7, done=True, reason="a b=c", nothing=None, files=["x", b"y"])
    log.error("failed", reason="x y")
sys.modules.pop("structlog.stdlib", None)
import structlog
assert structlog.BoundLogger.__name__ == "BoundLogger" and callable(structlog.get_logger)
assert not hasattr(structlog.tracebacks, "anything")
print(json.dumps(written))
"""


def test_structlog_writes_the_same_without_its_init() -> None:
    """The short way into the installed structlog works, writes what the long one does, and leaves nothing behind."""
    quick, whole = (
        subprocess.run(
            [sys.executable, "-P", "-c", QUICKLY, str(PROJECT), way], capture_output=True, check=True, text=True
        ).stdout
        for way in ("quick", "whole")
    )
    assert quick == whole
    assert len(json.loads(quick)) == 4


def test_another_structlog_is_imported_as_it_wants(tmp_path: Path) -> None:
    """A structlog whose modules are arranged in another way works too, only later."""
    package = tmp_path / "structlog"
    package.mkdir()
    (package / "__init__.py").write_text("from structlog import processors\nclass BoundLogger: pass\n")
    (package / "processors.py").write_text("")
    found = subprocess.run(
        [sys.executable, "-P", "-c", "from pfilter.base import structlog_loader; print(structlog_loader.load()[1])"],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{PROJECT}"},
    )
    assert found.stdout == "<class 'structlog.BoundLogger'>\n"
