"""Notifications that wait: a sender who was told often enough in this hour is told of the rest in one mail.

One small file in the store has, of each sender of the last hour, how many mails he got and what is held back from him.
Its time of modification is when something in it is due, so that a message that passes needs no more than stat(2) to
know that nothing is. What is held back is forgotten only when it has been sent, or has expired; a power cut may lose
the file, and with it news, no mail. Whatever goes wrong here raises OSError or ValueError, and then the sender is told
at once.
"""

import json
import os
import time
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock

from pfilter.base.durable import PRIVATE_FILE
from pfilter.store.record import Download, Link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    # sender: {"since", "sent": mails, "to": address, "due", "held": [[subject, url, until, [[name, size], ...]], ...]}
    State = dict[str, dict[str, Any]]

HOUR = 3600
RETRY = 600  # seconds until what could not be sent is tried again
FOLD = 100  # messages that one mail tells of, at most
ITEM_LIMIT = 16384  # octets of what is held back of one message; who sends more files is told at once
STATE_LIMIT = 1 << 20  # octets of the file
NOTHING_DUE = 365 * 86400  # seconds from now: when the file is looked into if nothing is held back
LOCK_TRIES = 20
LOCK_PAUSE = 0.05  # seconds


def admit(path: str, key: str, to: str, subject: str, download: Download, limit: int, now: float) -> bool:
    """Return whether a sender may be told now; else it is held back. Raises OSError, ValueError."""
    item = [subject, download.url, download.until, [[link.name, link.size] for link in download.links]]
    with _opened(path, now) as state:
        entry = state.get(key)
        if entry is None or not 0 <= now - entry["since"] < HOUR:
            entry = state[key] = {"since": now, "sent": 0, "held": entry["held"] if entry else []}
            entry["due"] = now
        entry["to"] = to
        if entry["sent"] < limit or len(json.dumps(item)) > ITEM_LIMIT:
            entry["sent"] += 1
            return True
        if not entry["held"]:
            entry["due"] = entry["since"] + HOUR
        entry["held"].append(item)
        if len(entry["held"]) == FOLD:
            entry["due"] = now
        return False


def take(path: str, now: float) -> "tuple[str, str, list[tuple[str, Download]]] | None":
    """Return what is due to one sender: his key, his address, subjects and downloads. Raises OSError, ValueError.

    Until `sent` says so it is not forgotten, and if it does not it is due again in a while.
    """
    with _opened(path, now) as state:
        for key, entry in state.items():
            if entry["held"] and entry["due"] <= now:
                entry["due"] = now + RETRY
                return key, entry["to"], [(item[0], _download(item)) for item in entry["held"][:FOLD]]
    return None


def sent(path: str, key: str, count: int, now: float) -> None:
    """Forget the first messages that were held back from a sender: he knows. Raises OSError, ValueError."""
    with _opened(path, now) as state:
        entry = state.get(key)
        if entry:
            del entry["held"][:count]
            entry["due"] = now if len(entry["held"]) >= FOLD else entry["since"] + HOUR


def _download(item: "list[Any]") -> Download:
    links = tuple(Link(name=name, size=size, sha256="", url="") for name, size in item[3])
    return Download(id="", url=item[1], links=links, until=item[2])


@contextmanager
def _opened(path: str, now: float) -> "Iterator[State]":
    """Give what the file holds, under a lock; then write it anew, whole or not at all."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        _lock(lock)
        state = _read(path, now)
        yield state
        _write(path, state, now)
    finally:
        os.close(lock)


def _lock(fd: int) -> None:
    """Lock a file, waiting a second at most: each is one in which a crash doubles a message. Raises OSError."""
    for _ in range(LOCK_TRIES):
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE)
        else:
            return
    flock(fd, LOCK_EX | LOCK_NB)


def _read(path: str, now: float) -> "State":
    """Return what is held back and not yet expired; nothing where the file is missing or damaged."""
    state: State = {}
    try:
        with open(path, "rb") as stream:
            kept = json.loads(stream.read(2 * STATE_LIMIT))
        for key, entry in kept.items():
            held = [item for item in entry["held"] if item[2] > now]
            if held or 0 <= now - entry["since"] < HOUR:
                state[key] = {name: entry[name] for name in ("since", "sent", "to", "due")} | {"held": held}
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return state


def _write(path: str, state: "State", now: float) -> None:
    data = json.dumps(state, separators=(",", ":")).encode("ascii")
    if len(data) > STATE_LIMIT:
        raise ValueError("too many senders to hold back their notifications")
    due = min((entry["due"] for entry in state.values() if entry["held"]), default=now + NOTHING_DUE)
    fresh = f"{path}.new"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        if os.write(fd, data) != len(data):
            raise OSError("no room")
        os.utime(fd, (now, due))
    finally:
        os.close(fd)
    os.rename(fresh, path)
