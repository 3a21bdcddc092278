"""The reasons of a message to leave it alone, or parts of it: every one is here, and pfilter-pipe(8) has them.

A message is protected as a whole where one octet changed would break a signature, or nobody could tell what it says. A
part is left alone where mail clients, or other programs, make more of it than a file.
"""

from pfilter.base import idn
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message import codec, roles
from pfilter.message.addresses import domain_of, matches_domain
from pfilter.message.field_values import parameters
from pfilter.message.model import Envelope, Message, Part

# Of a message; in the order in which they are looked for.
SIGNED_TYPES = {
    b"multipart/signed": "signed or encrypted (multipart/signed)",
    b"multipart/encrypted": "signed or encrypted (multipart/encrypted)",
    b"application/pkcs7-mime": "signed or encrypted (application/pkcs7-mime)",
    b"application/x-pkcs7-mime": "signed or encrypted (application/x-pkcs7-mime)",
}
ENCRYPTED = "encrypted (PGP)"
BY_NAME = "signed or encrypted (by file name)"
SEALS = {
    b"dkim-signature": "signed (dkim-signature of {domain})",  # RFC 6376
    b"arc-seal": "signed (arc-seal of {domain})",  # RFC 8617
}
ARMORED = "signed or encrypted (inline PGP)"
OF_MESSAGES = (*SIGNED_TYPES.values(), ENCRYPTED, BY_NAME, *SEALS.values(), ARMORED)

# Of a part.
BODY = "displayed body"
REPORT = "report"
KEY = "key"
PARTIAL = "message/partial"
EXTERNAL = "message/external-body"
CALENDAR = "calendar"
TNEF = "TNEF"
SIGNATURE = "signature"
PGP = "PGP"
FORM = "alternative form of the body"
HALF = "half of a Macintosh file"
INLINE = "inline"
MACINTOSH = "Macintosh file"
UUENCODED = "uuencoded"
BROKEN = "broken"  # and why, behind a colon
OF_PARTS = (
    BODY, REPORT, KEY, PARTIAL, EXTERNAL, CALENDAR, TNEF, SIGNATURE, PGP, FORM, HALF, INLINE, MACINTOSH, UUENCODED,
    BROKEN,
)  # fmt: skip

UNTOUCHED_TYPES = {
    **dict.fromkeys((*roles.REPORT_TYPES, *roles.NOTIFICATION_TYPES), REPORT),
    b"application/tlsrpt+gzip": REPORT,  # RFC 8460
    b"application/tlsrpt+json": REPORT,
    b"application/autocrypt-setup": KEY,
    b"message/partial": PARTIAL,
    b"message/external-body": EXTERNAL,
    **dict.fromkeys(roles.CALENDAR_TYPES, CALENDAR),
    b"application/ms-tnef": TNEF,  # holds the body of the mail
    b"application/vnd.ms-tnef": TNEF,
    b"application/pkcs7-signature": SIGNATURE,
    b"application/x-pkcs7-signature": SIGNATURE,
}
# A child of these is shown in place of its siblings, or belongs to one of them.
CONTAINERS = {
    b"multipart/alternative": FORM,
    b"multipart/appledouble": HALF,
    b"multipart/related": INLINE,
    b"multipart/report": REPORT,
}
# What mail clients decode is called by the name of what is inside; anywhere else it would be a file that nothing opens.
ENCODED_TYPES = {
    b"application/applefile": MACINTOSH,  # RFC 1740: AppleSingle
    b"application/binhex": MACINTOSH,
    b"application/mac-binhex": MACINTOSH,
    b"application/mac-binhex40": MACINTOSH,  # RFC 1741
    b"application/x-mac-binhex40": MACINTOSH,
    b"application/macbinary": MACINTOSH,
    b"application/x-macbinary": MACINTOSH,
    b"application/x-uuencode": UUENCODED,
    b"application/x-uuencoded": UUENCODED,
    b"text/x-uuencode": UUENCODED,
}
ARMOR = (b"-----BEGIN PGP MESSAGE-----", b"-----BEGIN PGP SIGNED MESSAGE-----")


def why_untouched(spool: Spool, message: Message, envelope: Envelope, settings: Settings) -> str:
    """Return which of OF_MESSAGES protects the whole message, or "". Raises OSError."""
    return by_structure(message) or _by_seal(message, envelope, settings) or _by_armor(spool, message)


def by_structure(message: Message) -> str:
    """Return why nothing in the message may be touched, going by its parts alone, or "". Pure."""
    for part in message.parts:
        if part.type in SIGNED_TYPES:
            return SIGNED_TYPES[part.type]
        if part.type == b"application/pgp-encrypted":
            return ENCRYPTED  # its multipart/encrypted may have been lost on the way
        names = (value for _, value in (*part.params, *part.disposition_params))
        endings = (b".p7m", b".p7s") if part.parent < 0 else (b".p7m",)
        if not part.embedded and any(name.lower().endswith(endings) for name in names):
            return BY_NAME  # RFC 8551, 3.9
    return ""


def _by_seal(message: Message, envelope: Envelope, settings: Settings) -> str:
    """Return why a signature or seal of another domain protects the message, or ""."""
    # That every sender is ours does not make every signature ours.
    ours = tuple(domain for domain in settings.own_domains if domain != "*")
    sender = domain_of(envelope.sender)
    for name, reason in SEALS.items():
        for value in message.values(name):
            tags = dict(parameters(b"x;" + value).pairs)
            domain = idn.domain(b"".join(tags.get(b"d", b"").split()))
            by_sender = len(ours) < len(settings.own_domains) and domain and (b"." + sender).endswith(b"." + domain)
            if not matches_domain(domain, ours) and not by_sender:
                return reason.format(domain=domain.decode("ascii", "replace") or "an unknown domain")
    return ""


def _by_armor(spool: Spool, message: Message) -> str:
    """Return why the message is protected where a text that may be a body holds a block of PGP, or ""."""
    for part in message.parts:
        if part.embedded or part.type not in roles.BODY_TYPES or part.disposition == b"attachment":
            continue
        tail = b""
        try:
            for chunk in codec.decode(spool, part.body, part.encoding):
                text = tail + chunk
                if any(armor in text for armor in ARMOR):
                    return ARMORED
                tail = text[-64:]
        except codec.Undecodable:
            continue
    return ""


def why_kept(message: Message, part: Part, shown: frozenset[int]) -> str:
    """Return why a file is no attachment in our sense, or ""; `shown` are the numbers of displayed bodies."""
    if part.number in shown:
        return BODY
    if part.type in UNTOUCHED_TYPES:
        return UNTOUCHED_TYPES[part.type]
    if b"calendar" in part.type or part.type.endswith(b"/x-ical"):
        return CALENDAR  # application/calendar+xml, text/x-icalendar: it goes by many names
    if part.type.startswith(b"application/pgp-"):
        return PGP
    around = message.ancestors(part)
    if around and around[0].type in CONTAINERS and not _is_beside_related(message, part, shown):
        return CONTAINERS[around[0].type]
    if any(parent.type == b"multipart/report" for parent in around):
        return REPORT
    if part.type in ENCODED_TYPES:
        return ENCODED_TYPES[part.type]
    return f"{BROKEN}: {part.defect}" if part.defect else ""


def _is_beside_related(message: Message, part: Part, shown: frozenset[int]) -> bool:
    """Whether a child of multipart/related (RFC 2387) is a mere attachment, unless the displayed HTML refers to it.

    It must say that it is one, and nothing but that HTML may be able to refer to it: not a root of another type, not a
    form of the body that is not understood, not a style sheet. Inside of one form of the body it is left alone.
    """
    related = message.parts[part.parent]
    if related.type != b"multipart/related" or part.disposition != b"attachment" or part.field(b"content-location"):
        return False
    if any(parent.type == b"multipart/alternative" for parent in message.ancestors(related)):
        return False
    root, *others = (message.parts[number] for number in related.children)
    start, content_id = related.param(b"start"), root.field(b"content-id")
    if root is part or (start and not (content_id and content_id.value.strip() == start.strip())):
        return False
    below = (p for p in message.parts if root.span.start <= p.span.start < root.span.end and not p.is_multipart)
    if not all(leaf.number in shown for leaf in below):
        return False
    return not any(_may_refer(other) for other in others if other.disposition != b"attachment")


def _may_refer(part: Part) -> bool:
    return part.type.startswith((b"text/", b"multipart/")) or part.type.endswith((b"xml", b"html", b"javascript"))


def why_kept_by_name(name: str) -> str:
    """Return why a file of this name is no attachment in our sense, whatever its type is called, or ""."""
    lower = name.lower()
    if lower.startswith("winmail") and lower.endswith(".dat"):
        return TNEF
    return CALENDAR if lower.endswith((".ics", ".vcs")) else ""


def shown_by_html(spool: Spool, message: Message, candidates: list[Part]) -> set[int]:
    """Return the numbers of candidates that the displayed HTML refers to: they are INLINE. Raises OSError."""
    if not any(part.field(b"content-id") or part.field(b"content-location") for part in candidates):
        return set()
    from pfilter.message import references

    return references.shown_by_html(spool, message, candidates)
