"""How time and memory grow when hostile input doubles: linear is 2, the square is 4."""

import gc
import os
import resource
import time

from tests.tools.fuzz.bombs import BOMBS, Bomb

SQUARE = 3.0  # a factor from which on time grows as no input should make it
LEAST = 0.3  # seconds below which a factor says nothing
MICROSECONDS = 20.0  # for one octet


def measured(bomb: Bomb, count: int) -> tuple[int, float, int]:
    """Return octets, seconds of CPU, and octets of memory, by a process of its own; the best of three."""
    samples = [_in_child(bomb, count) for _ in range(3)]
    return samples[0][0], min(sample[1] for sample in samples), min(sample[2] for sample in samples)


def _in_child(bomb: Bomb, count: int) -> tuple[int, float, int]:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        bomb.run(bomb.make(2))  # imports
        data = bomb.make(count)
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        bomb.run(data)
        seconds = time.process_time() - began
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        os.write(write, f"{len(data)} {seconds} {memory}".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read().split()
    os.waitpid(pid, 0)
    return (int(answer[0]), float(answer[1]), int(answer[2])) if answer else (0, float("inf"), 0)


def main(only: str = "") -> int:
    """Print a table; 1 where something grows by its square, or takes too long for an octet."""
    bad = 0
    print(f"{'input':42} {'octets':>10} {'seconds':>8} {'twice':>8} {'factor':>6} {'us/octet':>8} {'memory':>8}")
    for name, bomb in BOMBS.items():
        if only not in name:
            continue
        size, once, _ = measured(bomb, bomb.count)
        double, twice, memory = measured(bomb, 2 * bomb.count)
        factor = twice / max(once, 1e-6)
        each = 1e6 * twice / max(1, double)
        wrong = (twice > LEAST and factor > SQUARE) or (each > MICROSECONDS and twice > LEAST)
        bad += wrong
        shown = f"{name:42} {size:10} {once:8.3f} {twice:8.3f} {factor:6.2f} {each:8.3f} {memory / 1e6:6.1f} MB"
        print(shown + ("  <-- too much" if wrong else ""), flush=True)
    return 1 if bad else 0
