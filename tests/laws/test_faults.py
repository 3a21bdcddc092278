"""A few runs of each kind of fault that tests.tools.faults knows; it runs all of them in half an hour."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lib.support import PROJECT

UNUSABLE = 2  # exit status where strace is missing or must not trace


OF_PIPE = [("calls",), ("power", "twice", "away"), ("sendmail", "smtp", "limit", "clock")]
DOORS = [*(("pipe", kinds) for kinds in OF_PIPE), ("lmtp", ("apart",))]


@pytest.mark.parametrize(("door", "kinds"), DOORS)
def test_some_of_the_faults(door: str, kinds: tuple[str, ...], installed: Path, tmp_path: Path) -> None:
    """No message is lost, doubled or cut short, every link opens, nothing remains; nor does the harness miss all."""
    told = tmp_path / "told.json"
    argv = [
        sys.executable,
        "-m",
        "tests.tools.faults",
        "--runs",
        "6",
        "--jobs",
        "1",
        "--json",
        str(told),
        "--dir",
        str(tmp_path),
    ]
    argv += ["--door", door, "--command", str(installed / "bin" / f"pfilter-{door}")]
    for kind in kinds:
        argv += ["--only", kind]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, cwd=PROJECT)
    if ended.returncode == UNUSABLE:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    runs = json.loads(told.read_text())
    assert any(run["outcome"] == "queue" for run in runs)
    assert not any(run["lost"] for run in runs)
