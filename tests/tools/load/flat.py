"""Memory and descriptors of processes that take hundreds of messages: over the run, and over each one's life."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from tests.tools.bench.report import STYLE

Held = tuple[float, int, int, int]  # when, process, octets resident, descriptors

TENTHS = 10
MEMORY_LIMIT = 40_000_000  # octets
GROWTH = 1.05  # of a process's memory, from a tenth of its life on
LEAST = 50  # samples of a process, to say anything about its life
WIDTH, HEIGHT, LEFT, TOP = 800, 260, 60, 50  # of the plot, in pixels


def tenths(held: Sequence[Held]) -> list[list[Held]]:
    """Return the samples of each tenth of the run."""
    found: list[list[Held]] = [[] for _ in range(TENTHS)]
    start, end = held[0][0], held[-1][0] + 0.001
    for one in held:
        found[int((one[0] - start) / (end - start) * TENTHS)].append(one)
    return found


def table(held: Sequence[Held]) -> str:
    """Return what processes held, a line for each tenth of the run."""
    if not held:
        return "no process was seen"
    lines = ["seconds        processes  resident MB: least  median   most  descriptors: least  most"]
    for some in filter(None, tenths(held)):
        memory = [one[2] / 1e6 for one in some]
        count = len({one[1] for one in some})
        times = f"{some[0][0] - held[0][0]:5.0f} .. {some[-1][0] - held[0][0]:5.0f}"
        fds = [one[3] for one in some]
        lines.append(
            f"{times}  {count:9}  {min(memory):18.1f}  {statistics.median(memory):6.1f}  {max(memory):5.1f}"
            f"  {min(fds):18}  {max(fds):4}"
        )
    return "\n".join(lines)


def violations(held: Sequence[Held]) -> list[str]:
    """Say which processes grew with the messages that they had."""
    lives: dict[int, list[Held]] = defaultdict(list)
    for one in held:
        lives[one[1]].append(one)
    found = [] if held else ["no process was seen"]
    for pid, life in lives.items():
        most = max(one[2] for one in life)
        if most > MEMORY_LIMIT:
            found.append(f"process {pid}: {most / 1e6:.1f} MB")
        if len(life) < LEAST:
            continue
        tenth = len(life) // TENTHS
        young, old = life[tenth : 2 * tenth], life[-tenth:]
        before, after = (statistics.median(one[2] for one in some) for some in (young, old))
        if after > GROWTH * before:
            found.append(f"process {pid} grows: {before / 1e6:.1f} MB, at its end {after / 1e6:.1f}")
        before, after = (min(one[3] for one in some) for some in (young, old))
        if after > before:
            found.append(f"process {pid}: {before} descriptors, at its end {after}")
    return found


def plot(held: Sequence[Held]) -> str:
    """Return resident memory over time, a line for each process."""
    lives: dict[int, list[Held]] = defaultdict(list)
    for one in held:
        lives[one[1]].append(one)
    start, end = (held[0][0], held[-1][0]) if held else (0.0, 1.0)
    wide, high = WIDTH - LEFT - 20, HEIGHT - TOP - 40

    def across(when: float) -> float:
        return round(LEFT + wide * (when - start) / max(end - start, 0.001), 1)

    def up(octets: float) -> float:
        return round(TOP + high * (1 - octets / (1.1 * MEMORY_LIMIT)), 1)

    title = f"Resident memory of {len(lives)} processes of pfilter-lmtp, one after the other"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text id="title" class="title" x="16" y="26">{title}</text>',
    ]
    for megabytes in (0, 10, 20, 30, 40):
        kind, opacity = ("target", 1) if megabytes == 40 else ("spread", 0.15)
        y = up(megabytes * 1e6)
        out += [
            f'<line class="{kind}" opacity="{opacity}" x1="{LEFT}" x2="{LEFT + wide}" y1="{y}" y2="{y}"/>',
            f'<text class="small" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{megabytes} MB</text>',
        ]
    for life in lives.values():
        points = " ".join(f"{across(one[0])},{up(one[2])}" for one in life[:: max(1, len(life) // 60)])
        out.append(f'<polyline class="spread" fill="none" points="{points}"/>')
    out.append(f'<text class="small" x="{LEFT}" y="{HEIGHT - 14}">0</text>')
    out.append(
        f'<text class="small" x="{LEFT + wide}" y="{HEIGHT - 14}" text-anchor="end">{end - start:.0f} seconds</text>'
    )
    return "\n".join([*out, "</svg>", ""])
