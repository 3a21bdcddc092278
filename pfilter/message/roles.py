"""What the parts of a message are to its reader: bodies, attachments, things never to be touched. Pure.

An attachment is a leaf, or a message/rfc822 as one opaque whole, that has a file name or disposition attachment, and
for which `why_kept` has nothing to say.
"""

from pfilter.message.model import Message, Part

BODY_TYPES = (b"text/plain", b"text/html")
SIGNED_TYPES = (
    b"multipart/signed",
    b"multipart/encrypted",
    b"application/pkcs7-mime",
    b"application/x-pkcs7-mime",
)
REPORT_TYPES = (
    b"multipart/report",
    b"message/delivery-status",
    b"message/global-delivery-status",
    b"message/feedback-report",  # RFC 5965: of abuse
    b"message/tracking-status",  # RFC 3886
)
NOTIFICATION_TYPES = (b"message/disposition-notification", b"message/global-disposition-notification")
UNTOUCHED_TYPES = {
    **dict.fromkeys((*REPORT_TYPES, *NOTIFICATION_TYPES), "report"),
    b"application/tlsrpt+gzip": "report",  # RFC 8460
    b"application/tlsrpt+json": "report",
    b"application/autocrypt-setup": "key",
    b"message/partial": "message/partial",
    b"message/external-body": "message/external-body",
    b"text/calendar": "calendar",
    b"text/x-vcalendar": "calendar",
    b"application/ics": "calendar",  # what Exchange and Google send beside the text/calendar
    b"application/ms-tnef": "TNEF",  # holds the body of the mail
    b"application/vnd.ms-tnef": "TNEF",
    b"application/pkcs7-signature": "signature",
    b"application/x-pkcs7-signature": "signature",
}
# What mail clients decode is called by the name of what is inside; anywhere else it would be a file that nothing opens.
ENCODED_TYPES = {
    b"application/applefile": "Macintosh file",  # RFC 1740: AppleSingle
    b"application/binhex": "Macintosh file",
    b"application/mac-binhex": "Macintosh file",
    b"application/mac-binhex40": "Macintosh file",  # RFC 1741
    b"application/x-mac-binhex40": "Macintosh file",
    b"application/macbinary": "Macintosh file",
    b"application/x-macbinary": "Macintosh file",
    b"application/x-uuencode": "uuencoded",
    b"application/x-uuencoded": "uuencoded",
    b"text/x-uuencode": "uuencoded",
}
# Forms of the body that no notice can be put into, and that every reader who knows them can do without: AMP for mail
# and the Apple Watch fall back to the HTML or the text.
DISPENSABLE_FORMS = (b"text/x-amp-html", b"text/watch-html")
# A child of these is shown in place of its siblings, or belongs to one of them.
CONTAINERS = {
    b"multipart/alternative": "alternative form of the body",
    b"multipart/appledouble": "half of a Macintosh file",
    b"multipart/related": "inline",
    b"multipart/report": "report",
}


def files(message: Message) -> list[Part]:
    """Return the parts that a mail client may list as files, in document order."""
    return [part for part in message.parts if is_file(part)]


def is_file(part: Part) -> bool:
    """Whether a mail client may list the part as a file: nothing embedded."""
    return not part.embedded and not part.is_multipart and (part.disposition == b"attachment" or has_name(part))


def has_name(part: Part) -> bool:
    """Whether the sender gave the part a file name, in whatever form."""
    return any(name.split(b"*")[0] == b"filename" and value for name, value in part.disposition_params) or any(
        name.split(b"*")[0] == b"name" and value for name, value in part.params
    )


def structural_protection(message: Message) -> str:
    """Return why nothing in the message may be touched: "signed or encrypted (TYPE)", or ""."""
    for part in message.parts:
        if part.type in SIGNED_TYPES:
            return f"signed or encrypted ({part.type.decode('ascii')})"
        if part.type == b"application/pgp-encrypted":
            return "encrypted (PGP)"  # its multipart/encrypted may have been lost on the way
        names = (value for _, value in (*part.params, *part.disposition_params))
        endings = (b".p7m", b".p7s") if part.parent < 0 else (b".p7m",)
        if not part.embedded and any(name.lower().endswith(endings) for name in names):
            return "signed or encrypted (by file name)"  # RFC 8551, 3.9
    return ""


def is_report(message: Message) -> bool:
    """Whether the message is a delivery status or disposition notification (RFC 3464, 8098, 6522)."""
    return any(not p.embedded and p.type in (*REPORT_TYPES, *NOTIFICATION_TYPES) for p in message.parts)


def why_kept(message: Message, part: Part, shown: frozenset[int]) -> str:
    """Return why a file is no attachment in our sense, or ""; `shown` are the numbers of displayed bodies."""
    if part.number in shown:
        return "displayed body"
    if part.type in UNTOUCHED_TYPES:
        return UNTOUCHED_TYPES[part.type]
    if b"calendar" in part.type or part.type.endswith(b"/x-ical"):
        return "calendar"  # application/calendar+xml, text/x-icalendar: it goes by many names
    if part.type.startswith(b"application/pgp-"):
        return "PGP"
    around = message.ancestors(part)
    if around and around[0].type in CONTAINERS and not _is_beside_related(message, part, shown):
        return CONTAINERS[around[0].type]
    if any(parent.type == b"multipart/report" for parent in around):
        return "report"
    if part.type in ENCODED_TYPES:
        return ENCODED_TYPES[part.type]
    return f"broken: {part.defect}" if part.defect else ""


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
        return "TNEF"
    return "calendar" if lower.endswith((".ics", ".vcs")) else ""


def displayed(message: Message) -> list[Part]:
    """Return the bodies that a mail client shows, in document order.

    A named text is a file, unless it is one form of the body, or all that the message has, or a letter: see
    `_is_named_letter`.
    """
    leaves = [part for part in message.parts if not part.embedded and not part.is_multipart]
    return [
        part
        for part in leaves
        if _may_be_shown(part)
        and (not has_name(part) or _is_form_of_body(message, part) or _is_named_letter(message, leaves, part))
    ]


def _may_be_shown(part: Part) -> bool:
    return part.type in BODY_TYPES and part.disposition != b"attachment"


def _is_named_letter(message: Message, leaves: list[Part], part: Part) -> bool:
    """Whether a text is the letter in spite of its name.

    It is where there is nothing else to read. It is where it comes first and is marked inline, unless there is a text
    without a name that is not. It is where it comes first and is named in Content-Type alone, unless the
    next thing is another body: a form of one, or a text without a name; but not another form of the same one, and not
    a text marked inline, as the footers of lists are.
    """
    if len(leaves) == 1:
        return True
    if part is not leaves[0]:
        return False
    if part.disposition == b"inline":
        return not any(_may_be_shown(o) and not has_name(o) and o.disposition != b"inline" for o in leaves)
    if any(name.split(b"*")[0] == b"filename" for name, _ in part.disposition_params):
        return False
    if any(parent.type in (b"multipart/alternative", b"multipart/related") for parent in message.ancestors(part)):
        return True
    following = leaves[1]
    is_body = _is_form_of_body(message, following) or not (has_name(following) or following.disposition == b"inline")
    return not (_may_be_shown(following) and is_body)


def _is_form_of_body(message: Message, part: Part) -> bool:
    """Whether a text is a child of multipart/alternative, or what a multipart/related shows (RFC 2387, 3.2)."""
    if part.parent < 0:
        return False
    parent = message.parts[part.parent]
    first_of_related = parent.type == b"multipart/related" and parent.children[0] == part.number
    return parent.type == b"multipart/alternative" or first_of_related


def main_bodies(message: Message) -> list[Part]:
    """Return the bodies that a notice goes into: the first displayed text, and its other form where it has one.

    That is at most one text/plain and one text/html: the first of each inside the outermost multipart/alternative
    around the first displayed body, else beside it in the same multipart, where some programs put both and some
    readers show the HTML alone.
    """
    bodies = displayed(message)
    if not bodies:
        return []
    around = [parent for parent in message.ancestors(bodies[0]) if parent.type == b"multipart/alternative"]
    if around:
        span = around[-1].span
        beside = [body for body in bodies if span.start <= body.span.start < span.end]
    else:
        place = _place(message, bodies[0])
        beside = [body for body in bodies if _place(message, body) == place]
    firsts = (next((body for body in beside if body.type == kind), None) for kind in BODY_TYPES)
    return [body for body in firsts if body is not None]


def other_forms(message: Message) -> list[Part]:
    """Return the texts that a reader may be shown in place of the main bodies, and that no notice goes into.

    text/enriched, text/rtf and the like: whoever is shown one of them sees no link (RFC 2046, 5.1.4). A calendar
    object is an invitation beside the body.
    """
    bodies = main_bodies(message)
    around = [up for up in message.ancestors(bodies[0]) if up.type == b"multipart/alternative"] if bodies else []
    if not around:
        return []
    span = around[-1].span
    return [
        part
        for part in message.parts
        if span.start <= part.span.start < span.end
        and part.type.startswith(b"text/")
        and part.type not in BODY_TYPES
        and part.type not in UNTOUCHED_TYPES
        and part.disposition != b"attachment"
        and not part.embedded
        and _is_form_of_body(message, part)
    ]


def _place(message: Message, body: Part) -> int:
    """Return the multipart that a body stands in, HTML along with its images; -1 for none."""
    parent = body.parent
    while parent >= 0 and message.parts[parent].type == b"multipart/related":
        parent = message.parts[parent].parent
    return parent
