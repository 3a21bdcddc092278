"""What readers are told, in text and HTML, in the language of the sender: templates with their values."""

from pfilter.base import days, filetypes
from pfilter.base.catalogue import Language
from pfilter.base.errors import ConfigError
from pfilter.base.frozen import Frozen
from pfilter.base.text import ISO, printable, utc
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope
from pfilter.notices import language, logo
from pfilter.notices.templates import mailbox, render, url
from pfilter.store.layout import ARCHIVE
from pfilter.store.pages import Pages
from pfilter.store.record import REASONS, Download, Record, RecordedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Notice(Frozen):
    """One notice in both forms."""

    text: str
    html: str


class Letter(Frozen):
    """A mail of our own."""

    subject: str
    text: str


def for_links(download: Download, sender: str, settings: Settings) -> Notice:
    """Return the notice about files that became links. Raises ConfigError for what can't be used."""
    return _both("notice", lambda html, words: _download(download, html, words, settings), sender, settings)


def for_stripped(names: "Sequence[str]", reference: str, settings: Settings) -> Notice:
    """Return the notice about files taken off mail without a sender. Raises ConfigError as above."""
    values = {"files": [{"name": printable(name)} for name in names], "reference": printable(reference)}
    return _both("stripped", lambda html, words: values, "", settings)


def notification(download: Download, sender: str, subject: str, settings: Settings) -> Letter:
    """Return the mail to the sender. Raises ConfigError as above."""
    words = language.of(sender, settings)
    values = {**_download(download, False, words, settings), "subject": printable(subject)}
    told = {"subject": printable(subject)}
    return Letter(
        subject=words.filled(words.gettext("Sent as links: %(subject)s"), told)
        if subject
        else words.gettext("Your attachments have been replaced with links"),
        text=render("notification.txt", values, words, settings),
    )


def summary(downloads: "Sequence[tuple[str, Download]]", sender: str, settings: Settings) -> Letter:
    """Return one mail to the sender about several messages, given as subjects and downloads. Raises ConfigError."""
    words = language.of(sender, settings)
    messages = [
        {**_download(download, False, words, settings), "subject": printable(subject)}
        for subject, download in downloads
    ]
    count = len(messages)
    subject = words.ngettext("Sent as links: %(num)s message", "Sent as links: %(num)s messages", count)
    return Letter(
        subject=words.filled(subject, {"num": str(count)}),
        text=render("summary.txt", {"messages": messages}, words, settings),
    )


def service(sender: str, settings: Settings) -> str:
    """Return what the mail service of the organisation is called in mail to a sender. Raises ConfigError."""
    words = language.of(sender, settings)
    name = {"organisation": printable(settings.notice_organisation)}
    return words.filled(words.gettext("%(organisation)s mail service"), name)


def quarantined(name: str, reason: str, envelope: Envelope, settings: Settings) -> Letter:
    """Return the mail to the administrator about a message in quarantine, which has that name. Raises ConfigError."""
    words = language.of(settings.notify_admin, settings)
    values = {
        "name": printable(name),
        "reason": _in_words(printable(reason), words),
        "sender": printable(envelope.sender.decode("utf-8", "replace")),
        "login": printable(envelope.sasl_user),
        "client": printable(envelope.client),
        "recipients": len(envelope.recipients),
    }
    return Letter(
        subject=words.gettext("pfilter: a message is in quarantine"),
        text=render("quarantined.txt", values, words, settings),
    )


def _in_words(reason: str, words: Language) -> str:
    """Return why a message is held, as far as that is ours to say, in a language; what a scanner said stays."""
    heads = {  # as `antivirus.screen` and `pipeline` begin
        "virus ": words.gettext("virus %(detail)s"),
        "not scanned for viruses: ": words.gettext("not scanned for viruses: %(detail)s"),
        "ambiguous: ": words.gettext("mail programs disagree about it: %(detail)s"),
    }
    for head, said in heads.items():
        if reason.startswith(head):
            return words.filled(said, {"detail": reason.removeprefix(head)})
    return reason


def page(
    download: Download, sender: str, settings: Settings, subject: str = "", *, author: str = "", now: float = 0
) -> bytes:
    """Return the page that a recipient lands on, in UTF-8; `subject` is shown if there is one. Raises ConfigError.

    `author` is the address that it names, if that is not the sender's.
    """
    words = language.of(sender, settings)
    values = {
        **_download(download, True, words, settings),
        "late": download.until <= now,
        "sender": printable(author or sender),
        "subject": printable(subject),
        "logo": _logo(settings),
        "archive": ARCHIVE if settings.serve_archive and not settings.store_url and len(download.links) > 1 else "",
        "total": words.size(sum(link.size for link in download.links)),
    }
    return render("page.html", values, words, settings).encode("utf-8")


def tombstone(record: Record, settings: Settings) -> bytes:
    """Return the page that stays when a download has ended, in UTF-8: no names of files. Raises ConfigError."""
    words = language.of(record.sender, settings)
    values = {
        "reason": record.reason,
        "logo": _logo(settings),
        "sender": printable(record.shown),
        "ask_url": url(_ask_url(record, words), html=True),
        "subject": printable(record.subject),
        "count": len(record.files),
        **_until(record.until, words, settings),
    }
    return render("expired.html", values, words, settings).encode("utf-8")


def page_of(record: Record, download: Download, settings: Settings, now: float) -> bytes:
    """Return the same of what is stored."""
    return page(download, record.sender, settings, record.subject, author=record.author, now=now)


def pages(settings: Settings, now: float) -> Pages:
    """Return how clean-up speaks of a download after its date."""
    return Pages(
        late=lambda record, download: page_of(record, download, settings, now),
        tombstone=lambda record: tombstone(record, settings),
        keep=settings.store_tombstone,
    )


def _logo(settings: Settings) -> object:
    """Return the logo for a page, "" for none; one that can't be shown must keep no mail, see `check`."""
    if not settings.notice_logo:
        return ""
    try:
        return url(logo.inline(settings.notice_logo), html=True)
    except ConfigError:
        return ""


def _ask_url(record: Record, words: Language) -> str:
    """Return where a click writes to the sender, with a subject by which he knows what about; "" where it can't."""
    if not mailbox(record.shown):
        return ""
    from urllib.parse import quote

    subject = words.gettext("Please send the files again")
    if record.subject:
        subject = words.filled(words.gettext("Please send again: %(subject)s"), {"subject": printable(record.subject)})
    return f"mailto:{record.shown}?subject={quote(subject, safe='')}"


def expired_page(settings: Settings) -> bytes:
    """Return the one page for what never existed, or of which nothing is left, in UTF-8. Raises ConfigError."""
    values = {"reason": "", "logo": _logo(settings)}
    return render("expired.html", values, language.of("", settings), settings).encode("utf-8")


def check(settings: Settings) -> None:
    """Render every template in every language, with sample values. Raises ConfigError for what can't be used."""
    from pfilter.store.record import Link

    if settings.notice_logo:
        logo.inline(settings.notice_logo)
    link = Link(name="a.bin", size=1, sha256="0" * 64, url="https://files.example/d/x/files/a.bin")
    for name in settings.languages:
        spoken = settings.replace(notice_language=name, notice_languages=())
        for links in ((link,), (link, link)):
            sample = Download(id="x", url="https://files.example/d/x/", links=links, until=0)
            names = [one.name for one in links]
            for_links(sample, "", spoken)
            for_stripped(names, "1", spoken)
            notification(sample, "", "subject", spoken)
            summary([("subject", sample), ("", sample)], "", spoken)
            _check_pages(sample, spoken)
        quarantined("name", "reason", Envelope(sender=b"", recipients=(b"a@example.org",)), spoken)
        expired_page(spoken)


def _check_pages(sample: Download, settings: Settings) -> None:
    """Render the pages of a download, before and after its date, and after its end."""
    files = tuple(RecordedFile(name=link.name, size=link.size, sha256=link.sha256) for link in sample.links)
    about = {"id": "x", "created": 0, "until": 1, "recipients": 1, "queue_id": "", "message_id": "", "files": files}
    for sender, subject in (("sender@example.org", "subject"), ("sender@example.org", ""), ("", "")):
        record = Record(sender=sender, subject=subject, **about)  # type: ignore[arg-type]
        for now in (0, 2):
            page_of(record, sample.replace(until=1), settings, now)
        for reason in REASONS:
            tombstone(record.at_end(2, reason), settings)


def _both(
    name: str, values: "Callable[[bool, Language], Mapping[str, object]]", sender: str, settings: Settings
) -> Notice:
    words = language.of(sender, settings)
    return Notice(
        text=render(f"{name}.txt", values(False, words), words, settings),
        html=render(f"{name}.html", values(True, words), words, settings),
    )


def _download(download: Download, html: bool, words: Language, settings: Settings) -> "dict[str, object]":
    files = [
        {
            "name": printable(link.name),
            "size": words.size(link.size),
            "url": url(link.url, html),
            "path": url(link.url.removeprefix(download.url), html),
            "kind": filetypes.kind(link.name),
            "sha256": link.sha256,
        }
        for link in download.links
    ]
    return {"files": files, "url": url(download.url, html), **_until(download.until, words, settings)}


def _until(moment: int, words: Language, settings: Settings) -> "dict[str, object]":
    """Return the promised date for people and for programs: a day, or where less is promised, a time too."""
    zone = settings.notice_timezone
    day = words.date(moment, zone, timed=False)
    if days.by_day(settings.store_keep) and (not settings.presigned or days.is_end(moment, zone)):
        return {"until": day, "until_iso": f"{days.at(moment, zone):%Y-%m-%d}"}
    return {"until": words.date(moment, zone, timed=True), "until_iso": utc(moment, ISO)}
