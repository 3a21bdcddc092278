"""Runs pipelines for tests/tools/bench, as a small process of its own.

Linux counts the memory of the process that starts another into the peak of the one started (exec(2) keeps the larger
of both), so whoever measures peaks has to be smaller than what it measures. Reads (pipeline, environment, stdin,
stdout, file to sync) from stdin by marshal, writes (status of each program, seconds, seconds of CPU, peak in octets)
to stdout. Run with python -I -S; imports nothing that Python has not loaded anyway.
"""

import marshal
import os
import sys
from time import perf_counter

Ended = tuple[list[int], float, float, int]


def run(pipeline: list[list[str]], environment: dict[str, str], stdin: str, stdout: str, sync: str) -> Ended:
    """Run a pipeline to its end; sync a file that it has written."""
    source = os.open(stdin, os.O_RDONLY | os.O_CLOEXEC)
    sink = os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    began = perf_counter()
    children = []
    for number, argv in enumerate(pipeline, 1):
        after, before = (-1, sink) if number == len(pipeline) else os.pipe2(os.O_CLOEXEC)
        redirect = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, before, 1)]
        children.append(os.posix_spawn(argv[0], argv, environment, file_actions=redirect))
        os.close(source)
        os.close(before)
        source = after
    ended = [os.wait4(child, 0) for child in children]
    if sync:
        written = os.open(sync, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(written)
        os.close(written)
    wall = perf_counter() - began
    usages = [usage for _, _, usage in ended]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    peak = max(usage.ru_maxrss for usage in usages) * 1024
    return [os.waitstatus_to_exitcode(status) for _, status, _ in ended], wall, cpu, peak


if __name__ == "__main__":
    while True:
        try:
            task = marshal.load(sys.stdin.buffer)
        except EOFError:
            break
        marshal.dump(run(*task), sys.stdout.buffer)
        sys.stdout.flush()
