"""What happens to each part, and why. Pure: no I/O, no clock.

The order is that of the rules: foreign, exempt, ambiguous, protected, null sender, compress, link.
"""

from pfilter.config.settings import Settings
from pfilter.decision import exempt
from pfilter.decision.plan import Action, AttachmentFacts, Measured, Plan
from pfilter.message import roles
from pfilter.message.model import Envelope, Message, Part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.decision.plan import Event

NOTICE_OCTETS = 2048  # what the notice adds to the planned size: the bodies' text, encoded
NOTICE_LINK_OCTETS = 512  # and each link, beside its name
NOTICE_NAME_FACTOR = 10  # in the text, in the HTML, in the URL: encoded, each octet takes up to three
# Where a plan's reason begins like this, the line that Postfix logs says that: fixed words, nothing from the message.
# Those of `protection` stand here once more, as texts, since a message that passes does not load that module; its test
# holds the two together.
WORDS = {
    exempt.FOREIGN_SENDER: "not our sender",
    **{reason: reason for reason in exempt.REASONS if reason != exempt.FOREIGN_SENDER},
    "not scanned for viruses": "not scanned",
    "ambiguous": "ambiguous",
    "protected: signed or encrypted (multipart/signed)": "signed",
    "protected: signed (": "signed",
    "protected: signed or encrypted (multipart/encrypted)": "encrypted",
    "protected: encrypted": "encrypted",
    "protected": "signed or encrypted",
    "null sender passes": "null sender",
    "report": "report",
    "no attachments": "no attachments",
    "nothing to gain": "nothing to gain",
}
# Where every file is kept for the same of these reasons, that says more than "no attachments".
KEPT_WORDS = {"inline": "inline", "calendar": "calendar", "report": "report", "broken": "does not decode"}
SIGNATURE_BROKEN = "breaks a signature of our own (DKIM or ARC), recipients will see it fail: sign after this filter"


def decide(message: Message, measured: Measured, envelope: Envelope, settings: Settings) -> Plan:
    """Return what happens to the message, with a reason for each attachment."""
    reason = exempt.why_untouched(envelope, settings)
    if reason:
        return Plan(reason=reason)
    if message.defects:
        return Plan(reason=f"ambiguous: {message.defects[0]}")
    if measured.protection:
        return Plan(reason=f"protected: {measured.protection}")
    kept = tuple(Action(part=number, what="keep", reason=reason) for number, reason in measured.kept)
    if not measured.attachments:
        return Plan(reason="no attachments", actions=kept)
    if not envelope.sender:
        actions, reason = _for_null_sender(message, measured, settings)
    else:
        actions = _for_size(message, measured, len(envelope.recipients), settings)
        reason = "attachments" if any(action.what != "keep" for action in actions) else "nothing to gain"
    removes = any(action.removes for action in actions)
    forms = roles.other_forms(message) if removes else []
    lasting = [form for form in forms if form.type not in roles.DISPENSABLE_FORMS]
    if lasting:
        untold = f"a form of the body can't hold a notice ({lasting[0].type.decode('ascii', 'replace')})"
        actions = _without_notice(actions, measured, untold)
        reason = reason if any(action.what != "keep" for action in actions) else untold
        forms = []
    dropped = {form.number: _drop(form) for form in forms}
    kept = tuple(action for action in kept if action.part not in dropped)
    everything = (*kept, *actions, *dropped.values())
    plan = Plan(reason=reason, actions=tuple(sorted(everything, key=lambda action: action.part)))
    gone = tuple(f"{form.type.decode('ascii', 'replace')} removed: it can't hold a notice" for form in forms)
    return plan.replace(remarks=(*_remarks(message, envelope, settings, changes=plan.changes), *gone))


def in_a_word(plan: Plan) -> str:
    """Return why a message passes, in the few words of WORDS and KEPT_WORDS, for the line that Postfix logs."""
    if plan.reason == "no attachments" and plan.actions:
        kept = {KEPT_WORDS.get(action.reason.partition(":")[0], "") for action in plan.actions}
        if len(kept) == 1 and "" not in kept:
            return kept.pop()
    return next((word for start, word in WORDS.items() if plan.reason.startswith(start)), "")


def breaks_signature(plan: Plan) -> bool:
    """Whether what is planned breaks a signature of our own domain."""
    return SIGNATURE_BROKEN in plan.remarks


def _for_null_sender(message: Message, measured: Measured, settings: Settings) -> tuple[list[Action], str]:
    if settings.null_sender == "pass":
        return [_keep(facts, "null_sender = pass") for facts in measured.attachments], "null sender passes"
    if roles.is_report(message):
        return [_keep(facts, "report") for facts in measured.attachments], "report"
    strip = [
        Action(
            part=facts.part,
            what="strip",
            reason="null sender",
            name=facts.name,
            size=facts.size,
            event="unknown sender",
        )
        for facts in measured.attachments
    ]
    return strip, "null sender"


def _for_size(message: Message, measured: Measured, recipients: int, settings: Settings) -> list[Action]:
    """Zip what gains, link what is too big by itself, then the largest until the message fits."""
    chosen = {facts.part: _zip_or_keep(facts) for facts in measured.attachments}
    if not settings.link_enabled:
        return list(chosen.values())
    limit = settings.link_part_limit
    for facts in measured.attachments:
        if _size_after(facts) > limit:
            chosen[facts.part] = _link(facts, _over("part_limit", limit), "part size")
    remaining = [
        facts
        for facts in measured.attachments
        if chosen[facts.part].what != "link" and _size_after(facts) >= settings.link_min_size
    ]
    remaining.sort(key=_size_after)
    limit = settings.link_bandwidth_limit
    planned = message.lf_size + sum(_growth(facts, chosen[facts.part]) for facts in measured.attachments)
    notice = NOTICE_OCTETS if any(action.what == "link" for action in chosen.values()) else 0
    while remaining and (planned + notice) * recipients > limit:
        largest = remaining.pop()
        planned -= _growth(largest, chosen[largest.part])
        reason = f"message times {recipients} recipients {_over('bandwidth_limit', limit)}"
        chosen[largest.part] = _link(largest, reason, "bandwidth")
        planned += _growth(largest, chosen[largest.part])
        notice = NOTICE_OCTETS
    return list(chosen.values())


def _without_notice(actions: list[Action], measured: Measured, reason: str) -> list[Action]:
    """Keep what a notice would have to tell about; what gains by zip needs none."""
    facts = {one.part: one for one in measured.attachments}

    def instead(action: Action) -> Action:
        if action.what == "link" and facts[action.part].zip_size >= 0:
            return _zip_or_keep(facts[action.part])
        return _keep(facts[action.part], reason)

    return [instead(action) if action.removes else action for action in actions]


def _drop(form: Part) -> Action:
    return Action(part=form.number, what="drop", reason="can't hold a notice")


def _growth(facts: AttachmentFacts, action: Action) -> int:
    """Return by how many octets an action makes the message grow, as far as can be known."""
    if action.what == "link":
        return NOTICE_LINK_OCTETS + NOTICE_NAME_FACTOR * len(facts.name.encode("utf-8")) - facts.wire
    return facts.zip_wire - facts.wire if action.what == "zip" else 0


def _size_after(facts: AttachmentFacts) -> int:
    return facts.zip_size if facts.zip_size >= 0 else facts.size


def _zip_or_keep(facts: AttachmentFacts) -> Action:
    if facts.zip_size < 0:
        return _keep(facts, facts.why_no_zip)
    gain = 100 * (facts.size - facts.zip_size) // max(1, facts.size)
    return Action(
        part=facts.part,
        what="zip",
        reason=f"gains {gain} %",
        name=facts.name,
        size=facts.size,
        zip_size=facts.zip_size,
        event="compress",
    )


def _keep(facts: AttachmentFacts, reason: str) -> Action:
    return Action(part=facts.part, what="keep", reason=reason, name=facts.name, size=facts.size)


def _link(facts: AttachmentFacts, reason: str, event: "Event") -> Action:
    return Action(part=facts.part, what="link", reason=reason, name=facts.name, size=facts.size, event=event)


def _over(name: str, limit: int) -> str:
    from pfilter.base.text import exact_size  # not for what passes

    return f"over {name} of {exact_size(limit)}"


def _remarks(message: Message, envelope: Envelope, settings: Settings, *, changes: bool) -> tuple[str, ...]:
    remarks = []
    exempted = exempt.recipients(envelope, settings) if changes else ()
    if exempted:  # the door can't answer them apart, or they would not be among these
        remarks.append(f"{len(exempted)} of {len(envelope.recipients)} recipients are exempt, filtered for all")
    # What other domains have signed is protected, so these are ours.
    if changes and (message.values(b"dkim-signature") or message.values(b"arc-seal")):
        remarks.append(SIGNATURE_BROKEN)
    return tuple(remarks)
