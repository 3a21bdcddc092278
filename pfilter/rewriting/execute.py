"""Carrying out a plan: files into the store, notices into bodies, edits into a finished result.

Nothing here sends anything. Whatever raises leaves the store with files that the next attempt finds, or that expire.
"""

import time

from pfilter.base import zipping
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.decision.plan import Action, Outcome, Plan
from pfilter.message import roles
from pfilter.message.model import Envelope, Message, Part, Range
from pfilter.message.scratch import Scratch
from pfilter.notices import texts
from pfilter.rewriting import parts, splice
from pfilter.rewriting.splice import Edit
from pfilter.rewriting.store_files import store_files
from pfilter.store import kept
from pfilter.store.quota import NoRoomError
from pfilter.store.record import Download
from pfilter.store.select import open_local, open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.base.scratch_file import ScratchFile
    from pfilter.config.settings import Place

# Multiparts in which a part added in front is shown along with the others (RFC 2046, 5.1.3: others count as mixed).
NOT_MIXED = (b"multipart/alternative", b"multipart/related", b"multipart/appledouble")


class Result(Frozen):
    """What a plan made of a message: the octets to send, what was done, the stored files if there are any."""

    spool: Spool
    outcome: Outcome
    download: Download | None = None
    original: str = ""  # name of the copy in the trouble folder
    no_room: bool = False


def carry_out(
    spool: Spool, message: Message, plan: Plan, envelope: Envelope, settings: Settings, scratch: Scratch
) -> Result:
    """Return the changed message. Raises StoreError, ConfigError (a template), InternalError, OSError."""
    try:
        return _carry_out(spool, message, plan, envelope, settings, scratch)
    except NoRoomError:
        if settings.store_on_full == "defer":
            raise
    # With its attachments, and no link: nothing was stored.
    return Result(spool=spool, outcome=Outcome(size_in=spool.lf_size, size_out=spool.lf_size), no_room=True)


def _carry_out(
    spool: Spool, message: Message, plan: Plan, envelope: Envelope, settings: Settings, scratch: Scratch
) -> Result:
    links, zips, strips = plan.chosen("link"), plan.chosen("zip"), plan.chosen("strip")
    here = sum(action.size for action in links) if not settings.store_url else 0  # octets on this machine
    here += spool.lf_size if strips else 0
    if here and not open_local(settings).has_room(here, settings.store_min_free, len(links)):
        raise NoRoomError(
            f"store {settings.store_path} would have less free space, or fewer inodes, than [store] min_free asks for"
        )
    download, said, original = None, None, ""
    if links:
        download = store_files(spool, message, links, envelope, settings, scratch, open_store(settings))
        said = texts.for_links(download, envelope.sender.decode("utf-8", "replace"), settings)
    if strips:
        original = kept.keep(settings.store_path, kept.TROUBLE, spool, envelope, "attachments taken off", time.time())
        said = texts.for_stripped([action.name for action in strips], _reference(message, envelope, original), settings)
    edits = list(_zip_edits(message, zips, scratch))
    if said:
        gone = {action.part for action in (*links, *strips, *plan.chosen("drop"))}
        edits += _removals(spool, message, gone, said, settings.notice_place, scratch.scratch_file)
    edits += _trace(message, settings)
    made = splice.apply(spool, edits, scratch.workspace)
    counts = Outcome(linked=len(links), zipped=len(zips), stripped=len(strips))
    outcome = counts.replace(size_in=spool.lf_size, size_out=made.lf_size)
    return Result(spool=made, outcome=outcome, download=download, original=original)


def _reference(message: Message, envelope: Envelope, original: str) -> str:
    """Return what a reader can tell the IT dept., and `pfilter quarantine show` finds: Message-ID and queue id."""
    return " ".join(known for known in (message.message_id, envelope.queue_id) if known) or original


def _zip_edits(message: Message, zips: "Sequence[Action]", scratch: Scratch) -> "list[Edit]":
    edits: list[Edit] = []
    for action in zips:
        part = message.parts[action.part]
        zipped = scratch.zips[action.part]
        edits += parts.replace_by_zip(message, part, zipped, action.name + zipping.ENDING, scratch.scratch_file)
    return edits


def _removals(
    spool: Spool, message: Message, gone: set[int], said: texts.Notice, place: "Place", scratch_file: "ScratchFile"
) -> "list[Edit]":
    """Return the edits that take parts out and tell about it."""
    emptied = _with_emptied(message, gone)
    if 0 in emptied:
        return parts.become_text(message, message.root, said.text)
    tops = [message.parts[number] for number in sorted(emptied) if message.parts[number].parent not in emptied]
    edits = {part.number: parts.remove(message, part) for part in tops}
    bodies = [part for part in roles.main_bodies(message) if part.number not in emptied]
    told = None
    if bodies:
        from pfilter.rewriting import placing

        told = placing.put_notice(spool, message, bodies, said, place, scratch_file)
    if told is None:
        told = []  # what stands in front is read beside either form: once is enough
        container = _container(message, tops)
        shown = _shown_by_related(message, tops[0])
        around = parts.put_text_before(spool, message, shown, said.text) if shown and not container else []
        if container:
            edits[container.number] = parts.add_text_part(message, container, said.text)
        elif shown and around and shown.number not in emptied:
            told = around
        else:
            edits[tops[0].number] = parts.replace_by_text(message, tops[0], said.text)
    return [*edits.values(), *told]


def _with_emptied(message: Message, gone: set[int]) -> set[int]:
    """Return the parts that are gone, with the multiparts that have nothing left."""
    emptied = set(gone)
    for part in reversed(message.parts):  # children come behind their parents
        if part.is_multipart and part.children and emptied.issuperset(part.children):
            emptied.add(part.number)
    return emptied


def _container(message: Message, removed: "Sequence[Part]") -> Part | None:
    """Return the outermost multipart around a removed part whose parts are shown one after the other."""
    around = [parent for part in removed for parent in message.ancestors(part) if parent.type not in NOT_MIXED]
    return min(around, key=lambda part: part.number, default=None)


def _shown_by_related(message: Message, removed: Part) -> Part | None:
    """Return what the outermost multipart/related around a removed part shows: its first part (RFC 2387, 3.2)."""
    around = [parent for parent in message.ancestors(removed) if parent.type == b"multipart/related"]
    return message.parts[around[-1].children[0]] if around else None


def _trace(message: Message, settings: Settings) -> "list[Edit]":
    if settings.trace_header == "off":
        return []
    from pfilter import __version__

    value = f"pfilter {__version__}" if settings.trace_header == "version" else "pfilter"
    start = message.root.header.start
    line = f"X-Content-Filter: {value}".encode("ascii") + message.eol
    return [Edit(range=Range(start=start, end=start), content=line)]
