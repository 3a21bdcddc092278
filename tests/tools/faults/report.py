"""What all runs came to: a line for each kind of fault, and every violation in words."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.tools.faults.oracle import Verdict

OUTCOMES = ("queue", "delivered", "doubled", "refused", "missed")


class Result(NamedTuple):
    """One run."""

    kind: str
    name: str
    verdict: Verdict
    seconds: float


def table(results: Sequence[Result]) -> str:
    """Return the table as text."""
    lines: list[tuple[str, ...]] = [("fault", "runs", *OUTCOMES, "lost", "violations", "seconds")]
    for kind in dict.fromkeys(result.kind for result in results):
        lines.append(_line(kind, [result for result in results if result.kind == kind]))
    lines.append(_line("all", results))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def _line(kind: str, results: Sequence[Result]) -> tuple[str, ...]:
    counts = Counter(result.verdict.outcome for result in results)
    lost = sum(result.verdict.lost for result in results)
    wrong = sum(bool(result.verdict.problems) for result in results)
    seconds = sum(result.seconds for result in results)
    return (kind, str(len(results)), *(str(counts[name]) for name in OUTCOMES), str(lost), str(wrong), f"{seconds:.0f}")


def violations(results: Sequence[Result]) -> list[str]:
    """Return each violation in words."""
    return [
        f"{result.kind}: {result.name}: {problem}"
        for result in results
        for problem in (*result.verdict.problems, *(["LOST"] if result.verdict.lost else []))
    ]


def notes(results: Sequence[Result]) -> list[str]:
    """Return what runs have to say besides."""
    return [f"{result.kind}: {result.name}: {result.verdict.note}" for result in results if result.verdict.note]


def as_json(results: Sequence[Result]) -> list[dict[str, object]]:
    """Return all runs for a file."""
    return [
        {"kind": result.kind, "name": result.name, "seconds": round(result.seconds, 3), **result.verdict._asdict()}
        for result in results
    ]
