"""Coverage-guided fuzzing: by atheris where it is installed, else by a loop of our own, which is far slower."""

import hashlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tests.tools.fuzz import bounds, coverage, lmtp

LONGEST = 1 << 16  # octets of an input
SLICES = (0, 1, 2, 4, 8, 20, 80)
WORDS = (
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b" ", b"\t", b"\xff", b"\xc3\xa9", b"=", b"==", b"=\n", b"=3D"),
    *(b"--", b"\n--b\n", b"\n--b--\n", b";", b":", b'"', b"\\", b"(", b")", b"<!--", b"-->", b"</body>", b"<script>"),
    *(b"Content-Type: ", b"multipart/mixed", b"message/rfc822", b"multipart/digest", b"text/html", b"text/plain"),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"8bit", b"Content-Disposition: ", b"attachment"),
    *(b"; boundary=b", b"; charset=utf-8", b"; name=", b"; filename*0*=utf-8''", b"; filename=", b"=?utf-8?b?"),
    *(b"\x1b$B", b"\x1b(B", b"From ", b"</"),
    *(b"LHLO x\r\n", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA\r\n", b"RSET\r\n", b"XFORWARD ADDR=", b"QUIT\r\n"),
    *(b"\r\n.\r\n", b"\n.\n", b"\r\n..", b" SIZE=", b" RET=FULL", b" NOTIFY=NEVER", b" ORCPT=rfc822;a", b" ENVID="),
)


class Report(NamedTuple):
    """What fuzzing one target came to."""

    target: str
    engine: str
    executions: int
    seconds: float
    found: list[Path]
    covered: dict[str, tuple[int, int]]


class Keeper:
    """Runs inputs, counts them, and writes what fails into a folder, one file for each kind of failure."""

    def __init__(self, name: str, run: "Callable[[bytes], object]", folder: Path) -> None:
        self.name, self.run, self.folder = name, run, folder
        self.executions = 0
        self.found: dict[str, Path] = {}

    def __call__(self, data: bytes) -> None:
        """Run one input."""
        self.executions += 1
        try:
            bounds.within(self.run, data)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            self.keep(data, error)

    def keep(self, data: bytes, error: Exception) -> None:
        """Write an input that failed, if it is the first that fails here."""
        frames = traceback.extract_tb(error.__traceback__)
        where = ";".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[-4:]) + type(error).__name__
        if where in self.found:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name}-{hashlib.sha256(where.encode()).hexdigest()[:10]}"
        path = self.found[where] = self.folder / f"{stem}.bin"
        path.write_bytes(data)
        (self.folder / f"{stem}.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        print(f"{self.name}: {type(error).__name__}: {str(error)[:150]!r} -> {path}", file=sys.stderr, flush=True)


def seeds(name: str, folders: "Iterable[Path]") -> "list[bytes]":
    """Return what to start from: messages, and their pieces for what takes no message."""
    if name == "lmtp":
        return lmtp.SEEDS
    found = [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [data for data in found if len(data) <= LONGEST]
    if name in ("scan", "edit"):
        return found
    pieces = {data.partition(b"\n\n")[0 if name in ("header", "names") else 2][:4000] for data in found}
    return [b"\0\1\4\0" + piece if name == "body" else piece for piece in sorted(pieces) if piece][:400]


def own(keeper: Keeper, start: "list[bytes]", seconds: float) -> Report:
    """Mutate inputs that reached new edges, until time is up."""
    rng = random.Random(0)
    corpus: list[bytes] = []
    reached: set[tuple[str, int, int]] = set()
    began = time.monotonic()
    waiting = list(start)
    while time.monotonic() < began + seconds:
        data = waiting.pop() if waiting else mutated(rng, corpus or [b""])
        try:
            new = coverage.edges(keeper, data) - reached
        finally:
            sys.settrace(None)
        if new:
            reached |= new
            corpus.append(data)
    taken = time.monotonic() - began
    found = list(keeper.found.values())
    return Report(keeper.name, "own loop", keeper.executions, taken, found, coverage.covered(reached))


def mutated(rng: random.Random, corpus: "list[bytes]") -> bytes:
    """Return an input with pieces cut out, doubled, put in, or taken from another."""
    data = rng.choice(corpus)
    for _ in range(1 << rng.randrange(4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice(SLICES))
        other = rng.choice(corpus)
        cut = rng.randrange(len(other) + 1)
        new = rng.choice(
            (b"", data[start:end] * 2, rng.choice(WORDS), rng.randbytes(1), other[cut : cut + 40], data[start:end] * 50)
        )
        data = data[:start] + new + data[end:]
    return data[:LONGEST]


def guided(
    keeper: Keeper, start: "list[bytes]", seconds: float, folder: Path, done: "Callable[[Report], None]"
) -> None:
    """Let atheris mutate. It never returns, so the report is given to `done`, and then the process ends."""
    import atheris

    for number, data in enumerate(start):
        (folder / f"seed-{number}").write_bytes(data)
    words = folder.parent / "words"
    words.write_text("".join('"' + "".join(f"\\x{octet:02x}" for octet in word) + '"\n' for word in WORDS))
    began = time.monotonic()

    def one(data: bytes) -> None:
        keeper(data)
        taken = time.monotonic() - began
        if taken < seconds:
            return
        reached: set[tuple[str, int, int]] = set()
        for path in folder.iterdir():
            try:
                reached |= coverage.edges(keeper.run, path.read_bytes())
            except Exception:  # noqa: BLE001  # a finding, told already
                continue
        found = list(keeper.found.values())
        done(Report(keeper.name, "atheris", keeper.executions, taken, found, coverage.covered(reached)))
        os._exit(0)  # libFuzzer would do the same

    options = [f"-max_len={LONGEST}", f"-dict={words}", "-timeout=120", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(folder)], one)
    atheris.Fuzz()
