"""The limits of a process on itself."""

import subprocess
import sys

from tests.lib.support import PROJECT, Gateway, message, part

CODE = """
import resource, sys
from pfilter.base.rlimits import confine
if sys.argv[1] == "lower":
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 30))
confine(7)
print(*(resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_CORE, resource.RLIMIT_CPU)))
"""


def limits(how: str) -> list[int]:
    """Return address space, core size and CPU time after a process has confined itself."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, how],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": str(PROJECT)},
    )
    return [int(word) for word in done.stdout.split()]


def test_limits_are_set_and_never_raised() -> None:
    """Address space, core files and CPU time are limited; a lower limit stays."""
    assert limits("as it is") == [1 << 30, 0, 7]
    assert limits("lower") == [1 << 29, 0, 7]


def test_the_door_confines_itself(gateway: Gateway) -> None:
    """A process for Postfix sets them, and sendmail works below them."""
    gateway.stub("ulimit -v >limit-$$; cat limit-$$ >&2; exit 1".replace("limit-", f"{gateway.root}/limit-"))
    ended = gateway.pipe(message(part(b"Hello\n")))
    assert ended.status == 75
    assert str((1 << 30) >> 10) in ended.line
