"""Whole messages that are kept: the quarantine (not delivered) and the trouble folder (delivered without attachments).

    quarantine/<name>.eml, trouble/<name>.eml     the message as it was received
    quarantine/<name>.json, trouble/<name>.json   envelope and reason, written first

A name is TIME-QUEUE-DIGEST, of content and envelope: the same message tried again is the same file.
Nothing of it is ever in a place that a web server reads.
"""

import json
import os
import re

from pfilter.base import durable
from pfilter.base.errors import StoreError
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.message import field_values, header
from pfilter.message.model import Envelope
from pfilter.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUARANTINE = layout.QUARANTINE
TROUBLE = layout.TROUBLE
FOLDERS = layout.KEPT
LEAST_WORD = 4  # characters
HEAD = 1 << 20  # octets of a header that are searched
STRAY_AGE = 86400  # seconds; the message may be on its way
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9A-Za-z]+-[0-9a-f]{16}")


class KeptMessage(Frozen):
    """One kept message. `created` in seconds since the epoch; `reason` in words."""

    folder: str
    name: str
    created: int
    size: int
    reason: str
    envelope: Envelope


def keep(root: str, folder: str, spool: Spool, envelope: Envelope, reason: str, now: float) -> str:
    """Keep a message, once however often it is tried; return its name. Raises OSError, StoreError."""
    from hashlib import sha256
    from time import gmtime, strftime

    if not os.path.isdir(root):
        raise StoreError(f"store {root} does not exist")
    place = os.path.join(root, folder)
    durable.make_directory(place, durable.PRIVATE_DIR)
    state = sha256()
    for chunk in spool.lf_windows(0, spool.size):  # by whichever door it comes when it is tried again
        state.update(chunk)
    # Postfix hands a message over in several runs where it has many recipients: each keeps its own.
    for address in (envelope.sender, *envelope.recipients):
        state.update(len(address).to_bytes(4, "big") + address)
    queue = "".join(c for c in envelope.queue_id if c.isalnum() and c.isascii()) or "shell"
    ending = f"-{queue}-{state.hexdigest()[:16]}"
    for name in os.listdir(place):
        if name.endswith(f"{ending}.eml") and not name.startswith(durable.TEMPORARY_PREFIX):
            durable.sync_directory(place)  # the try that wrote it may have been killed before it could
            return name.removesuffix(".eml")
    name = strftime("%Y%m%dT%H%M%SZ", gmtime(now)) + ending
    about = {
        "created": int(now),
        "reason": reason,
        "sender": os.fsdecode(envelope.sender),
        "recipients": [os.fsdecode(address) for address in envelope.recipients],
        "queue_id": envelope.queue_id,
        "client": envelope.client,
        "helo": envelope.helo,
        "sasl_user": envelope.sasl_user,
    }
    told = json.dumps(about, indent=1).encode("ascii") + b"\n"
    durable.write_file(os.path.join(place, f"{name}.json"), told, durable.PRIVATE_FILE)
    durable.copy_spool(spool, os.path.join(place, f"{name}.eml"), durable.PRIVATE_FILE)
    return name


def entries(root: str) -> list[KeptMessage]:
    """Return all kept messages, oldest first. Raises OSError."""
    found = []
    for folder in FOLDERS:
        for file in durable.names(os.path.join(root, folder)):
            name = file.removesuffix(".eml")
            if file.endswith(".eml") and _NAME.fullmatch(name):
                try:
                    found.append(_read(root, folder, name))
                except FileNotFoundError:
                    continue  # released or expired meanwhile
    return sorted(found, key=lambda held: (held.created, held.name))


def find(root: str, given: str) -> KeptMessage:
    """Return the message of that name, or of which all words given are a part of the name or the Message-ID.

    The notice in a message without a sender names its Message-ID and its queue id. Raises StoreError, OSError.
    """
    words = given.split()
    found = [held for held in entries(root) if words and all(_is_meant(root, held, word) for word in words)]
    exact = [held for held in found if held.name == given]
    if len(found) != 1 and len(exact) != 1:
        several = "is more than one message: " + ", ".join(held.name for held in found[:5])
        reason = several if found else "is not a message kept here"
        raise StoreError(f"{given!r} {reason}; `pfilter quarantine list` shows the names")
    return (exact or found)[0]


def _is_meant(root: str, held: KeptMessage, word: str) -> bool:
    if "@" not in word:
        return len(word) >= LEAST_WORD and word in held.name
    try:
        spool = content(root, held)
    except FileNotFoundError:
        return False  # released or expired meanwhile
    block = header.read_block(spool, 0, spool.size, HEAD, lambda _: False)
    ids = [field_values.unfold(field.value).strip() for field in block.fields if field.name == b"message-id"]
    return os.fsencode(word).strip(b"<>") in [value.strip(b"<>") for value in ids]


def content(root: str, held: KeptMessage) -> Spool:
    """Open a kept message. Raises OSError."""
    fd = os.open(_path(root, held, ".eml"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    return Spool(fd, os.fstat(fd).st_size)


def remove(root: str, held: KeptMessage) -> None:
    """Remove a kept message for good; the message before what is known of it. Raises OSError."""
    for ending in (".eml", ".json"):
        try:
            os.unlink(_path(root, held, ending))
        except FileNotFoundError:
            continue
    durable.sync_directory(os.path.join(root, held.folder))


def expire(root: str, now: float, keep_seconds: int, *, dry_run: bool = False) -> list[KeptMessage]:
    """Remove kept messages that are older, and return them. Raises OSError."""
    old = [held for held in entries(root) if held.created + keep_seconds <= now]
    for held in old if not dry_run else ():
        remove(root, held)
    if not dry_run:
        _remove_strays(root, now)
    return old


def lock(root: str) -> str:
    """Return the path of the lock that releasing takes."""
    return os.path.join(root, QUARANTINE, ".lock")


def _remove_strays(root: str, now: float) -> None:
    """Remove what was written about a message that a crash kept from coming."""
    for folder in FOLDERS:
        names = set(durable.names(os.path.join(root, folder)))
        for name in names:
            base = name.removesuffix(".json")
            path = os.path.join(root, folder, name)
            alone = name.endswith(".json") and _NAME.fullmatch(base) and f"{base}.eml" not in names
            if alone and os.path.getmtime(path) + STRAY_AGE < now:
                os.unlink(path)


def _read(root: str, folder: str, name: str) -> KeptMessage:
    from calendar import timegm
    from time import strptime

    size = os.stat(os.path.join(root, folder, f"{name}.eml")).st_size
    values: dict[str, Any] = {}
    try:
        with open(os.path.join(root, folder, f"{name}.json"), "rb") as stream:
            values = json.load(stream)
        envelope = Envelope(
            sender=os.fsencode(values["sender"]),
            recipients=tuple(os.fsencode(address) for address in values["recipients"]),
            queue_id=str(values["queue_id"]),
            client=str(values["client"]),
            helo=str(values["helo"]),
            sasl_user=str(values["sasl_user"]),
        )
        reason = str(values["reason"])
        created = int(values["created"])
    except (OSError, ValueError, KeyError, TypeError):
        # Kept by an earlier version, or damaged: the message itself is what counts.
        envelope = Envelope(sender=b"", recipients=())
        reason = "nothing is known about it but its content"
        created = timegm(strptime(name[:16], "%Y%m%dT%H%M%SZ"))
    return KeptMessage(folder=folder, name=name, created=created, size=size, reason=reason, envelope=envelope)


def _path(root: str, held: KeptMessage, ending: str) -> str:
    return os.path.join(root, held.folder, held.name + ending)
