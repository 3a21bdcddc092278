"""Commands for cron and administrators: clean up, take down, check."""

import os
from typing import Annotated

import typer

from pfilter.base.errors import StoreError
from pfilter.cli.options import ConfigOption, configured, log_removals, say_findings, say_removals
from pfilter.config import load
from pfilter.config.settings import DEFAULT_PATH

app = typer.Typer()

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]


@app.command(
    "expire", short_help="Remove what has expired.", epilog="Example, in cron: 17 * * * * pfilter pfilter expire"
)
def expire_command(config_file: ConfigOption = "", dry_run: DryRunOption = False) -> None:
    """Remove downloads past their date, kept messages past theirs, and what crashed runs left. Safe at any time."""
    import time

    from pfilter.notices import texts
    from pfilter.store import kept
    from pfilter.store.local_admin import LocalAdmin
    from pfilter.store.select import open_admin, open_local, open_store

    settings = configured(config_file)
    store = open_local(settings)
    if not os.path.isdir(settings.store_path):
        raise StoreError(f"store {settings.store_path} does not exist")
    now = time.time()
    # What was stored here before [store] url was set expires here all the same.
    pages = texts.pages(settings, now)
    report = LocalAdmin(store).expire(now, settings.store_grace, dry_run=dry_run, pages=pages)
    if settings.store_url:
        report = report.plus(open_admin(settings).expire(now, settings.store_grace, dry_run=dry_run, pages=pages))
    if settings.link_enabled and not dry_run:
        open_store(settings).put_expired_page(lambda: texts.expired_page(settings), anew=True)
    old = kept.expire(settings.store_path, now, settings.quarantine_keep, dry_run=dry_run)
    report = report.replace(
        leftovers=(*report.leftovers, *(store.path(one.folder, f"{one.name}.eml") for one in old)),
        freed=report.freed + sum(one.size for one in old),
    )
    if not dry_run:
        log_removals(settings, report, event="expired")
    say_removals(report, "would remove" if dry_run else "removed", "would free" if dry_run else "freed")


@app.command(
    "check",
    short_help="Check the configuration and what it needs.",
    epilog="Example: pfilter check --config /etc/pfilter/pfilter.toml",
)
def check_command(config_file: ConfigOption = "") -> None:
    """Check the configuration, and that the store, the templates and the way back to Postfix can be used."""
    from pfilter.check import everything

    settings = configured(config_file)
    load.load(config_file or DEFAULT_PATH)  # again, as the user that the pipe runs as
    typer.echo(f"ok       {config_file or DEFAULT_PATH} can be used")
    say_findings(everything.run(settings))
