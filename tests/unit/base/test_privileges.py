"""What root does with a store that others can write to: nothing, but for becoming its owner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lib.support import PROJECT

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


def became(store: Path) -> str:
    """Return who a process of root's is after it has become the owner of a store, or what it said."""
    code = "import os, sys; from pfilter.base import privileges; "
    code += "privileges.become_owner(sys.argv[1]); print(os.getresuid())"
    argv = [sys.executable, "-P", "-c", code, str(store)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(PROJECT)}, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def folder(path: Path, owner: int = 0) -> Path:
    path.mkdir()
    os.chown(path, owner, owner)
    return path


@needs_root
def test_root_becomes_whoever_owns_the_store(tmp_path: Path) -> None:
    """By its name, or by a symbolic link that is root's in a folder of root's."""
    store = folder(tmp_path / "store", NOBODY)
    (tmp_path / "link").symlink_to(store)
    (tmp_path / "relative").symlink_to("../" + tmp_path.name + "/link")
    for way in (store, tmp_path / "link", tmp_path / "relative"):
        assert became(way) == str((NOBODY,) * 3)
    assert became(folder(tmp_path / "of-root")) == str((0, 0, 0))
    assert became(tmp_path / "none") == str((0, 0, 0))


@needs_root
@pytest.mark.parametrize("target", ["precious", "alice"])
def test_root_follows_no_link_of_anybody_else(tmp_path: Path, target: str) -> None:
    """A link that the filter's user planted leads root neither to what is root's nor to another user's."""
    folder(tmp_path / "precious")
    folder(tmp_path / "alice", 1234)
    around = folder(tmp_path / "around", NOBODY)
    (around / "store").symlink_to(tmp_path / target)
    os.lchown(around / "store", NOBODY, NOBODY)
    (around / "of-root").symlink_to(tmp_path / target)
    for way in (around / "store", around / "of-root", around / "store" / "below"):
        assert "is a symbolic link that nobody can change" in became(way)


@needs_root
def test_root_stays_out_of_what_can_be_replaced(tmp_path: Path) -> None:
    """A store of root's below a folder of somebody else's, who could put another in its place any time."""
    around = folder(tmp_path / "around", NOBODY)
    folder(around / "store")
    assert "could replace it" in became(around / "store")


@needs_root
def test_a_new_store_is_made_nowhere_else(tmp_path: Path) -> None:
    """`filter --store` of root's does not make directories behind a link of somebody else's."""
    folder(tmp_path / "precious")
    around = folder(tmp_path / "around", NOBODY)
    (around / "link").symlink_to(tmp_path / "precious")
    argv = [sys.executable, "-P", "-m", "pfilter.cli", "filter", "--store", str(around / "link" / "new")]
    argv += ["--base-url", "https://files.example"]
    environment = {"PYTHONPATH": str(PROJECT), "PFILTER_CONFIG": ""}
    done = subprocess.run(
        argv, input=b"From: a@example.com\n\n", capture_output=True, timeout=60, env=environment, check=False
    )
    assert done.returncode != 0
    assert b"symbolic link" in done.stderr, done.stderr
    assert list((tmp_path / "precious").iterdir()) == []


@needs_root
def test_the_kept_configuration_is_written_nowhere_else(tmp_path: Path) -> None:
    """Reading the configuration as root leaves no file behind a link of somebody else's."""
    from pfilter.config import cache

    precious, around = folder(tmp_path / "precious"), folder(tmp_path / "around", NOBODY)
    (tmp_path / "link").symlink_to(precious)
    for store, left in ((around / "store", []), (tmp_path / "link", [cache.NAME])):
        if store.parent == around:
            store.symlink_to(precious)
        file = tmp_path / f"{store.name}.toml"
        file.write_text(f'[policy]\nown_domains = ["*"]\n[store]\npath = "{store}"\nbase_url = "https://x.example"\n')
        code = "import sys; from pfilter.config import cache; cache.LEAST_AGE = 0.0; cache.load(sys.argv[1])"
        argv = [sys.executable, "-P", "-c", code, str(file)]
        subprocess.run(argv, check=True, timeout=60, env={"PYTHONPATH": str(PROJECT)})
        assert [path.name for path in precious.iterdir()] == left


DEMO = Path("/var/tmp/pfilter-demo")  # as postfix/demo has it


@needs_root
@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize("planted", ["folder", "link"])
@pytest.mark.parametrize("option", ["--stop", "--keep"])
def test_the_demo_leaves_alone_what_somebody_else_has_put_there(tmp_path: Path, planted: str, option: str) -> None:
    """Anybody may make a folder of its name in /var/tmp; root neither stops what it names nor removes what is in it."""
    if os.path.lexists(DEMO):
        pytest.skip(f"{DEMO} is in use")
    precious = folder(tmp_path / "precious")
    try:
        if planted == "folder":
            folder(DEMO, NOBODY)
        else:
            DEMO.symlink_to(precious)
        (DEMO / "postfix").mkdir()
        argv = [str(PROJECT / "postfix" / "demo"), option]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "is not root's own" in done.stderr, done.stderr
        assert (DEMO / "postfix").is_dir()
    finally:
        if os.path.isdir(DEMO / "postfix"):
            os.rmdir(DEMO / "postfix")
        (DEMO.unlink if DEMO.is_symlink() else DEMO.rmdir)()


@needs_root
def test_nobody_lives_in_a_private_postfix_that_is_a_link(tmp_path: Path) -> None:
    """`postfix/lab/private stop` ends who lives in its folder, never the whole machine by a link to /etc/postfix."""
    if not os.path.isdir("/etc/postfix"):
        pytest.skip("postfix is not installed")
    (tmp_path / "etc").symlink_to("/etc/postfix")
    code = "import sys, runpy, pathlib; found = runpy.run_path(sys.argv[1])"
    code += "; print(found['members'](pathlib.Path(sys.argv[2])))"
    argv = [sys.executable, "-c", code, str(PROJECT / "postfix" / "lab" / "private"), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
