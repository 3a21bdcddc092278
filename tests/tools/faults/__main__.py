"""Inject a fault at every step of a message's way, and judge each run by the same oracle.

Runs pfilter-pipe by itself, as pipe(8) does, or pfilter-lmtp, as spawn(8) does (`--door lmtp`), with a sendmail and an
SMTP server that record, and a fresh store for each run; the upgrade runs under a real Postfix. For each run the message
must be in exactly one of Postfix's queue, delivered once, deliberately refused; what waits is tried again without the
fault and must then go out once. Messages before and after it on the same connection are judged as well. Every link in a
delivered mail opens and leads to the attachment; `pfilter expire` leaves nothing.

Where Postfix had taken the message when the fault came, and nobody knew, it goes out twice ("doubled"): that window
can't be closed. It is measured.

Run as `.venv/bin/python -m tests.tools.faults`. Needs Linux and strace; file systems and the upgrade also need root.
Exit status 1 on any violation.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.installed import BuildError, Venv, wheel
from tests.tools.faults import kinds, report
from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict
from tests.tools.faults.place import Place

QUICK = 40  # runs of each kind
_CASES: list[Case] = []
_PLACE: list[Place] = []


def run_case(number: int) -> report.Result:
    """Run one case in this worker's place."""
    case = _CASES[number]
    began = time.monotonic()
    try:
        verdict = case.run(_PLACE[0])
    except Exception as error:  # noqa: BLE001  # the others shall run all the same
        verdict = Verdict("missed", problems=(f"the harness failed: {type(error).__name__}: {error}",))
    return report.Result(case.kind, case.name, verdict, time.monotonic() - began)


def begin(folder: Path, command: list[str], door: str) -> None:
    """Make this worker's place."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _PLACE[:] = [Place(folder / f"w{os.getpid():07}", command, door)]


def chosen(only: list[str], most: int, place: Place) -> Iterator[Case]:
    """Yield the cases of the kinds that were asked for, spread evenly where not all are wanted (0: all)."""
    for name, make in kinds.KINDS.items():
        if (only and name not in only) or name in kinds.absent(place.door):
            continue
        found = list(make(place))
        for kind in dict.fromkeys(case.kind for case in found):
            of_kind = [case for case in found if case.kind == kind]
            count = min(most or len(of_kind), len(of_kind))
            yield from (of_kind[(2 * number + 1) * len(of_kind) // (2 * count)] for number in range(count))


def run(options: argparse.Namespace, folder: Path, results: list[report.Result]) -> None:
    """Run the matrix; `results` grows meanwhile."""
    door = options.door
    if options.command:
        command = [options.command]
    else:
        venv = Venv(folder / "venv", wheel(folder))
        command = [str(venv.lmtp if door == "lmtp" else venv.pipe)]
    if not options.only or set(options.only) & set(kinds.KINDS):
        _PLACE[:] = [Place(folder / "w0000000", command, door)]
        for name, reason in kinds.absent(door).items():
            print(f"faults: {name} not tried: {reason}", file=sys.stderr)
        _CASES[:] = chosen(options.only, options.runs, _PLACE[0])
        context = multiprocessing.get_context("fork")
        with context.Pool(options.jobs, begin, (folder, command, door)) as pool:
            for result in pool.imap_unordered(run_case, range(len(_CASES))):
                results.append(result)
                _progress(f"{len(results)} of {len(_CASES)}: {result.kind}")
                if result.verdict.problems and options.verbose:
                    print(f"\n{result.kind}: {result.name}: {result.verdict.problems}", file=sys.stderr)
        _progress("")
    if "upgrade" in options.only or not (options.only or options.runs):
        from tests.tools.faults import upgrade

        results += upgrade.run(folder)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.faults", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=0, help="of each kind at most so many, and no upgrade")
    parser.add_argument("--quick", action="store_const", dest="runs", const=QUICK, help=f"the same as --runs {QUICK}")
    parser.add_argument(
        "--only", action="append", default=[], choices=[*kinds.KINDS, "upgrade"], help="may be repeated"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the outcome of every run")
    parser.add_argument("--door", choices=("pipe", "lmtp"), default="pipe", help="pfilter-pipe or -lmtp (%(default)s)")
    parser.add_argument("--command", help="an installed program to try; by default the project is installed anew")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="(%(default)s)")
    parser.add_argument("--dir", default="/var/tmp", help="where everything happens (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="tell of violations at once")
    return parser.parse_args()


def main() -> int:
    """Run and report."""
    options = arguments()
    reason = kinds.why_not()
    if reason:
        print(f"faults: {reason}", file=sys.stderr)
        return 2
    if below := kinds.own_mounts():
        os.execvp(below[0], [*below, sys.executable, "-m", "tests.tools.faults", *sys.argv[1:]])
    folder = Path(tempfile.mkdtemp(prefix="pfilter-faults-", dir=options.dir))
    folder.chmod(0o711)
    began = time.monotonic()
    results: list[report.Result] = []
    whole = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options, folder, results)
        whole = True
    except BuildError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("faults: interrupted", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.table(results))
    for line in (*report.notes(results), *report.violations(results)):
        print(line)
    print(f"{len(results)} runs in {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n", encoding="utf-8")
    return 1 if report.violations(results) or not whole else 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
