"""One run of the matrix."""

from collections.abc import Callable
from typing import NamedTuple

from tests.tools.faults.oracle import Verdict
from tests.tools.faults.place import Place


class Case(NamedTuple):
    """A fault of a kind, by name, and what injects and judges it."""

    kind: str
    name: str
    run: Callable[[Place], Verdict]
