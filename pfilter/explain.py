"""What would happen to a message, and why, for people: as a tree, or as JSON. Changes and creates nothing."""

from pfilter import classify, names
from pfilter.engine import Examined
from pfilter.model import Action, Message, Part, human_size
from pfilter.policy import Policy
from pfilter.spool import Spool

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


def describe(spool: Spool, found: Examined, policy: Policy) -> "dict[str, Any]":
    """Return everything about an examined message as plain values."""
    message = found.message
    assert message
    header = spool.read(message.root.header.start, message.root.header.end)
    actions = {action.part: action for action in found.plan.actions}
    bodies = {part.number for part in classify.main_bodies(message)}
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
        **names.header_texts(header),
        "message_id": message.message_id,
        "reason": found.plan.reason,
        "changes": found.plan.changes,
        "mode": policy.mode,
        "remarks": list(found.plan.remarks),
        "defects": list(message.defects),
        "parts": parts,
    }


def _name(part: Part, action: Action | None) -> str:
    """Return the name that the part would be stored under, or the one that it has."""
    if action and action.name:
        return action.name
    return names.file_name(part, part.number) if names.has_name(part) else ""


def tree(spool: Spool, found: Examined, policy: Policy) -> str:
    """Return the same for reading."""
    message = found.message
    assert message
    told = describe(spool, found, policy)
    lines = [f"{name.capitalize() + ':':<9}{_line(told[name])}" for name in ("from", "to", "subject") if told[name]]
    lines.append(f"{'Size:':<9}{human_size(message.size)}")
    lines.append("")
    for part, values in zip(message.parts, told["parts"], strict=True):
        lines.append("  " * _depth(message, part) + _part_line(values))
    lines.append("")
    if found.plan.changes:
        observed = " (observe mode: decided, but not done)" if policy.mode == "observe" else ""
        lines.append(f"The message would be changed{observed}: {found.plan.reason}.")
    else:
        lines.append(f"The message would pass untouched: {found.plan.reason}.")
    lines += [f"Note: {remark}." for remark in found.plan.remarks]
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
    return "".join(c if c.isprintable() else " " for c in text)
