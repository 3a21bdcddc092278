"""What would happen to a message, and why, for people: as a tree, or as JSON. Changes and creates nothing."""

from pfilter.antivirus import examine, screen
from pfilter.antivirus.clamd import Verdict
from pfilter.base.frozen import Frozen
from pfilter.base.spool import Spool
from pfilter.base.text import human_size, printable
from pfilter.config.settings import Settings
from pfilter.decision import decide
from pfilter.decision.plan import Action
from pfilter.message import decoded, filenames, roles
from pfilter.message.model import Envelope, Message, Part
from pfilter.pipeline import Examined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERBS = {
    "keep": "stays",
    "zip": "is zipped",
    "link": "becomes a link",
    "strip": "is taken off",
    "drop": "is removed",
}


class Scanned(Frozen):
    """What clamd said about a message, and what follows from it."""

    verdict: Verdict
    screening: screen.Screening


def ask_clamd(spool: Spool, message: Message, envelope: Envelope, settings: Settings) -> Scanned | None:
    """Return what clamd says now, None where the configuration has none. Raises OSError for the message alone."""
    if not settings.clamav_socket:
        return None
    verdict = examine.examine(spool, message, settings)
    return Scanned(verdict=verdict, screening=screen.rule(verdict, envelope, settings))


def describe(spool: Spool, found: Examined, settings: Settings, scanned: Scanned | None = None) -> "dict[str, Any]":
    """Return everything about an examined message as plain values."""
    message = found.message
    header = spool.read(message.root.header.start, message.root.header.end)
    actions = {action.part: action for action in found.plan.actions}
    bodies = {part.number for part in roles.main_bodies(message)}
    parts = []
    for part in message.parts:
        action = actions.get(part.number)
        parts.append(
            {
                "section": part.section,
                "type": part.type.decode("ascii", "replace"),
                "encoding": part.encoding.decode("ascii", "replace"),
                "octets": part.body.size,
                "name": _name(part, action),
                "body": part.number in bodies,
                "embedded": part.embedded,
                "defect": part.defect,
                "action": action.what if action else "",
                "reason": action.reason if action else "",
                "size": action.size if action else None,
            }
        )
    return {
        "octets": message.size,
        **decoded.header_texts(header),
        "message_id": message.message_id,
        "reason": found.plan.reason,
        "changes": found.plan.changes,
        "mode": settings.mode,
        "virus_scan": _scan_values(scanned),
        "remarks": list(found.plan.remarks),
        "defects": list(message.defects),
        "parts": parts,
    }


def _scan_values(scanned: Scanned | None) -> "dict[str, str] | None":
    if scanned is None:
        return None
    screening = scanned.screening
    choices = (
        ("quarantine", screening.hold),
        ("bounce", screening.refuse),
        ("wait", screening.wait),
        ("pass", screening.untouched),
    )
    then = next((what for what, reason in choices if reason), "")
    return {"status": scanned.verdict.status, "reason": scanned.verdict.reason, "then": then}


def _fate(told: "dict[str, Any]", settings: Settings) -> str:
    """Return the sentence that says what would become of the message: what clamd found goes before all rules."""
    scan = told["virus_scan"] or {"then": ""}
    if scan["then"]:
        fate = {
            "quarantine": "be put into quarantine",
            "bounce": "be returned to its sender",
            "wait": "wait in the queue",
            "pass": "pass untouched",
        }[scan["then"]]
        return f"The message would {fate}: {_line(scan['reason'])}."
    if told["changes"]:
        observed = " (observe mode: decided, but not done)" if settings.mode == "observe" else ""
        return f"The message would be changed{observed}: {told['reason']}."
    return f"The message would pass untouched: {told['reason']}."


def _scan_line(scan: "dict[str, str]") -> str:
    said = {"clean": "clean", "infected": "infected", "unscanned": "not scanned", "error": "could not be asked"}
    return f"{'clamd:':<9}{said[scan['status']]}" + (f" ({_line(scan['reason'])})" if scan["reason"] else "")


def _name(part: Part, action: Action | None) -> str:
    """Return the name that the part would be stored under, or the one that it has."""
    if action and action.name:
        return action.name
    return filenames.file_name(part, part.number) if roles.has_name(part) else ""


def tree(spool: Spool, found: Examined, settings: Settings, scanned: Scanned | None = None) -> str:
    """Return the same for reading."""
    message = found.message
    told = describe(spool, found, settings, scanned)
    lines = [f"{name.capitalize() + ':':<9}{_line(told[name])}" for name in ("from", "to", "subject") if told[name]]
    lines.append(f"{'Size:':<9}{human_size(message.size)}")
    if told["virus_scan"]:
        lines.append(_scan_line(told["virus_scan"]))
    lines.append("")
    for part, values in zip(message.parts, told["parts"], strict=True):
        lines.append("  " * _depth(message, part) + _part_line(values))
    lines.append("")
    lines.append(_fate(told, settings))
    for remark in found.plan.remarks:
        lines.append(f"{'Warning' if remark == decide.SIGNATURE_BROKEN else 'Note'}: {remark}.")
    return "\n".join(lines)


def _depth(message: Message, part: Part) -> int:
    return len(message.ancestors(part))


def _part_line(values: "dict[str, Any]") -> str:
    line = f"{values['section'] or '-':<5} {values['type']}"
    if values["name"]:
        line += f' "{_line(values["name"])}"'
    decoded = values["size"]  # known where a decision was made
    size = human_size(decoded) if decoded else f"{human_size(values['octets'])} in {values['encoding']}"
    line += f", {size}"
    if values["action"]:
        line += f": {VERBS[values['action']]} ({values['reason']})"
    elif values["body"]:
        line += ": body"
    if values["defect"]:
        line += f" [{values['defect']}]"
    return line


def _line(text: str) -> str:
    return printable(text)
