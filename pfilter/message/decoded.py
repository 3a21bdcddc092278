"""Names, subjects and addresses for people: what is encoded is decoded here, by mail-parser.

The only importer of mail-parser (95 ms). It is given one header block at a time with an empty body, never a body. What
comes back is as the sender meant it: names still have to go through `filenames.safe_name`.
"""

from pfilter.message import field_values
from pfilter.message.addresses import domain_of, matches_domain
from pfilter.message.model import Message

ENCODED_LIMIT = 4096  # octets of an encoded name; decoding takes time by their square
HEADER_LIMIT = 65536  # octets of a header that is decoded for people
SUBJECT_LIMIT = 200  # characters of a message's subject that are shown


def file_name(wanted: bytes, forms: list[tuple[bytes, bytes]]) -> str:
    """Return a file name from the forms of a parameter that encode it (RFC 2231, 2047), "" where that fails."""
    if sum(len(name) + len(value) for name, value in forms) > ENCODED_LIMIT:
        return ""
    from mailparser import parse_from_bytes

    # In a field of their own, so that mail-parser can't prefer another name.
    block = b"Content-Disposition: attachment"
    for name, value in forms:
        quoted = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        block += b";\n\tfilename" + name.removeprefix(wanted) + b'="' + quoted + b'"'
    try:
        found = parse_from_bytes(block + b"\n\nx").attachments
    except Exception:  # noqa: BLE001  # whatever it stumbles over in a hostile name: the raw form serves
        return ""
    return str(found[0]["filename"] or "") if found else ""


def header_texts(block: bytes) -> dict[str, str]:
    """Return the decoded subject and addresses of a header block, for people; missing ones are ""."""
    from mailparser import parse_from_bytes

    try:
        mail = parse_from_bytes(block[:HEADER_LIMIT].rstrip(b"\r\n") + b"\n\n")
        people = {"from": mail.from_, "to": mail.to}
        texts = {
            name: ", ".join(f"{shown} <{address}>" if shown else address for shown, address in pairs)
            for name, pairs in people.items()
        }
        return {"subject": str(mail.subject or ""), **texts}
    except Exception:  # noqa: BLE001  # the header of hostile mail; nothing depends on these texts
        return {"subject": "", "from": "", "to": ""}


def from_address(block: bytes) -> bytes:
    """Return the address in the From field of a header block, b"" where there is none."""
    from mailparser import parse_from_bytes

    try:
        pairs = parse_from_bytes(block[:HEADER_LIMIT].rstrip(b"\r\n") + b"\n\n").from_
        return str(pairs[0][1]).encode("utf-8", "replace") if pairs else b""
    except Exception:  # noqa: BLE001  # as above
        return b""


def author_of(message: Message, sender: bytes, own_domains: tuple[str, ...]) -> str:
    """Return the one address in From, if its domain is ours and that of the envelope sender; else "".

    Only then can he be believed to be who he says; a return path of a program may have a recipient's address in it.
    What is not written as mail programs write it (RFC 5322, 3.4, without comments and routes) is nobody's.
    """
    import re

    fields = message.values(b"from")
    domain = domain_of(sender)
    if len(fields) != 1 or not matches_domain(domain, own_domains):
        return ""
    found = re.fullmatch(
        rb"""(?:[^"<>@,:;()\\]*|"(?:[^"\\]|\\.){0,998}")\s*<([^\s<>@,:;()"\\]+@[\w.-]+)>|([^\s<>@,:;()"\\]+@[\w.-]+)""",
        field_values.unfold(fields[0][:ENCODED_LIMIT]).strip(),
    )
    address = (found[1] or found[2]) if found else b""
    return address.decode("ascii") if address.isascii() and domain and domain_of(address) == domain else ""


def subject_of(message: Message) -> str:
    """Return the subject of a message as people read it, "" where there is none."""
    field = b"".join(b"Subject:" + value for value in message.values(b"subject")[:1])
    if b"=?" not in field and field.isascii():
        return field_values.unfold(field.partition(b":")[2]).decode("ascii")[:SUBJECT_LIMIT]
    return header_texts(field)["subject"][:SUBJECT_LIMIT]
