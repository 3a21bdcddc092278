"""What a recipient of a delivered mail has of it: bodies, files, what opens behind its links."""

import io
import re
import stat
import zipfile
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

from tests.lib.support import BASE_URL, addresses, leaves, parsed, text_of
from tests.tools.faults.delivery import Delivery
from tests.tools.faults.mail import HTML, TEXT, Mail


def wrong(mail: Mail, delivery: Delivery, store: Path) -> list[str]:
    """Say in words what is wrong with a delivery; nothing where it is whole and all its links open."""
    problems = _of_envelope(mail, delivery)
    if delivery.octets == mail.data:
        return problems
    if not mail.files:
        return [*problems, f"a message that should pass was changed, {len(delivery.octets)} octets"]
    try:
        found = _files(delivery, store)
        texts = {leaf.get_content_type(): text_of(leaf) for leaf in reversed(leaves(parsed(delivery.octets)))}
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        return [*problems, f"a delivered mail has a file that can't be had: {error}"]
    if not texts["text/plain"].startswith(TEXT) or not texts["text/html"].startswith(HTML.partition("</body>")[0]):
        problems.append("a delivered mail lacks its text")
    if mail.sender:
        expected = mail.files
    else:
        kept = [path.read_bytes() for path in (store / "trouble").glob("*.eml")]
        if kept != [mail.data]:
            problems.append(f"attachments taken off, and {len(kept)} originals kept, or not as they came")
        expected = {}
    if found != expected:
        problems.append(f"a delivered mail has the files {sorted(found)}, or not as they were attached")
    return problems


def _of_envelope(mail: Mail, delivery: Delivery) -> list[str]:
    """Say whether it went to somebody else; and who, where readers are told apart, got what is for the others."""
    problems = []
    some = bool(mail.exempt and delivery.readers) and not Counter(delivery.readers) - Counter(mail.readers)
    if delivery.sender != mail.sender or not (some or delivery.readers == mail.readers):
        problems.append(f"delivered with another envelope: {delivery.sender} {delivery.readers}")
    exempt = set(delivery.readers) & set(mail.exempt)
    if exempt and delivery.octets != mail.data:
        problems.append(f"who is exempt got a changed message: {delivery.readers}")
    if mail.exempt and delivery.octets == mail.data and set(delivery.readers) != exempt:
        problems.append(f"who is not exempt got the original: {delivery.readers}")
    return problems


def links(delivery: Delivery) -> set[str]:
    """Return the addresses of download pages in a delivery."""
    texts = "".join(text_of(leaf) for leaf in leaves(parsed(delivery.octets)) if leaf.get_content_maintype() == "text")
    pages = (re.match(r".*/[a-z2-7]{32}/", address) for address in addresses(texts))  # a link may be a file's
    return {page[0] for page in pages if page}


def _files(delivery: Delivery, store: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for leaf in leaves(parsed(delivery.octets)):
        name = leaf.get_filename()
        if not name:
            continue
        content = leaf.get_payload(decode=True)
        assert isinstance(content, bytes)
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found.update({member: archive.read(member) for member in archive.namelist()})
        else:
            found[name] = content
    for page in links(delivery):
        paths = re.findall(r'href="(files/[^"]*)"', open_link(page, store).decode("utf-8"))
        if not paths:
            raise ValueError(f"{page} names no file")
        for path in paths:
            found[unquote(path.removeprefix("files/"))] = open_link(page + path, store)
    return found


def open_link(url: str, store: Path) -> bytes:
    """Return what a web server with rights of its own serves for a link. Raises OSError, ValueError."""
    path = store / "downloads" / unquote(url.removeprefix(f"{BASE_URL}/"))
    path = path / "index.html" if url.endswith("/") else path
    if stat.S_IMODE(path.stat().st_mode) != 0o644:
        raise ValueError(f"the web server can't read {path.name}")
    for folder in list(path.parents)[: len(path.relative_to(store).parts)]:
        if stat.S_IMODE(folder.stat().st_mode) != 0o711:
            raise ValueError(f"the web server can't enter {folder.name}")
    return path.read_bytes()
