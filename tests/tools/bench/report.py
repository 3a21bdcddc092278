"""What was measured, as a table, as values for JSON, and as a plot."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WIDTH, ROW, TOP, LEFT, BAR = 800, 26, 58, 304, 318  # of the plot, in pixels
VALUE, TARGET = 704, 780  # right ends of the columns with figures
SCALE = 1.5  # the plot's right end, in multiples of the target
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 11.5px; fill: #57606a; }
.ground { fill: #ffffff; }
.band { fill: #f3f5f7; }
.in { fill: #2f7d6b; }
.over { fill: #c2562d; }
.spread { stroke: #24292f; stroke-width: 1.5; }
.target { stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9da7b1; }
  .ground { fill: #0f1419; }
  .band { fill: #181e25; }
  .in { fill: #4aa58f; }
  .over { fill: #e0794f; }
  .spread { stroke: #e6edf3; }
  .target { stroke: #9da7b1; }
}
"""


class Row(NamedTuple):
    """One line of the table: what is taken of each round, and the target."""

    what: str
    unit: str
    limit: float
    value: Callable[[Mapping[str, Any]], float]


def figure(case: str, row: Row, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return median and spread over all rounds."""
    values = [row.value(found) for found in rounds]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    spread = {"min": min(values), "quartile1": low, "median": middle, "quartile3": high, "max": max(values)}
    return {
        "case": case,
        "what": row.what,
        "unit": row.unit,
        "rounds": len(values),
        **{name: round(value, 4) for name, value in spread.items()},
        "must_reach": row.limit,
        "reached": middle <= row.limit,
    }


def machine(python: str, folder: str) -> dict[str, str]:
    """Return what the figures depend on; no paths, no names."""
    said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": _after_colon("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": said.stdout.strip(),
        "file_system": _file_system(folder),
        "load_at_start": f"{os.getloadavg()[0]:.1f}",
    }


def _after_colon(file: str, key: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return " ".join(line.partition(":")[2].split())
    return ""


def _file_system(folder: str) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    around = [found for found in mounts if f"{os.path.realpath(folder)}/".startswith(f"{found[0].rstrip('/')}/")]
    return max(around, key=lambda found: len(found[0]), default=["", "unknown"])[1]


def _number(value: float, unit: str) -> str:
    return f"{value:.{1 if unit == 'MB' else 2}f}"


def table(figures: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> str:
    """Return the table as text."""
    lines = [("what", "median", "quartiles", "least .. most", "rounds", "must reach", "reached")]
    for found in figures:
        unit = str(found["unit"])
        least, low, middle, high, most = (
            _number(found[name], unit) for name in ("min", "quartile1", "median", "quartile3", "max")
        )
        target = f"{_number(found['must_reach'], unit)} {unit}"
        spread = (f"{middle} {unit}", f"{low} .. {high}", f"{least} .. {most}", str(found["rounds"]))
        lines.append((found["what"], *spread, target, "yes" if found["reached"] else "NO"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    shown.insert(1, "  ".join("-" * width for width in widths))
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items())
    return "\n".join([*shown, "", told])


def plot(figures: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> str:
    """Return the medians as bars, as long as their share of the target, with the quartiles."""
    height = TOP + ROW * len(figures) + 44
    target = LEFT + BAR // SCALE
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        '<text id="title" class="title" x="16" y="26">pfilter against its targets</text>',
        f'<text class="small" x="{target}" y="{TOP - 8}" text-anchor="middle">target</text>',
        f'<text class="small" x="{VALUE}" y="{TOP - 8}" text-anchor="end">median</text>',
        f'<text class="small" x="{TARGET}" y="{TOP - 8}" text-anchor="end">must reach</text>',
    ]
    for number, found in enumerate(figures):
        out += _bar(found, TOP + ROW * number, number)
    bottom = TOP + ROW * len(figures)
    out.append(f'<line class="target" x1="{target}" x2="{target}" y1="{TOP - 2}" y2="{bottom + 2}"/>')
    told = f"{about['processor']}, {about['cores']} cores, {about['kernel']}, {about['python']}, {about['file_system']}"
    notes = ("Shorter is better. Thin lines: from the first to the third quartile of all rounds.", told)
    for line, note in enumerate(notes):
        out.append(f'<text class="small" x="16" y="{bottom + 20 + 15 * line}">{escape(note)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _bar(found: Mapping[str, Any], top: int, number: int) -> list[str]:
    def place(value: float) -> float:
        reached: float = value / found["must_reach"]
        return round(LEFT + min(reached, SCALE) * BAR / SCALE, 1)

    unit, middle = str(found["unit"]), top + ROW / 2
    kind = "in" if found["reached"] else "over"
    text = middle + 4.5
    band = f'<rect class="band" x="8" y="{top}" width="{WIDTH - 16}" height="{ROW}" rx="3"/>'
    low, high = place(found["quartile1"]), place(found["quartile3"])
    width = round(place(found["median"]) - LEFT, 1)
    return [
        *([band] if number % 2 == 0 else []),
        f'<text x="{LEFT - 10}" y="{text}" text-anchor="end">{escape(found["what"])}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{top + 6}" width="{width}" height="{ROW - 12}" rx="2"/>',
        f'<line class="spread" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>',
        f'<text x="{VALUE}" y="{text}" text-anchor="end">{_number(found["median"], unit)} {unit}</text>',
        f'<text x="{TARGET}" y="{text}" text-anchor="end">{_number(found["must_reach"], unit)} {unit}</text>',
    ]
