"""What pfilter takes for attachments, against what other parsers do, over real messages and broken copies of them.

Run as `.venv/bin/python -m tests.tools.differential`. Asks the standard library, and as far as they are here Perl's
MIME-tools, GMime, and npm's mailparser; installs nothing, and says what is missing. A disagreement about a message that
pfilter would edit is told, unless exceptions.py says why it is right; the exit status is 1 where there is one.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.lib.support import CORPUS, SMALL_CORPUS
from tests.tools.differential import compare, run


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.differential", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("folders", nargs="*", type=Path, help="of messages (tests/laws/corpus, and ../shared/corpus)")
    parser.add_argument("--no-mutations", action="store_true", help="only the messages as they are")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the messages that are disagreed about")
    return parser.parse_args()


def main() -> int:
    """Compare and report."""
    options = arguments()
    folders = options.folders or [folder for folder in (SMALL_CORPUS, CORPUS) if folder.is_dir()]
    peers, missing = compare.peers()
    for name, needs in missing.items():
        print(f"without {name}: it needs {needs}")

    def told(number: int) -> None:
        if number % 500 == 0 and sys.stderr.isatty():
            print(f"\r\x1b[K{number}", end="", file=sys.stderr, flush=True)

    try:
        totals = run.run(run.messages(folders, mutations=not options.no_mutations), peers, told)
    finally:
        for peer in peers:
            peer.close()
    for what, count in totals.messages.items():
        print(f"{count:7}  {what}")
    print("disagreements with a reason:")
    reasons = Counter((one.about.peer, one.reason) for one in totals.found if one.reason)
    for (name, why), count in sorted(reasons.items()):
        print(f"{count:7}  {name}: {why}")
    left = [one for one in totals.found if not one.reason]
    print(f"{len(left):7}  without")
    for number, one in enumerate(left):
        print(f"  {one.about.peer}: {one.about.kind} {one.about.section}: {one.name}")
        print(f"    {one.about.ours}\n    {one.about.theirs}")
        if options.write:
            options.write.mkdir(parents=True, exist_ok=True)
            (options.write / f"{number:04}-{one.about.peer}.eml").write_bytes(one.data)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
