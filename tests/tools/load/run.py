"""The load test: send all, wait until all is through, account for every message."""

import http.client
import json
import os
import queue
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.client import Client, RefusedError
from tests.e2e.installed import Venv
from tests.tools.load import flat
from tests.tools.load.arrivals import Arrivals
from tests.tools.load.beside import Beside, Cleaner, Killer, Sampler
from tests.tools.load.mix import Mix, Sent
from tests.tools.load.place import BRIEF_KEEP, Place, sizes

SESSIONS = 20  # more than there are filters, which are to be busy
PER_CONNECTION = 50  # messages
STALLED = 120.0  # seconds without an arrival after which the rest is given up
FLUSH = 10.0  # seconds between two pushes at what waits in the queue
QUIET = 0.97  # of the messages: when so many have arrived, nothing is killed any more
MEMORY_LIMIT = 40_000_000  # octets of one process
COMPARABLE = 1000  # messages; of fewer, too few processes are seen
MEMORY_GROWTH = 1.15  # last tenth of the run against the first


class Settings(NamedTuple):
    """What to do."""

    messages: int = 10_000
    layout: str = "smtp"
    kills_per_second: float = 2.0
    seed: int = 1
    first_port: int = 25000
    limit: float = 3600.0  # seconds until the rest is given up
    small: bool = False  # texts alone, and nothing beside them: what do processes come to hold?


class Report(NamedTuple):
    """What came of it: figures by name, each thing that must not be, and what processes held over time."""

    figures: dict[str, Any]
    violations: list[str]
    held: list[tuple[float, int, int, int]]


def load(settings: Settings, folder: Path, venv: Venv) -> Report:
    """Run it all in a folder that the filter's user can enter. Raises AssertionError, OSError: it can't be set up."""
    with ExitStack() as exits:
        place = Place(folder, settings.layout, settings.first_port, venv)
        exits.callback(place.close)
        return _Load(settings, place, exits).run()


class Sender:
    """Sends all messages over several sessions at once."""

    def __init__(self, mix: Mix, sent: dict[int, Sent], place: Place) -> None:
        self._mix = mix
        self._sent = sent
        self._place = place
        self._numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(mix)):
            self._numbers.put(number)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._session) for _ in range(SESSIONS)]
        self.problems: list[str] = []

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to send."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def _session(self) -> None:
        try:
            while not self._numbers.empty() and not self._stop.is_set():
                with Client(self._place.port) as client, Client(self._place.brief_port) as brief:
                    for one in (client, brief):
                        one.command("EHLO client.example.org")
                    for _ in range(PER_CONNECTION):
                        if self._stop.is_set():
                            break
                        self._send(client, brief, self._numbers.get_nowait())
                    for one in (client, brief):
                        one.command("QUIT")
        except queue.Empty:
            return
        except (OSError, RefusedError) as error:
            self.problems.append(f"not taken by Postfix: {type(error).__name__}: {error}")

    def _send(self, client: Client, brief: Client, number: int) -> None:
        sent, octets = self._mix.make(number)
        self._sent[number] = sent
        chosen = brief if sent.kind.fate == "brief" else client
        chosen.command(f"MAIL FROM:<{sent.sender}>")
        for recipient in sent.recipients:
            chosen.command(f"RCPT TO:<{recipient}>")
        said = chosen.data(octets)
        if not (found := re.search(r"queued as (\w+)", said)):
            raise RefusedError(said)
        sent.queue_id = found[1]


class _Load:
    """One run."""

    def __init__(self, settings: Settings, place: Place, exits: ExitStack) -> None:
        self.settings = settings
        self.place = place
        self.sent: dict[int, Sent] = {}
        self.mix = Mix(settings.messages, settings.seed, small=settings.small)
        self.arrivals = Arrivals(place, self.sent)
        exits.callback(self.arrivals.web.finish)
        self.cleaner = Cleaner(place)
        self.killer = Killer(place, self.cleaner, settings.kills_per_second, settings.seed)
        self.sampler = Sampler(place)
        self.sender = Sender(self.mix, self.sent, place)
        disturb: list[Beside] = [] if settings.small else [self.cleaner, self.killer]
        self.beside = [self.arrivals, self.sampler, *disturb]
        for one in self.beside:
            exits.callback(one.stop)
        exits.callback(self.sender.stop)
        self.violations: list[str] = []
        self.figures: dict[str, Any] = {}

    def run(self) -> Report:
        began = time.monotonic()
        for one in self.beside:
            one.start()
        self.sender.start()
        settled = self._wait()
        seconds = time.monotonic() - began
        for one in (self.killer, self.cleaner, self.sampler, self.arrivals):
            one.stop()
        self.arrivals.step()
        self.figures = {
            "layout": self.settings.layout,
            "web server": self.place.server,
            "mix": dict(Counter(kind.name for kind in self.mix.kinds)),
            "seconds": round(seconds, 1),
            "messages per second": round(len(self.arrivals.copies) / seconds, 1),
        }
        self._account(settled)
        self._attempts()
        self._memory(began, seconds)
        if self.settings.small:
            self.violations += flat.violations(self.sampler.held)
        else:
            self._links()
            self._clean_up()
        for one in self.beside:
            self.violations += one.problems
        self.violations += self.sender.problems
        return Report(self.figures, self.violations, self.sampler.held)

    def _wait(self) -> bool:
        """Wait until all has arrived and the queue is empty; whether it came to that."""
        end = time.monotonic() + self.settings.limit
        pause = 0.2 if len(self.mix) < 1000 else 1.0
        seen, last, flushed = -1, time.monotonic(), time.monotonic()
        while time.monotonic() < end:
            time.sleep(pause)
            arrived = len(self.arrivals.copies)
            if arrived >= QUIET * len(self.mix) and self.sender.is_done:
                self.killer.stop()  # else the last large ones would be killed again and again
            if self.sender.is_done and self.place.is_settled():
                return True
            now = time.monotonic()
            if arrived != seen:
                seen, last = arrived, now
            if now - last > STALLED:
                return False
            if self.sender.is_done and now - flushed > FLUSH:
                self.place.instance.run("postqueue", "-f")
                flushed = now
            _progress(f"{len(self.sent)} sent, {arrived} arrived, {len(self.killer.kills)} killed")
        return False

    def _account(self, settled: bool) -> None:
        taken = {number: sent for number, sent in self.sent.items() if sent.queue_id}
        copies = self.arrivals.copies
        kills = Counter(kill.queue_id for kill in self.killer.kills)
        if self.place.is_lmtp:
            kills = self._cut_off()
        lost = sorted(taken.keys() - copies.keys())
        waiting = [] if settled else self.place.queue()
        altered = [f"message {n}: {copy.problem}" for n, all_of in copies.items() for copy in all_of if copy.problem]
        doubled = {number: all_of for number, all_of in copies.items() if len(all_of) > 1}
        beyond = []
        for number, all_of in copies.items():
            sent = self.sent[number]
            if len(all_of) - 1 > kills[sent.queue_id]:
                beyond.append(f"message {number}: {len(all_of)} times, and killed {kills[sent.queue_id]} times")
            if len({copy.download for copy in all_of}) > 1:
                beyond.append(f"message {number}: twice with different links")
            if any(list(copy.recipients) != sorted(sent.recipients) for copy in all_of):
                altered.append(f"message {number}: for {[copy.recipients for copy in all_of]}")
        many = [number for number, told in self.arrivals.notices.items() if told > len(copies.get(number, ()))]
        self.figures |= {
            "in": len(taken),
            "octets in": sum(sent.size for sent in taken.values()),
            "out": len(copies),
            "lost": len([number for number in lost if taken[number].queue_id not in waiting]),
            "still in the queue": len(waiting),
            "left by a killed postdrop": len(self.place.unfinished()),
            "not as they should be": len(altered),
            "doubled in the window, same link": len(doubled) - len({text.partition(":")[0] for text in beyond}),
            "doubled beyond it": len(beyond),
            "senders notified": sum(self.arrivals.notices.values()),
            "bounces and the like": len(self.arrivals.strange),
        }
        self.violations += [f"message {n}, {taken[n].kind.name}, {taken[n].queue_id}: lost, or waiting" for n in lost]
        self.violations += [f"still in the queue: {name}" for name in waiting]
        self.violations += [*altered, *beyond, *self.arrivals.strange]
        self.violations += [f"message {number}: more notifications than copies" for number in many]
        if len(taken) != len(self.mix):
            self.violations.append(f"only {len(taken)} of {len(self.mix)} messages went in")
        self._kills(doubled.keys())

    def _kills(self, doubled: Iterable[int]) -> None:
        """Tell what was killed, and which kills had a message arrive twice."""
        kills = self.killer.kills
        told = Counter(kill.what for kill in kills)
        self.figures["kills"] = {"total": len(kills), **dict(told.most_common())}
        self.figures["killed while reinjecting"] = sum(kill.reinjecting for kill in kills)
        if self.place.is_lmtp:
            cut = sum(self._cut_off().values())
            self.figures["messages put off by a kill"] = cut
            if cut > len(kills):
                self.violations.append(f"{len(kills)} kills, but {cut} connections lost")
        ids = {self.sent[number].queue_id for number in doubled}
        hit = Counter(
            f"{kill.what}, {'reinjecting' if kill.reinjecting else 'not reinjecting'}"
            for kill in kills
            if kill.queue_id in ids
        )
        self.figures["kills of doubled messages"] = dict(hit.most_common())
        kinds = {sent.queue_id: sent.kind.name for sent in self.sent.values()}
        every = Counter(kinds[kill.queue_id] for kill in kills if kill.queue_id in kinds)
        twice = Counter(kinds[queue_id] for queue_id in ids)
        self.figures["kills that doubled, by kind"] = {
            kind: f"{twice[kind]} of {count}" for kind, count in every.most_common()
        }

    def _cut_off(self) -> Counter[str]:
        """Count for each message how often lmtp(8) lost the connection that it was on, as by kill -9 it does."""
        line = re.compile(r"postfix/lmtp\[\d+\]: (\w+): to=.* status=deferred \(lost connection with ")
        found = Counter(found[1] for text in self.place.instance.log().splitlines() if (found := line.search(text)))
        recipients = {sent.queue_id: len(sent.recipients) for sent in self.sent.values()}
        return Counter({name: count // recipients.get(name, 1) for name, count in found.items()})

    def _attempts(self) -> None:
        """Count the attempts that failed, by what pipe(8) or lmtp(8) says of them."""
        relay = r"(?:pfilter|brief|none|\S+\[private/(?:pfilter|brief)-in\])"
        line = re.compile(rf"postfix/(?:pipe|lmtp)\[\d+\]: (\w+): to=.* relay={relay}, .* status=(\w+) \((.*)\)$")
        lines: Counter[tuple[str, str]] = Counter()
        for text in self.place.instance.log().splitlines():
            if (found := line.search(text)) and found[2] != "sent":
                reason = re.sub(r'"[^"]*"|\S*/\S*|\d{4,}', "..", found[3])[:60]
                lines[found[1], f"{found[2]}: {reason}"] += 1
        recipients = {sent.queue_id: len(sent.recipients) for sent in self.sent.values()}
        told: Counter[str] = Counter()
        for (queue_id, reason), count in lines.items():
            told[reason] += count // recipients.get(queue_id, 1)  # one line for each recipient
        self.figures["attempts that failed"] = dict(told.most_common(12))

    def _memory(self, began: float, seconds: float) -> None:
        """Compare the peak of processes at the start and at the end of the run."""
        busy = self.sampler.at_once
        self.figures["filters at once"] = {
            "most": max(busy, default=0),
            "mean": round(sum(busy) / max(1, len(busy)), 1),
        }
        first, many_first = self.sampler.peak(began, began + 0.1 * seconds)
        last, many_last = self.sampler.peak(began + 0.9 * seconds, began + seconds)
        self.figures["memory at start"] = {"peak MB": round(first / 1e6, 1), "samples": many_first}
        self.figures["memory at end"] = {"peak MB": round(last / 1e6, 1), "samples": many_last}
        if len(self.mix) < COMPARABLE:
            pass
        elif not first or not last:
            self.violations.append("memory: nothing was seen at the start, or at the end")
        elif last > MEMORY_GROWTH * first:
            self.violations.append(f"memory grows: {first} octets at the start, {last} at the end")
        if (most := self.sampler.peak(0, time.monotonic())[0]) > MEMORY_LIMIT:
            self.violations.append(f"memory: {most} octets in one process")

    def _links(self) -> None:
        """Try all links once more: all were promised for a week, and clean-up has run all the time."""
        web = self.arrivals.web
        links = [(sent, download) for sent, download in self.arrivals.links("link")]
        for sent, download in links:
            web.later(sent, download)
        web.finish()
        self.figures["links"] = {
            "tried": web.tried,
            "failed": len(web.failed),
            "wrong octets": len(web.wrong),
            "octets read": web.octets,
        }
        self.violations += [*web.failed, *web.wrong]
        if not links:
            self.violations.append("no link was tried")

    def _clean_up(self) -> None:
        """Look that short links are gone, and that nothing is left when all have expired."""
        brief = [download for _, download in self.arrivals.links("brief")]
        time.sleep(BRIEF_KEEP + 1)
        self.cleaner.step()
        try:
            open_still = [download for download in brief if not self.arrivals.web.gone(download)]
        except (OSError, http.client.HTTPException) as error:
            open_still = [f"web server: {error}"]
        self.figures["expire"] = {
            "runs": self.cleaner.runs,
            "killed": self.cleaner.killed,
            "downloads removed": self.cleaner.removed,
            "short links": len(brief),
            "still open": len(open_still),
        }
        self.violations += [f"link {download[:8]} is open after its date" for download in open_still]
        if not self.cleaner.removed:
            self.violations.append("expire had nothing to remove")
        before = sizes(self.place.store)
        removed = self.cleaner.removed
        self._age()
        self.cleaner.step()
        after = sizes(self.place.store)
        left = [path for path in self._files() if not self._may_stay(path)]
        self.figures["store before"] = {"files": before[0], "MB": round(before[1] / 1e6, 1)}
        self.figures["store after all has expired"] = {
            "files": after[0],
            "MB": round(after[1] / 1e6, 1),
            "downloads removed": self.cleaner.removed - removed,
            "left that should not be": len(left),
        }
        self.violations += [f"left in the store: {path}" for path in left]
        self._originals()

    def _age(self) -> None:
        """Make all that is stored look as if it had expired long ago."""
        past = time.time() - 10 * 86400
        for path in (self.place.store / "records").glob("*.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "until": int(past)}))  # its owner stays
        for path in [*(self.place.store / "blobs").rglob("*"), *self.place.store.rglob(".tmp-*")]:
            os.utime(path, (past, past))
        for path in (self.place.store / "tmp").glob("*"):
            os.utime(path, (past, past))

    def _files(self) -> Iterator[Path]:
        store = self.place.store
        return (path.relative_to(store) for path in store.rglob("*") if not path.is_dir())

    @staticmethod
    def _may_stay(path: Path) -> bool:
        """Whether a file is no download: the key, what else pfilter keeps of its own, locks, originals."""
        return str(path) in ("secret", "config.cache", "usage", "downloads/expired.html") or path.parts[0] in (
            "locks",
            "trouble",
        )

    def _originals(self) -> None:
        """Look that each message which lost its attachments is kept, once, whole."""
        kept = [path.read_bytes() for path in (self.place.store / "trouble").glob("*.eml")]
        names = Counter(found[1] for data in kept if (found := re.search(rb"(?m)^Subject: Load (\d{6})", data)))
        wanted = [
            sent for sent in self.sent.values() if sent.kind.fate == "strip" and sent.number in self.arrivals.copies
        ]
        self.figures["originals kept"] = len(kept)
        for sent in wanted:
            if names[b"%06d" % sent.number] != 1:
                self.violations.append(f"message {sent.number}: {names[b'%06d' % sent.number]} originals kept")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
