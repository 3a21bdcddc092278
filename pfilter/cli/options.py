"""What the commands share: the configuration's option, reading it as its owner, telling what was removed."""

from typing import Annotated

import typer

from pfilter.base.errors import EX_FAILURE
from pfilter.base.log import Log
from pfilter.base.privileges import become_owner
from pfilter.base.text import counted, human_size
from pfilter.config import load
from pfilter.config.settings import DEFAULT_PATH, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.store.cleanup import Report

ConfigOption = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="PFILTER_CONFIG",
        help=f"Configuration file.  [default: {DEFAULT_PATH}]",
        show_envvar=True,
    ),
]


def configured(file: str) -> Settings:
    """Read the configuration and become the owner of its store. Raises ConfigError."""
    settings = load.load(file or DEFAULT_PATH)
    become_owner(settings.store_path)
    return settings


def log_removals(settings: Settings, report: "Report", event: str) -> None:
    """Write one event where anything was removed, or could not be."""
    if report.ids or report.leftovers or report.problems:
        log = Log(settings.log_to, settings.log_level, settings.log_format)
        level = "error" if report.problems else "info"
        downloads = ", ".join(download_id[:8] for download_id in report.ids)
        counts = {"leftovers": len(report.leftovers), "freed": report.freed, "problems": len(report.problems)}
        log.event(level, event, downloads=downloads, **counts)


def say_removals(report: "Report", removed: str, freed: str) -> None:
    """Print what was removed; leave with status 1 where something could not be."""
    for download_id in report.ids:
        typer.echo(f"{removed} download {download_id[:8]}")
    for path in report.leftovers:
        typer.echo(f"{removed} {path}")
    if report.ids or report.leftovers:
        counts = f"{counted(len(report.ids), 'download')} and {counted(len(report.leftovers), 'leftover')}"
        typer.echo(f"{removed} {counts}, {freed} {human_size(report.freed)}")
    say_problems(report.problems)


def say_problems(problems: "Sequence[str]") -> None:
    """Print what went wrong, if anything did, and leave with status 1."""
    for problem in problems:
        typer.echo(f"pfilter: {problem}", err=True)
    if problems:
        raise typer.Exit(EX_FAILURE)
