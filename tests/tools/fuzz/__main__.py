"""Hostile input: coverage-guided fuzzing of what reads mail, and how time grows with what is meant to take long.

Run as `.venv/bin/python -m tests.tools.fuzz`. atheris does the fuzzing where it is installed; else a loop of our own,
by sys.settrace, which is slower by far. A finding is an exception, a law of tests/lib/laws.py that does not hold, or
more time or memory than bounds.py allows for the size of the input. Each is written to a file, and the exit status is 1
where there is one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("scan", "header", "codec", "body", "names", "edit", "lmtp")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each target (%(default)g)")
    parser.add_argument("--target", action="append", choices=NAMES, help="may be repeated (all)")
    parser.add_argument("--engine", choices=["atheris", "own"], help="(atheris where it is installed)")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "pfilter-fuzz", metavar="DIR")
    parser.add_argument("--growth", action="store_true", help="time hostile inputs at one size and at twice the size")
    parser.add_argument("--lines", action="store_true", help="time the scanner against going through the lines")
    parser.add_argument("--only", metavar="WORD", default="", help="of an input, with --growth or --lines")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one file again, and fail as it did")
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)  # one target in a process of its own
    return parser.parse_args()


def engine_here() -> str:
    """Return the best engine that is installed."""
    from importlib.util import find_spec

    return "atheris" if find_spec("atheris") else "own"


def fuzz_one(name: str, options: argparse.Namespace) -> None:
    """Fuzz one target and write its report."""
    if options.engine == "atheris":
        import atheris

        # Of the project, and of nothing else.
        with atheris.instrument_imports(include=["pfilter"]):
            from tests.tools.fuzz import targets
    else:
        from tests.tools.fuzz import targets
    from tests.lib.support import CORPUS, SMALL_CORPUS
    from tests.tools.fuzz import loop

    start = loop.seeds(name, [folder for folder in (SMALL_CORPUS, CORPUS) if folder.is_dir()])
    keeper = loop.Keeper(name, targets.targets()[name], options.findings)

    def done(report: loop.Report) -> None:
        told = report._asdict() | {"found": [str(path) for path in report.found]}
        options.json.write_text(json.dumps(told), encoding="utf-8")

    if options.engine == "atheris":
        corpus = options.json.parent / f"{name}-corpus"
        corpus.mkdir()
        loop.guided(keeper, start, options.seconds, corpus, done)
    else:
        done(loop.own(keeper, start, options.seconds))


def fuzz(options: argparse.Namespace) -> int:
    """Fuzz each target in a process of its own, and print a table."""
    engine = options.engine or engine_here()
    reports = []
    with tempfile.TemporaryDirectory(prefix="pfilter-fuzz-") as folder:
        for name in options.target or NAMES:
            report = Path(folder) / "report"
            report.unlink(missing_ok=True)
            command = [sys.executable, "-m", "tests.tools.fuzz", "--target", name, "--engine", engine]
            command += ["--json", str(report)]
            command += ["--seconds", str(options.seconds), "--findings", str(options.findings)]
            log = Path(folder) / "log"
            with log.open("wb") as stderr:
                ended = subprocess.run(command, check=False, stdout=stderr, stderr=stderr)
            if not report.exists():
                print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
                print(f"{name}: ended with status {ended.returncode}", file=sys.stderr)
                return 1
            reports.append(json.loads(report.read_text(encoding="utf-8")))
            print(row(reports[-1]), flush=True)
    return 1 if any(report["found"] for report in reports) else 0


def row(report: "dict[str, object]") -> str:
    """Return one target's line."""
    from typing import Any

    told: Any = report
    lines = ", ".join(f"{name} {ran}/{there}" for name, (ran, there) in told["covered"].items() if ran)
    line = f"{told['target']:7} {told['engine']:8} {told['executions']:9} executions {told['seconds']:7.1f} s"
    return f"{line} {len(told['found']):3} findings; lines: {lines}" + "".join(
        f"\n    {path}" for path in told["found"]
    )


def replay(options: argparse.Namespace) -> int:
    """Run one input through targets, outside of any engine."""
    from tests.tools.fuzz import bounds, targets

    chosen = options.target or [options.replay.name.partition("-")[0]]
    for name in chosen:
        bounds.within(targets.targets()[name], options.replay.read_bytes())
        print(f"{name}: all is well")
    return 0


def main() -> int:
    """Fuzz, measure growth, or replay."""
    options = arguments()
    try:
        import hypothesis  # noqa: F401  # stands for all that tests need
    except ImportError:
        print(
            f"fuzz: {sys.executable} lacks what the tests need; try .venv/bin/python -m tests.tools.fuzz",
            file=sys.stderr,
        )
        return 2
    if options.lines:
        from tests.tools.fuzz import lines

        return lines.main(options.only)
    if options.growth:
        from tests.tools.fuzz import growth

        return growth.main(options.only)
    if options.replay:
        return replay(options)
    if options.json:
        fuzz_one(options.target[0], options)
        return 0
    return fuzz(options)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
