"""Thousands of messages through a real Postfix at once, with kill -9 at random: none lost, none doubled.

Run as `.venv/bin/python -m tests.tools.load`. Needs root (pipe(8) and mount namespaces), Postfix, and 15 GB of room for
10,000 messages. Starts a private Postfix (postfix/lab/private) on loopback with an installed pfilter, and a web server
for its downloads: nginx, where there is one. Sends numbered messages of a stated mix, faster than they can be filtered.
Beside them `pfilter expire` runs in a loop, each link that arrives is opened and compared with what was sent, and
processes of pfilter, what they started, and expire are killed. At the end every message, link and file in the
store is accounted for.

A message may arrive twice only with the same link, and only as many times more as it was killed: a crash between the
end of its reinjection and the end of the process can't be told from one before it. Exit status 1 where anything is
not as it must be. Leaves nothing behind.

In layout lmtp nobody can tell from outside which message a process has: there a message counts as killed as often as
lmtp(8) lost its connection, and all together no more often than there were kills.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.conftest import why_not
from tests.e2e.installed import BuildError, Venv, wheel
from tests.tools.bench.report import machine
from tests.tools.load import flat
from tests.tools.load.run import Report, Settings, load

QUICK = 200
SHOWN = 40  # violations


def arguments() -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.tools.load", description=__doc__, formatter_class=form)
    parser.add_argument("--messages", type=int, default=10_000, metavar="N", help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} messages")
    parser.add_argument("--layout", choices=("smtp", "sendmail", "lmtp"), default="smtp", help="(%(default)s)")
    parser.add_argument(
        "--small", type=int, metavar="N", help="N texts and nothing beside, layout lmtp: what processes hold over time"
    )
    parser.add_argument("--svg", metavar="FILE", type=Path, help="plot what processes hold")
    parser.add_argument("--kills-per-second", type=float, default=2.0, metavar="RATE", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another mix, other victims (%(default)s)")
    parser.add_argument("--limit", type=float, default=3600, metavar="SECONDS", help="then give up (%(default)s)")
    parser.add_argument("--dir", default="/var/tmp", help="where others may enter (%(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
    return parser.parse_args()


def table(figures: dict[str, Any]) -> str:
    """Return the figures, one a line."""
    width = max(map(len, figures))
    lines = []
    for name, value in figures.items():
        lines.append(f"{name:<{width}}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_shown(one)}" for key, one in value.items()) or "none"
    return f"{value:,}" if isinstance(value, (int, float)) else str(value)


def run(options: argparse.Namespace) -> tuple[Report, dict[str, str]]:
    """Make a temporary folder with an installation in it, and run the load test there."""
    messages = QUICK if options.quick else options.messages
    settings = Settings(messages, options.layout, options.kills_per_second, options.seed, limit=options.limit)
    if options.small:
        settings = settings._replace(messages=options.small, layout="lmtp", kills_per_second=0.0, small=True)
    with tempfile.TemporaryDirectory(prefix="pfilter-load-", dir=options.dir) as name:
        folder = Path(name)
        folder.chmod(0o711)
        about = machine(sys.executable, name)
        return load(settings, folder, Venv(folder / "venv", wheel(folder))), about


def stop(*_: object) -> None:
    """End as by ^C: all that was started is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    """Run and report."""
    options = arguments()
    if reason := why_not():
        print(f"load: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, stop)
    try:
        report, about = run(options)
    except (BuildError, AssertionError, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("load: stopped", file=sys.stderr)
        return 130
    print(table(report.figures))
    if options.small:
        print(flat.table(report.held))
    if options.svg:
        options.svg.write_text(flat.plot(report.held), encoding="utf-8")
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items()))
    for violation in report.violations[:SHOWN]:
        print(f"VIOLATION: {violation}")
    print(f"{len(report.violations)} violations" if report.violations else "all as it must be")
    if options.json:
        told = {"machine": about, "figures": report.figures, "violations": report.violations}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if report.violations else 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
