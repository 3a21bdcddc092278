"""What decisions need to know about a message beyond its structure, and what costs I/O to find out.

Each attachment that may have to be edited is decoded once, into a temporary file that serves all that follows: its
size, its zip, its blob in the store. Whatever nothing can depend on is not measured.
"""

from fnmatch import fnmatchcase

from pfilter.base import zipping
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.decision import protection
from pfilter.decision.plan import AttachmentFacts, Measured
from pfilter.message import codec, filenames, roles
from pfilter.message.model import Envelope, Message, Part
from pfilter.message.scratch import Scratch


def measure(spool: Spool, message: Message, envelope: Envelope, settings: Settings, scratch: Scratch) -> Measured:
    """Return the facts about a message's attachments. Raises OSError; bad mail becomes a reason to keep a part."""
    found = roles.files(message)
    if not found or message.defects:
        return Measured()
    shown = frozenset(part.number for part in roles.displayed(message))
    kept = {part.number: protection.why_kept(message, part, shown) for part in found}
    candidates = [part for part in found if not kept[part.number]]
    if not candidates:
        return Measured(kept=tuple(kept.items()))
    reason = protection.why_untouched(spool, message, envelope, settings)
    if reason:
        return Measured(protection=reason)
    inline = protection.shown_by_html(spool, message, candidates)
    crowded = message.lf_size * len(envelope.recipients) > settings.link_bandwidth_limit
    attachments = []
    for ordinal, part in enumerate(candidates, 1):
        if part.number in inline:
            kept[part.number] = protection.INLINE
            continue
        name = filenames.file_name(part, ordinal)
        kept[part.number] = protection.why_kept_by_name(name)
        if kept[part.number]:
            continue
        try:
            attachments.append(_facts(spool, part, name, crowded, envelope, settings, scratch))
        except codec.Undecodable as error:
            kept[part.number] = f"{protection.BROKEN}: {error}"
    reasons = tuple((number, reason) for number, reason in kept.items() if reason)
    return Measured(attachments=tuple(attachments), kept=reasons)


def _facts(
    spool: Spool, part: Part, name: str, crowded: bool, envelope: Envelope, settings: Settings, scratch: Scratch
) -> AttachmentFacts:
    coded = spool.lf_size_of(part.body.start, part.body.end)
    around = spool.lf_size_of(part.span.start, part.body.start) + spool.lf_size_of(part.body.end, part.span.end)
    facts = AttachmentFacts(part=part.number, name=name, size=coded, wire=around + coded)
    why_no_zip = _why_no_zip(part, coded, name, settings)
    may_zip = not why_no_zip
    least = settings.link_min_size if crowded else settings.link_part_limit + 1
    may_link = settings.link_enabled and coded >= min(least, settings.link_part_limit + 1)
    if not envelope.sender or not (may_zip or may_link):
        # Attachments of the null sender are taken off whole; nothing else needs their contents.
        estimated = coded * 3 // 4 if part.encoding == b"base64" else coded
        return facts.replace(size=estimated, why_no_zip=why_no_zip)
    likely = settings.link_enabled and coded * 3 // 4 > settings.link_part_limit
    decoded = scratch.decode(spool, part, digest=likely)
    facts = facts.replace(size=decoded.size)
    if may_zip and decoded.size < settings.compress_min_size:
        why_no_zip = "small"
    share = 0.0 if why_no_zip else zipping.share_of_samples(decoded)
    if share > 1 - settings.compress_min_gain:
        why_no_zip = "does not gain"
    if why_no_zip:
        return facts.replace(why_no_zip=why_no_zip)
    return _zip_facts(facts, part, coded, decoded, share, settings, scratch)


def _zip_facts(
    facts: AttachmentFacts,
    part: Part,
    coded: int,
    decoded: Spool,
    share: float,
    settings: Settings,
    scratch: Scratch,
) -> AttachmentFacts:
    gainful = int(decoded.size * (1 - settings.compress_min_gain))
    limit = min(gainful, settings.link_part_limit) if settings.link_enabled else gainful
    zipped = zipping.zipped(decoded, facts.name, limit, scratch.scratch_file, share)
    if zipped is None:
        return facts.replace(why_no_zip="does not gain" if limit == gainful else "zip over part_limit")
    wire = facts.wire - coded + codec.encoded_base64_size(zipped.size, b"\n")
    if wire >= facts.wire:
        return facts.replace(why_no_zip="does not gain in the message")
    scratch.zips[part.number] = zipped
    return facts.replace(zip_size=zipped.size, zip_wire=wire)


def _why_no_zip(part: Part, coded: int, name: str, settings: Settings) -> str:
    """Return why a part is not zipped whatever is in it, or ""."""
    if not settings.compress_enabled:
        return "compress.enabled = false"
    if coded < settings.compress_min_size:
        return "small"
    if part.type.startswith(b"text/") and part.disposition == b"inline":
        return "inline text"
    by_name, by_type = name.lower(), part.type.decode("ascii", "replace")
    for skipped in settings.compress_skip:
        if fnmatchcase(by_type if "/" in skipped else by_name, skipped.lower()):  # no name has a slash
            return f"compress.skip {skipped}"
    from pfilter.base import filetypes  # what is small does not need it

    if filetypes.is_compressed(part.type):
        return "compressed already"
    return ""
