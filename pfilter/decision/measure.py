"""What decisions need to know about a message beyond its structure, and what costs I/O to find out.

Each attachment that may have to be edited is decoded once, into a temporary file that serves all that follows: its
size, its zip, its blob in the store. Whatever nothing can depend on is not measured.
"""

from fnmatch import fnmatchcase

from pfilter.base import idn, zipping
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message import codec, filenames, roles
from pfilter.message.model import AttachmentFacts, Envelope, Measured, Message, Part
from pfilter.message.scratch import Scratch

ARMOR = (b"-----BEGIN PGP MESSAGE-----", b"-----BEGIN PGP SIGNED MESSAGE-----")


def measure(spool: Spool, message: Message, envelope: Envelope, settings: Settings, scratch: Scratch) -> Measured:
    """Return the facts about a message's attachments. Raises OSError; bad mail becomes a reason to keep a part."""
    found = roles.files(message)
    if not found or message.defects:
        return Measured()
    shown = frozenset(part.number for part in roles.displayed(message))
    kept = {part.number: roles.why_kept(message, part, shown) for part in found}
    candidates = [part for part in found if not kept[part.number]]
    if not candidates:
        return Measured(kept=tuple(kept.items()))
    protection = (
        roles.structural_protection(message) or _sealed(message, envelope, settings) or _armored(spool, message)
    )
    if protection:
        return Measured(protection=protection)
    inline = _shown_by_html(spool, message, candidates)
    crowded = message.size * len(envelope.recipients) > settings.link_bandwidth_limit
    attachments = []
    for ordinal, part in enumerate(candidates, 1):
        if part.number in inline:
            kept[part.number] = "inline"
            continue
        name = filenames.file_name(part, ordinal)
        kept[part.number] = roles.why_kept_by_name(name)
        if kept[part.number]:
            continue
        try:
            attachments.append(_facts(spool, part, name, crowded, envelope, settings, scratch))
        except codec.Undecodable as error:
            kept[part.number] = f"broken: {error}"
    reasons = tuple((number, reason) for number, reason in kept.items() if reason)
    return Measured(attachments=tuple(attachments), kept=reasons)


def _facts(
    spool: Spool, part: Part, name: str, crowded: bool, envelope: Envelope, settings: Settings, scratch: Scratch
) -> AttachmentFacts:
    facts = AttachmentFacts(part=part.number, name=name, size=part.body.size, wire=part.span.size)
    why_no_zip = _why_no_zip(part, name, settings)
    may_zip = not why_no_zip
    least = settings.link_min_size if crowded else settings.link_part_limit + 1
    may_link = settings.link_enabled and part.body.size >= min(least, settings.link_part_limit + 1)
    if not envelope.sender or not (may_zip or may_link):
        # Attachments of the null sender are taken off whole; nothing else needs their contents.
        estimated = part.body.size * 3 // 4 if part.encoding == b"base64" else part.body.size
        return facts.replace(size=estimated, why_no_zip=why_no_zip)
    likely = settings.link_enabled and part.body.size * 3 // 4 > settings.link_part_limit
    decoded = scratch.decode(spool, part, digest=likely)
    facts = facts.replace(size=decoded.size)
    if may_zip and decoded.size < settings.compress_min_size:
        why_no_zip = "small"
    if may_zip and not why_no_zip and not zipping.promises_gain(decoded, settings.compress_min_gain):
        why_no_zip = "does not gain"
    if why_no_zip:
        return facts.replace(why_no_zip=why_no_zip)
    return _zip_facts(facts, part, decoded, settings, scratch)


def _zip_facts(
    facts: AttachmentFacts, part: Part, decoded: Spool, settings: Settings, scratch: Scratch
) -> AttachmentFacts:
    gainful = int(decoded.size * (1 - settings.compress_min_gain))
    limit = min(gainful, settings.link_part_limit) if settings.link_enabled else gainful
    zipped = zipping.zipped(decoded, facts.name, limit, scratch.scratch_file)
    if zipped is None:
        return facts.replace(why_no_zip="does not gain" if limit == gainful else "zip over part_limit")
    wire = facts.wire - part.body.size + codec.encoded_base64_size(zipped.size, b"\n")
    if wire >= facts.wire:
        return facts.replace(why_no_zip="does not gain in the message")
    scratch.zips[part.number] = zipped
    return facts.replace(zip_size=zipped.size, zip_wire=wire)


def _why_no_zip(part: Part, name: str, settings: Settings) -> str:
    """Return why a part is not zipped whatever is in it, or ""."""
    if not settings.compress_enabled:
        return "compress.enabled = false"
    if part.body.size < settings.compress_min_size:
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


def _sealed(message: Message, envelope: Envelope, settings: Settings) -> str:
    """Return why a DKIM signature (RFC 6376) or ARC seal (RFC 8617) of another domain protects the message, or ""."""
    from pfilter.message.addresses import domain_of, matches_domain
    from pfilter.message.header import parameters

    # That every sender is ours does not make every signature ours.
    ours = tuple(domain for domain in settings.own_domains if domain != "*")
    sender = domain_of(envelope.sender)
    for name in (b"dkim-signature", b"arc-seal"):
        for value in message.values(name):
            tags = dict(parameters(b"x;" + value).pairs)
            domain = idn.domain(b"".join(tags.get(b"d", b"").split()))
            by_sender = len(ours) < len(settings.own_domains) and domain and (b"." + sender).endswith(b"." + domain)
            if not matches_domain(domain, ours) and not by_sender:
                shown = domain.decode("ascii", "replace") or "an unknown domain"
                return f"signed ({name.decode('ascii')} of {shown})"
    return ""


def _armored(spool: Spool, message: Message) -> str:
    """Return "signed or encrypted (inline PGP)" where a text that may be a body holds such a block, or ""."""
    for part in message.parts:
        if part.embedded or part.type not in roles.BODY_TYPES or part.disposition == b"attachment":
            continue
        tail = b""
        try:
            for chunk in codec.decode(spool, part.body, part.encoding):
                text = tail + chunk
                if any(armor in text for armor in ARMOR):
                    return "signed or encrypted (inline PGP)"
                tail = text[-64:]
        except codec.Undecodable:
            continue
    return ""


def _shown_by_html(spool: Spool, message: Message, candidates: list[Part]) -> set[int]:
    if not any(part.field(b"content-id") or part.field(b"content-location") for part in candidates):
        return set()
    from pfilter.message.references import shown_by_html

    return shown_by_html(spool, message, candidates)
