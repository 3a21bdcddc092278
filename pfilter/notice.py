"""What readers are told: templates in Jinja2's language (minijinja) to text and HTML.

Built-in templates lie in `pfilter/templates`; a file of the same name in `[notice] templates` replaces one. Variables:
`files` (each with `name`, `size`, `url`, `path`), `url`, `until`, `sender`, `subject`, `reference`. HTML is
autoescaped; in text, controls are taken out of every value.
"""

import os

from pfilter.errors import ConfigError
from pfilter.frozen import Frozen
from pfilter.model import Download, human_size
from pfilter.policy import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
NAMES = ("notice.txt", "notice.html", "stripped.txt", "stripped.html", "notification.txt", "page.html")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class Notice(Frozen):
    """One notice in both forms."""

    text: str
    html: str


def for_links(download: Download, policy: Policy) -> Notice:
    """Return the notice about files that became links. Raises ConfigError for a template that can't be used."""
    values = _download_values(download)
    return Notice(text=_render("notice.txt", values, policy), html=_render("notice.html", values, policy))


def for_stripped(names: "Sequence[str]", reference: str, policy: Policy) -> Notice:
    """Return the notice about files taken off. Raises ConfigError as above."""
    values = {"files": [{"name": _plain(name)} for name in names], "reference": _plain(reference)}
    return Notice(text=_render("stripped.txt", values, policy), html=_render("stripped.html", values, policy))


def notification(download: Download, subject: str, policy: Policy) -> str:
    """Return the text of the mail to the sender. Raises ConfigError as above."""
    return _render("notification.txt", {**_download_values(download), "subject": _plain(subject)}, policy)


def page(download: Download, sender: str, policy: Policy) -> bytes:
    """Return the page that a recipient lands on, in UTF-8. Raises ConfigError as above."""
    values = {**_download_values(download), "sender": _plain(sender)}
    return _render("page.html", values, policy).encode("utf-8")


def date(seconds: int) -> str:
    """Return an absolute date such as 29 November 2026, 14:05 UTC."""
    from time import gmtime

    when = gmtime(seconds)
    return f"{when.tm_mday} {MONTHS[when.tm_mon - 1]} {when.tm_year}, {when.tm_hour:02}:{when.tm_min:02} UTC"


def check(policy: Policy) -> None:
    """Render every template with sample values. Raises ConfigError for one that can't be used."""
    from pfilter.model import Link

    link = Link(name="a.bin", size=1, sha256="0" * 64, url="https://files.example/d/x/files/a.bin")
    sample = Download(id="x", url="https://files.example/d/x/", links=(link,), until=0)
    for_links(sample, policy)
    for_stripped(["a.bin"], "1", policy)
    notification(sample, "subject", policy)
    page(sample, "sender@example.org", policy)


def _download_values(download: Download) -> "dict[str, object]":
    from minijinja import safe

    # URLs are made of a checked base_url and percent-encoded names. Escaping would write each slash as &#x2f;, which
    # browsers read, but not every program that looks for links in mail.
    files = [
        {
            "name": _plain(link.name),
            "size": human_size(link.size),
            "url": safe(link.url),
            "path": safe(link.url.removeprefix(download.url)),
        }
        for link in download.links
    ]
    return {"files": files, "url": safe(download.url), "until": date(download.until)}


def _render(name: str, values: "Mapping[str, object]", policy: Policy) -> str:
    from minijinja import Environment, TemplateError

    try:
        source = _source(name, policy.notice_templates)
        environment = Environment(templates={name: source}, keep_trailing_newline=True)
        return environment.render_template(name, **values)
    except (TemplateError, OSError, UnicodeDecodeError) as error:
        where = policy.notice_templates or BUILT_IN
        raise ConfigError(f"template {os.path.join(where, name)}: {str(error).partition(chr(10))[0]}") from error


def _source(name: str, folder: str) -> str:
    if folder:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            pass  # not every template need be replaced
    with open(os.path.join(BUILT_IN, name), encoding="utf-8") as stream:
        return stream.read()


def _plain(value: str) -> str:
    """Return a value in one line, without controls."""
    return "".join(c if c.isprintable() else " " for c in value)
