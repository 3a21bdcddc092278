"""How much time and memory hostile input may cost: the oracle of tests/tools/fuzz, and never of pytest."""

import resource
import time
from collections.abc import Callable

SECONDS = 0.5  # for any input, however small: imports, a machine with other things to do
SECONDS_PER_OCTET = 20e-6  # what the slowest octet may take: one of a header of a part of its own
MEMORY = 64 << 20
MEMORY_PER_OCTET = 400  # a message of parts is a list of values, and its octets in a file take none


class TooExpensiveError(AssertionError):
    """An input took more time or memory than its size allows."""


def within(run: "Callable[[bytes], object]", data: bytes) -> None:
    """Call with data. Raises TooExpensiveError, and what the call raises."""
    began = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(data)
    seconds = time.process_time() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    if seconds > SECONDS + SECONDS_PER_OCTET * len(data):
        raise TooExpensiveError(f"{seconds:.2f} s for {len(data)} octets")
    if grown > MEMORY + MEMORY_PER_OCTET * len(data):
        raise TooExpensiveError(f"{grown} octets of memory for {len(data)}")
