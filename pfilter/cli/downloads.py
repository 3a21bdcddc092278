"""Commands about downloads: look, promise longer, take down, scan again. In a folder or a bucket, all the same."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from pfilter.base import days, idn
from pfilter.base.errors import ConfigError, PfilterError, StoreError, UsageError
from pfilter.base.text import human_size, sentence
from pfilter.cli import listing
from pfilter.cli.options import ConfigOption, configured, log_of, log_removals, say_problems, say_removals
from pfilter.config import readers
from pfilter.config.settings import Settings
from pfilter.store.cleanup import Report
from pfilter.store.layout import short
from pfilter.store.record import REMOVED, WITHDRAWN, Record, match
from pfilter.store.select import open_admin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfilter.store.interface import StoreAdmin

app = typer.Typer(no_args_is_help=True)


def _quantity(read: "Callable[[object], int]") -> "Callable[[str], int]":
    def parse(text: str) -> int:
        try:
            return read(text)
        except ValueError as error:
            raise typer.BadParameter(f"must be {error}") from None

    return parse


IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids, their first 8 characters as logged, or links.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="An id, its first 8 characters as logged, or a link.")]
SenderOption = Annotated[
    list[str] | None,
    typer.Option("--sender", metavar="ADDRESS", help="Only those of this sender; @domain and @.domain work too."),
]
OlderOption = Annotated[
    Any,
    typer.Option(
        "--older-than",
        metavar="TIME",
        parser=_quantity(readers.duration),
        help="Only those stored longer ago, such as 3d.",
    ),
]
LargerOption = Annotated[
    Any,
    typer.Option(
        "--larger-than",
        metavar="SIZE",
        parser=_quantity(readers.size),
        help="Only those whose files together are larger, such as 10M.",
    ),
]
ExpiredOption = Annotated[bool, typer.Option("--expired", help="Only those past their date.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog="Example: pfilter downloads list --sender @example.com --older-than 3d")
def list_command(
    config_file: ConfigOption = "",
    sender: SenderOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    expired: ExpiredOption = False,
    sort: Annotated[str, typer.Option("--sort", metavar="KEY", help=f"{', '.join(listing.ORDERS)}.")] = "created",
    as_json: JsonOption = False,
) -> None:
    """Show downloads, the newest first."""
    if sort not in listing.ORDERS:
        raise UsageError(f"--sort {sort}: must be one of {', '.join(listing.ORDERS)}")
    admin, now, problems = open_admin(configured(config_file)), time.time(), list[str]()
    wanted = _wanted(sender, older_than, larger_than, expired)
    found = listing.ordered(listing.select(admin.records(problems), wanted, now), sort)
    if as_json:
        typer.echo(json.dumps([listing.values(record, now) for record in found], indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(listing.table(found, now)))
    say_problems(problems)


@app.command("show", epilog="Example: pfilter downloads show kq3vdm2a")
def show_command(download: IdArgument, config_file: ConfigOption = "", as_json: JsonOption = False) -> None:
    """Show all that is known of a download, with its links: whoever has these can download the files."""
    admin, now = open_admin(configured(config_file)), time.time()
    record = admin.record(match(admin.ids(), download))
    told = admin.describe(record)
    if as_json:
        files = [{"name": link.name, "size": link.size, "sha256": link.sha256, "url": link.url} for link in told.links]
        values = {**listing.values(record, now), "id": record.id, "url": told.url, "files": files}
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    late = " (past)" if record.until <= now else ""
    if record.ended:
        late = f", ended {listing.date(record.ended)}: {record.reason}"
    lines = {
        "id": record.id,
        "stored": listing.date(record.created),
        "until": listing.date(record.until) + late,
        "sender": record.sender or "<>",
        "recipients": str(record.recipients),
        "queue id": record.queue_id,
        "message id": record.message_id,
        "page": told.url,
    }
    for name, value in lines.items():
        typer.echo(f"{name + ':':<12} {listing.plain(value)}")
    for link in told.links:
        typer.echo(f"\n{listing.plain(link.name)}, {human_size(link.size)}\n  {link.url}\n  SHA-256 {link.sha256}")


@app.command("extend", epilog="Example: pfilter downloads extend kq3vdm2a --by 7d")
def extend_command(
    downloads: IdsArgument = None,
    config_file: ConfigOption = "",
    by: Annotated[
        Any,
        typer.Option("--by", metavar="TIME", parser=_quantity(readers.duration), help="How much longer, such as 7d."),
    ] = None,
    until: Annotated[
        str, typer.Option("--until", metavar="DATE", help="Until when, such as 2030-01-31 or 2030-01-31T18:00.")
    ] = "",
) -> None:
    """Promise a later date; the page says so, mail already sent does not."""
    if bool(by) == bool(until):
        raise UsageError("give either --by or --until")
    if not downloads:
        raise UsageError("give the ids of downloads")
    settings = configured(config_file)
    moment = _moment(until, settings) if until else 0
    admin = open_admin(settings)
    known = admin.ids()
    for download_id in [match(known, given) for given in downloads]:
        before = admin.record(download_id).until
        later = moment or _day(before + int(by), settings)
        record = admin.extend(download_id, later, lambda one, told: _page(one, told, settings))
        log_of(settings).event("info", "extended", downloads=short(download_id), until=listing.date(record.until))
        typer.echo(f"extended download {short(download_id)} to {listing.date(record.until)}")


@app.command("revoke", epilog="Example: pfilter downloads revoke kq3vdm2a")
def revoke_command(
    downloads: IdsArgument = None,
    config_file: ConfigOption = "",
    sender: SenderOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    expired: ExpiredOption = False,
    by_sender: Annotated[
        bool, typer.Option("--by-sender", help="The page that stays says that the sender took the files back.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before taking down what the conditions select.")
    ] = False,
) -> None:
    """Take downloads down at once: those named, or all that meet every condition given.

    A page that says so stays for a while; that of a download that has ended already goes.
    """
    wanted = _wanted(sender, older_than, larger_than, expired)
    if bool(downloads) != wanted.is_everything:
        raise UsageError("give ids, or at least one of --sender, --older-than, --larger-than, --expired")
    settings = configured(config_file)
    admin, now, problems = open_admin(settings), time.time(), list[str]()
    if downloads:
        known = admin.ids()
        ids = [match(known, given) for given in downloads]
    else:
        found = listing.ordered(listing.select(admin.records(problems), wanted, now), "created")
        ids = [record.id for record in found]
        if ids and not yes:
            _ask(found, now)
    report = Report((), (), 0, tuple(problems))
    for download_id in dict.fromkeys(ids):
        report = report.plus(_removed(admin, download_id, WITHDRAWN if by_sender else REMOVED, settings))
    log_removals(settings, report, event="revoked")
    if not report.ids and not report.problems:
        typer.echo("no downloads meet these conditions")
    say_removals(report, "removed", "freed")


@app.command("rescan", epilog="Example, in cron: 23 4 * * * pfilter pfilter downloads rescan")
def rescan_command(
    downloads: IdsArgument = None,
    config_file: ConfigOption = "",
    sender: SenderOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    expired: ExpiredOption = False,
) -> None:
    """Ask clamd about stored files again, and take down what it now finds infected."""
    settings = configured(config_file)
    if not settings.clamav_socket:
        raise ConfigError("[clamav] socket is not set: there is no clamd to ask")
    wanted = _wanted(sender, older_than, larger_than, expired)
    admin, now, problems = open_admin(settings), time.time(), list[str]()
    if downloads:
        known = admin.ids()
        records = [admin.record(match(known, given)) for given in downloads]
    else:
        records = list(listing.select(admin.records(problems), wanted, now))
    said: dict[str, tuple[str, str]] = {}  # by content: the same file in many messages is asked about once
    report = Report((), (), 0, tuple(problems))
    for record in records:
        infected, trouble = _scan(admin, record, settings, said)
        report = report.replace(problems=(*report.problems, *trouble))
        if infected:
            report = report.plus(_removed(admin, record.id, REMOVED, settings))
    log_removals(settings, report, event="revoked")
    clean = sum(status == "clean" for status, _ in said.values())
    unscanned = sum(status == "unscanned" for status, _ in said.values())
    typer.echo(f"{len(said)} different files: {clean} clean, {len(report.ids)} downloads taken down", nl=False)
    typer.echo(f", {unscanned} over clamd's limits" if unscanned else "")
    say_removals(report, "removed", "freed")


def _scan(
    admin: "StoreAdmin", record: Record, settings: Settings, said: dict[str, tuple[str, str]]
) -> tuple[bool, list[str]]:
    """Return whether a file of a download is infected, and what could not be found out."""
    from pfilter.antivirus import clamd

    infected, trouble = False, []
    for file in record.files:
        where = f"{short(record.id)} {listing.plain(file.name)}"
        if file.sha256 not in said:
            try:
                chunks = admin.read(record, file.name)
                verdict = clamd.scan(chunks, settings.clamav_socket, settings.clamav_timeout)
            except (PfilterError, OSError) as error:
                trouble.append(f"{where}: {sentence(error)}")
                continue
            if verdict.status == "error":
                trouble.append(f"{where}: {verdict.reason}")
                continue
            said[file.sha256] = (verdict.status, verdict.reason)
        status, reason = said[file.sha256]
        if status == "infected":
            typer.echo(f"infected: {where}: {reason}")
            infected = True
    return infected, trouble


def _removed(admin: "StoreAdmin", download_id: str, reason: str, settings: Settings) -> Report:
    from pfilter.notices import texts

    try:
        return admin.remove(download_id, reason, texts.pages(settings, time.time()))
    except (StoreError, OSError) as error:
        return Report((), (), 0, (sentence(error),))


def _ask(found: "Sequence[Record]", now: float) -> None:
    """Show what would go, and let a person decide. Raises UsageError where there is nobody to ask."""
    typer.echo("\n".join(listing.table(found, now)))
    if not _is_person():
        raise UsageError("nothing was taken down: there is no terminal to ask on; use --yes")
    typer.confirm("Take these down?", abort=True)


def _is_person() -> bool:
    return sys.stdin.isatty()


def _wanted(sender: list[str] | None, older_than: int | None, larger_than: int | None, expired: bool) -> listing.Filter:
    return listing.Filter(
        senders=tuple(idn.address_text(one) for one in sender or ()),
        older_than=-1 if older_than is None else older_than,
        larger_than=-1 if larger_than is None else larger_than,
        expired=expired,
    )


def _day(moment: int, settings: Settings) -> int:
    """Return the end of the day that readers are told, where they are told days."""
    return days.end(moment, settings.notice_timezone) if days.by_day(settings.store_keep) else moment


def _moment(text: str, settings: Settings) -> int:
    """Read a date, in the zone of promised dates unless it says otherwise; a day means its end."""
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text}: must be a date such as 2030-01-31 or 2030-01-31T18:00") from None
    if len(text) == len("2030-01-31"):
        found = found.replace(hour=23, minute=59, second=59)
    zone = settings.notice_timezone
    local = found.replace(tzinfo=days.known(zone)) if zone and not found.tzinfo else found
    return _day(int(local.timestamp()), settings)


def _page(record: Record, told: Any, settings: Settings) -> bytes:
    from pfilter.notices import texts

    return texts.page_of(record, told, settings, time.time())
