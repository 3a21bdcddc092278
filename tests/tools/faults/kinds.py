"""All kinds of faults, and what they need."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable

from tests.tools.faults import apart, calls, many, power, sendmails, servers, strange, twice, window
from tests.tools.faults.case import Case
from tests.tools.faults.place import Place

KINDS: dict[str, Callable[[Place], Iterable[Case]]] = {
    "window": window.cases,
    "calls": calls.cases,
    "power": power.cases,
    "sendmail": sendmails.cases,
    "smtp": servers.cases,
    "twice": twice.cases,
    "away": strange.away,
    "disk": strange.disks,
    "limit": strange.limits,
    "clock": strange.clocks,
    "many": many.cases,
    "apart": apart.cases,
}
OWN_WORLD = "PFILTER_FAULTS_MOUNTS"  # set where mounts are nobody else's


def why_not() -> str:
    """Return why nothing can be tried here, or ""."""
    if not shutil.which("strace"):
        return "there is no strace: install the package strace"
    argv = ["strace", "-q", "-o", os.devnull, "--inject=chdir:error=EIO", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return f"strace can't trace here: {done.stderr.strip()[-200:]}" if done.returncode else ""


def absent(door: str) -> dict[str, str]:
    """Return the kinds that can't be tried here, or not at this door, and why."""
    found = {} if OWN_WORLD in os.environ else {"disk": "needs root and mount namespaces"}
    if door == "lmtp":
        return {**found, "twice": "two processes meet in the store as they do by pfilter-pipe"}
    return {**found, **dict.fromkeys(("many", "apart"), "pfilter-pipe has one message, and one answer")}


def own_mounts() -> list[str]:
    """Return the command below which mounts are nobody else's, [] where there is none."""
    argv = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0 or OWN_WORLD in os.environ or not shutil.which("unshare"):
        return []
    done = subprocess.run([*argv, "true"], capture_output=True, check=False, timeout=30)
    return [] if done.returncode else ["env", f"{OWN_WORLD}=1", *argv]
