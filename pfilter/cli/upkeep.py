"""Commands for cron and administrators: clean up, take down, check."""

import os
from typing import Annotated

import typer

from pfilter import config
from pfilter.cli.common import ConfigOption, configured
from pfilter.errors import EX_FAILURE, StoreError
from pfilter.log import Log
from pfilter.model import human_size
from pfilter.policy import DEFAULT_PATH, Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.store.cleanup import Report

app = typer.Typer()

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]


@app.command(
    "expire", short_help="Remove what has expired.", epilog="Example, in cron: 17 * * * * pfilter pfilter expire"
)
def expire_command(config_file: ConfigOption = "", dry_run: DryRunOption = False) -> None:
    """Remove downloads past their date, and what crashed runs left; safe at any time."""
    import time

    from pfilter.store.cleanup import expire
    from pfilter.store.local import LocalStore

    policy = configured(config_file)
    store = LocalStore(policy.store_path, policy.store_base_url)
    if not os.path.isdir(policy.store_path):
        raise StoreError(f"store {policy.store_path} does not exist")
    report = expire(store, time.time(), policy.store_grace, dry_run=dry_run)
    if not dry_run:
        _log_removals(policy, report, event="expired")
    _say(report, "would remove" if dry_run else "removed", "would free" if dry_run else "freed")


@app.command("revoke", short_help="Take a message's downloads down.", epilog="Example: pfilter revoke kq3vdm2a")
def revoke_command(
    download: Annotated[
        str, typer.Argument(metavar="ID", help="A download's id, its first 8 characters as in the log, or its link.")
    ],
    config_file: ConfigOption = "",
) -> None:
    """Take a message's downloads down at once."""
    from pfilter.store.cleanup import revoke
    from pfilter.store.local import LocalStore

    policy = configured(config_file)
    report = revoke(LocalStore(policy.store_path, policy.store_base_url), download)
    _log_removals(policy, report, event="revoked")
    _say(report, "removed", "freed")


@app.command(
    "check",
    short_help="Check the configuration and its surroundings.",
    epilog="Example: pfilter check --config /etc/pfilter/pfilter.toml",
)
def check_command(config_file: ConfigOption = "") -> None:
    """Check the configuration, and that the store, the templates and the way back to Postfix can be used."""
    from pfilter import check

    policy = configured(config_file)
    config.load(config_file or DEFAULT_PATH)  # again, as the user that the pipe runs as
    typer.echo(f"ok       {config_file or DEFAULT_PATH} can be used")
    findings = check.run(policy)
    for finding in findings:
        typer.echo(f"{finding.level:<8} {finding.text}")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(EX_FAILURE)


def _log_removals(policy: Policy, report: "Report", event: str) -> None:
    """Write one event where anything was removed, or could not be."""
    if report.ids or report.leftovers or report.problems:
        log = Log(policy.log_to, policy.log_level, policy.log_format)
        level = "error" if report.problems else "info"
        downloads = ", ".join(download_id[:8] for download_id in report.ids)
        counts = {"leftovers": len(report.leftovers), "freed": report.freed, "problems": len(report.problems)}
        log.event(level, event, downloads=downloads, **counts)


def _say(report: "Report", removed: str, freed: str) -> None:
    for download_id in report.ids:
        typer.echo(f"{removed} download {download_id[:8]}")
    for path in report.leftovers:
        typer.echo(f"{removed} {path}")
    if report.ids or report.leftovers:
        counts = f"{_count(report.ids, 'download')} and {_count(report.leftovers, 'leftover')}"
        typer.echo(f"{removed} {counts}, {freed} {human_size(report.freed)}")
    for problem in report.problems:
        typer.echo(f"pfilter: {problem}", err=True)
    if report.problems:
        raise typer.Exit(EX_FAILURE)


def _count(things: "Sequence[str]", name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
