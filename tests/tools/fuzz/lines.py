"""What the scanner takes for hostile messages, against going through the lines of the same file."""

import os
import time

from pfilter.base.spool import Spool, write_all
from pfilter.message.scan import scan
from tests.tools.fuzz.bombs import SCANNER_BOMBS

RATIO = 4.0  # to the lines, as often as what the limits allow is taken off
OF_LIMITS = 3.0  # seconds that what limits allow takes at most: parts, fields, delimiters


def measured(data: bytes) -> tuple[float, float]:
    """Return seconds of CPU of the scanner, and of going through the lines; the best of three."""
    fd = os.memfd_create("lines", os.MFD_CLOEXEC)
    try:
        write_all(fd, data)
        ours, lines = [], []
        for _ in range(3):
            spool = Spool(os.dup(fd), len(data))
            began = time.process_time()
            scan(spool)
            ours.append(time.process_time() - began)
            spool.close()
            os.lseek(fd, 0, os.SEEK_SET)
            with os.fdopen(os.dup(fd), "rb") as stream:
                began = time.process_time()
                for _line in stream:
                    pass
                lines.append(time.process_time() - began)
    finally:
        os.close(fd)
    return min(ours), min(lines)


def main(only: str = "", size: int = 20_000_000) -> int:
    """Print a table of one size and twice of it; 1 where what each further octet costs is over the bound."""
    bad = 0
    print(f"{'message':40} {'octets':>10} {'scan':>8} {'lines':>8} {'ratio':>7} {'further octets':>15}")
    for name, make in SCANNER_BOMBS.items():
        if only not in name:
            continue
        once, lines_once = measured(make(size))
        data = make(2 * size)
        twice, lines_twice = measured(data)
        further = (twice - once) / max(1e-4, lines_twice - lines_once)
        wrong = twice - once > RATIO * (lines_twice - lines_once) + 0.02 or twice > OF_LIMITS + RATIO * lines_twice
        bad += wrong
        shown = f"{name:40} {len(data):10} {twice:8.3f} {lines_twice:8.3f} {twice / lines_twice:7.1f} {further:15.1f}"
        print(shown + ("  <-- too much" if wrong else ""), flush=True)
    return 1 if bad else 0
