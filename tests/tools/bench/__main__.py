"""How fast pfilter is, against floors measured in the same run.

Run as `python3 -m tests.tools.bench`. Needs Linux, coreutils, gzip, python3-venv, and what pip needs to install the
project; no root, no Postfix. Makes a temporary folder with an installation, a store, a stub for sendmail and the
messages, and removes it afterwards.
Processes are measured whole and in turn (floor, pfilter, floor, pfilter, ...), so that a busy machine is as busy for
the one as for the other. This measures and does not judge: a missed target is shown, and the exit status is 0. It is
not 0 where something broke.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.tools.bench import messages, report
from tests.tools.bench.place import BrokenError, Command, Place, Sample

MB = 1_000_000
ROUNDS = {"small": 30, "medium": 20, "big": 7, "huge": 3}
QUICK = {"small": 5, "medium": 3, "big": 2, "huge": 0}

Round = dict[str, Sample]
Sides = dict[str, list[Command]]


class Case(NamedTuple):
    """Messages that are measured in turn, and what is expected of the filter."""

    name: str
    size: str  # a key of ROUNDS
    sides: Callable[[Place], Sides]
    rows: list[report.Row]
    said: str
    stored: Iterable[bytes] = ()
    settle: bool = True  # the filter writes files: each time anew, on a disk at rest


def passing(make: Callable[[], Iterator[bytes]], place: Place) -> Sides:
    """Compare a message that passes with starting Python."""
    message = place.write("message", make())
    site = place.filter(message, site=True)
    return {"floor": [place.start()], "pfilter": [place.filter(message)], "site": [site]}


def zipping(size: int, place: Place) -> Sides:
    """Compare with gzip of the same data, after starting Python."""
    data = place.write("data", messages.table(size))
    message = place.write("message", messages.attachment("text/csv", "table.csv", messages.table(size)))
    gzip = Command([["/bin/gzip", "-6", "-c"]], data)
    return {"floor": [place.start(), gzip], "pfilter": [place.filter(message)]}


def linking(size: int, place: Place) -> Sides:
    """Compare with decoding, writing, hashing and syncing the same data by coreutils, after starting Python."""
    film = messages.attachment("application/octet-stream", "film.bin", messages.noise(size))
    copy = place.path("copy")
    tools = [["/usr/bin/base64", "-d"], ["/usr/bin/tee", copy], ["/usr/bin/sha256sum"]]
    data = place.write("data", messages.base64(messages.noise(size)))
    alone = place.filter(place.write("message", film))
    piped = alone._replace(pipeline=[["/bin/cat"], *alone.pipeline])
    return {"floor": [place.start(), Command(tools, data, sync=copy)], "pfilter": [alone], "piped": [piped]}


def linking_alone(size: int, place: Place) -> Sides:
    """Measure without a floor, for the memory."""
    film = messages.attachment("application/octet-stream", "film.bin", messages.noise(size))
    return {"pfilter": [place.filter(place.write("message", film))]}


def growing(make: Callable[[int], Iterator[bytes]], half: int, config: str, place: Place) -> Sides:
    """Compare one half with the whole; 1 % of it stands for what does not grow."""
    sides = {}
    for name, size in (("start", half // 50), ("half", half), ("whole", 2 * half)):
        message = place.write(f"message-{name}", make(size))
        recipients = size if config == "recipients" else 1
        sides[name] = [place.filter(message, config=config, recipients=recipients)]
    return sides


def picture(size: int, body: int = 1500, head: int = 0) -> Iterator[bytes]:
    """Yield a message with an attachment that can't be zipped."""
    text = messages.large_head(head) if head else messages.HEAD
    return messages.attachment("image/png", "picture.png", messages.noise(size), body, text)


def ratio(what: str, limit: float, side: str = "pfilter") -> report.Row:
    """Take how many times as long as the floor it took."""
    return report.Row(what, "x", limit, lambda found: found[side].wall / found["floor"].wall)


def peak(what: str) -> report.Row:
    """Take the peak memory."""
    return report.Row(f"{what}: peak memory", "MB", 40, lambda found: found["pfilter"].peak / MB)


def growth(what: str, memory: float = 1.1) -> list[report.Row]:
    """Take how CPU time and memory grow when the size doubles. Linear is 2, flat is 1; a tenth is left to chance."""

    def seconds(found: Mapping[str, Sample]) -> float:
        least = 1e-4  # what takes no time at all does not grow
        start = found["start"].cpu
        return max(least, found["whole"].cpu - start) / max(least, found["half"].cpu - start)

    def peaks(found: Mapping[str, Sample]) -> float:
        return found["whole"].peak / found["half"].peak

    return [
        report.Row(f"{what}: time", "x", 2.2, seconds),
        report.Row(f"{what}: memory", "x", memory, peaks),
    ]


SITE = "the same, without -IS"
PIPED = "the same, read from a pipe"  # as pipe(8) gives it: cat(1) is one process more than the floor has
CASES = [
    Case(
        "text-2k",
        "small",
        partial(passing, partial(messages.text, 2000)),
        [ratio("2 kB text passes", 2.0), ratio(SITE, 2.0, "site")],
        "passed",
        settle=False,
    ),
    Case(
        "html-60k",
        "small",
        partial(passing, partial(messages.alternative, 60_000)),
        [ratio("60 kB text + HTML passes", 2.2), ratio(SITE, 2.2, "site")],
        "passed",
        settle=False,
    ),
    Case("zip", "small", partial(zipping, 300_000), [ratio("300 kB csv zipped", 4.0)], "1 zipped", settle=False),
    Case(
        "link-20m",
        "medium",
        partial(linking, 20 * MB),
        [ratio("20 MB attachment linked", 1.5), ratio(PIPED, 1.5, "piped"), peak("20 MB attachment linked")],
        "1 linked",
        messages.noise(20 * MB),
    ),
    Case(
        "link-100m",
        "big",
        partial(linking, 100 * MB),
        [ratio("100 MB attachment linked", 1.5), ratio(PIPED, 1.5, "piped"), peak("100 MB attachment linked")],
        "1 linked",
        messages.noise(100 * MB),
    ),
    Case(
        "link-1g",
        "huge",
        partial(linking_alone, 1000 * MB),
        [peak("1 GB attachment linked")],
        "1 linked",
        messages.noise(1000 * MB),
    ),
    Case(
        "parts",
        "big",
        partial(growing, messages.small_parts, 50_000, "plain"),
        growth("twice 50,000 parts, limit 10,000"),
        "passed",
        settle=False,
    ),
    Case(
        "parts-unlimited",
        "big",
        partial(growing, lambda size: messages.small_parts(size, messages.noise(MB)), 50_000, "parts"),
        growth("twice 50,000 parts, limit raised", memory=2.2),  # it keeps a list of parts
        "1 linked",
        messages.noise(MB),
    ),
    Case(
        "recipients",
        "small",
        partial(growing, lambda _: picture(50_000), 5000, "recipients"),
        growth("5,000 to 10,000 recipients"),
        "1 linked",
        messages.noise(50_000),
    ),
    Case(
        "header",
        "medium",
        partial(growing, lambda size: picture(MB, head=size), MB, "plain"),
        growth("header of 1 to 2 MB"),
        "1 linked",
        messages.noise(MB),
    ),
    Case(
        "notice",
        "big",
        partial(growing, lambda size: picture(MB, body=size), 50 * MB, "plain"),
        growth("notice in text of 50 to 100 MB"),
        "1 linked",
        messages.noise(MB),
    ),
]


def measure(case: Case, place: Place, rounds: int) -> list[Round]:
    """Run the sides of a case in turn. Raises BrokenError where the filter does not do what it should."""
    sides = case.sides(place)
    state = hashlib.sha256()
    for chunk in case.stored:
        state.update(chunk)
    stored = state.hexdigest() if case.said == "1 linked" else ""
    measured: list[Round] = []
    for number in range(rounds + 1):
        found: Round = {}
        for side, commands in sides.items():
            if case.settle:
                place.settle()
            found[side] = place.run(commands)
            if side == "floor":
                continue
            if place.said() != case.said:
                raise BrokenError(f"{case.name}: pfilter-pipe said {place.said()!r}, not {case.said!r}")
            if number == 0 and place.stored() != stored:
                raise BrokenError(f"{case.name}: what is in the store is not what was attached")
        if number:  # the first round fills caches
            measured.append(found)
        _progress(f"{case.name}: {number} of {rounds}")
    _progress("")
    place.clean()
    return measured


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, not the largest message: nothing to quote")
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="may be repeated")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table and all rounds")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="write a plot")
    parser.add_argument("--dir", default="/var/tmp", help="on the disk to measure; 5 GB must be free (%(default)s)")
    parser.add_argument("--python", default="/usr/bin/python3", help="(%(default)s)")
    return parser.parse_args()


def main() -> int:
    """Measure and report."""
    options = arguments()
    figures: list[dict[str, object]] = []
    raw: dict[str, list[dict[str, dict[str, float]]]] = {}
    with ExitStack() as exits:
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="pfilter-bench-", dir=options.dir))
        try:
            place = exits.enter_context(closing(Place(folder, options.python)))
            about = report.machine(place.python, folder)
            for case in CASES:
                rounds = (QUICK if options.quick else ROUNDS)[case.size]
                if not rounds or (options.only and case.name not in options.only):
                    continue
                found = measure(case, place, rounds)
                raw[case.name] = [{side: sample._asdict() for side, sample in one.items()} for one in found]
                figures += [report.figure(case.name, row, found) for row in case.rows]
        except (BrokenError, OSError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    print(report.table(figures, about))
    if options.json:
        told = {"machine": about, "figures": figures, "rounds": raw}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        options.svg.write_text(report.plot(figures, about), encoding="utf-8")
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
