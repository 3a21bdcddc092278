"""The units and the cron file: nothing of them runs as root, where the filter's user could lead it astray."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lib.support import PROJECT

SERVICES = sorted((PROJECT / "postfix" / "systemd").glob("*.service"))
SERVE = PROJECT / "postfix" / "systemd" / "pfilter-serve.service"
EXPIRE = PROJECT / "postfix" / "systemd" / "pfilter-expire.service"


def settings(unit: Path) -> Iterator[tuple[str, str]]:
    """Yield the settings of a unit, and those that its comments say to add."""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"(?:#\s+)?([A-Z][A-Za-z]+)=(.*)", line):
            yield found[1], found[2]


def values(unit: Path, name: str) -> list[str]:
    return [value for key, value in settings(unit) if key == name]


def test_there_are_units() -> None:
    """The two that pfilter-gateway(7) installs."""
    assert {SERVE, EXPIRE} == set(SERVICES)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_no_unit_runs_anything_as_root(unit: Path) -> None:
    """No command has the prefix + or ! (systemd.service(5)), and there is a user who is not root."""
    commands = [(name, value) for name, value in settings(unit) if name.startswith("Exec")]
    assert commands
    for name, value in commands:
        assert re.match(r"[-@:]*/", value), f"{name}={value}"
    users = values(unit, "User")
    assert "root" not in users
    assert users or values(unit, "DynamicUser") == ["yes"]
    assert not values(unit, "PermissionsStartOnly")
    assert values(unit, "NoNewPrivileges") == ["yes"]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_is_led_nowhere(unit: Path) -> None:
    """systemd, which is root, is told of no path below the store to mount, make or give away: it would follow links."""
    for name in ("BindPaths", "BindReadOnlyPaths", "StateDirectory", "CacheDirectory", "LogsDirectory"):
        for value in values(unit, name):
            assert "/" not in value.removeprefix("/"), f"{name}={value}"


def test_the_port_below_1024_needs_a_capability_and_no_root() -> None:
    """What the comment says to add lets it listen on 443."""
    assert "CAP_NET_BIND_SERVICE" in values(SERVE, "AmbientCapabilities")
    assert "CAP_NET_BIND_SERVICE" in values(SERVE, "CapabilityBoundingSet")


def test_expire_reaches_an_object_store() -> None:
    """The clean-up of a store with [store] url needs the network."""
    assert "yes" not in values(EXPIRE, "PrivateNetwork")
    (families,) = values(EXPIRE, "RestrictAddressFamilies")
    assert {"AF_UNIX", "AF_INET", "AF_INET6"} <= set(families.split())


def test_cron_runs_nothing_as_root() -> None:
    """The user's column of /etc/cron.d/pfilter is the filter's user (crontab(5))."""
    lines = (PROJECT / "postfix" / "cron" / "pfilter").read_text(encoding="utf-8").splitlines()
    jobs = [line.split() for line in lines if line and not line.startswith("#") and "=" not in line.split()[0]]
    assert [job[5] for job in jobs] == ["pfilter"]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    """systemd-analyze finds no unknown setting, and little that the process could still do (from 0 to 10)."""
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd is not installed")
    text = re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / unit.name).write_text(
        text.replace("User=pfilter", "User=daemon").replace("Group=pfilter", "Group=daemon")
    )
    for argv in (["verify", "--man=no"], ["security", "--offline=true", "--no-pager", "--threshold=20"]):
        done = subprocess.run(
            [analyze, *argv, tmp_path / unit.name], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert unit.name not in done.stderr, done.stderr
