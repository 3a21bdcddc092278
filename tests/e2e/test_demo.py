"""The demo from start to end."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.installed import Venv
from tests.lib.support import PROJECT

DEMO = Path("/var/tmp/pfilter-demo")
SHOWN = (
    "Alice sends this message", "Bob and Carol receive", "to download, available until",
    "https://downloads.example.com/", "Alice is told", "figures.csv.zip", "1 linked, 1 zipped",
)  # fmt: skip


@pytest.mark.xdist_group("demo")
def test_demo(venv: Venv) -> None:
    """The README's first command ends well, shows what it should, and leaves nothing."""
    if DEMO.exists():
        pytest.skip(f"{DEMO} exists: somebody else's demo runs")
    demo = PROJECT / "postfix" / "demo"
    try:
        done = subprocess.run([demo], capture_output=True, text=True, timeout=300, check=False)
        if "pip install failed" in done.stderr:
            pytest.skip("no PyPI here")
        assert done.returncode == 0, done.stderr[-2000:]
        for shown in SHOWN:
            assert shown in done.stdout
        assert not DEMO.exists()
    finally:
        if DEMO.exists():
            subprocess.run([demo, "--stop"], capture_output=True, timeout=120, check=False)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            assert str(DEMO).encode() not in Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
