"""What the parts of a message are to its reader: bodies, files, reports. Pure.

A file is a leaf, or a message/rfc822 as one opaque whole, that has a file name or disposition attachment. It is an
attachment where nothing protects it.
"""

from pfilter.message.model import Message, Part

BODY_TYPES = (b"text/plain", b"text/html")
REPORT_TYPES = (
    b"multipart/report",
    b"message/delivery-status",
    b"message/global-delivery-status",
    b"message/feedback-report",  # RFC 5965: of abuse
    b"message/tracking-status",  # RFC 3886
)
NOTIFICATION_TYPES = (b"message/disposition-notification", b"message/global-disposition-notification")
CALENDAR_TYPES = (
    b"text/calendar",
    b"text/x-vcalendar",
    b"application/ics",  # what Exchange and Google send beside the text/calendar
)
# Forms of the body that no notice can be put into, and that every reader who knows them can do without: AMP for mail
# and the Apple Watch fall back to the HTML or the text.
DISPENSABLE_FORMS = (b"text/x-amp-html", b"text/watch-html")


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


def is_report(message: Message) -> bool:
    """Whether the message is a delivery status or disposition notification (RFC 3464, 8098, 6522)."""
    return any(not p.embedded and p.type in (*REPORT_TYPES, *NOTIFICATION_TYPES) for p in message.parts)


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
        and part.type not in CALENDAR_TYPES
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
