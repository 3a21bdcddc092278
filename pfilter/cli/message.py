"""Commands about one message: what the filter makes of it, and why."""

import json
import os
from typing import Annotated

import typer

from pfilter.base.errors import EX_FAILURE, ConfigError, UsageError
from pfilter.base.privileges import become_owner
from pfilter.base.spool import Spool, receive, write_all
from pfilter.cli.options import ConfigOption, configured, log_of
from pfilter.config import load
from pfilter.config.settings import DEFAULT_PATH, Settings
from pfilter.message.model import Envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter import pipeline

app = typer.Typer()

SenderOption = Annotated[
    str | None,
    typer.Option("--sender", metavar="ADDRESS", help="Envelope sender; '' is the null sender.  [default: From]"),
]
RecipientsOption = Annotated[
    list[str] | None, typer.Option("--recipient", metavar="ADDRESS", help="Envelope recipient; can be repeated.")
]
StoreOption = Annotated[
    str, typer.Option("--store", metavar="DIR", help="Where to store files, without a configuration file.")
]
BaseUrlOption = Annotated[
    str,
    typer.Option("--base-url", metavar="URL", help="Public address of DIR/downloads, without a configuration file."),
]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The message; stdin if it is - or missing.")]


@app.command(
    "filter",
    short_help="Filter one message.",
    epilog="Example: pfilter filter --sender a@example.org --recipient b@example.net < in > out",
)
def filter_command(
    file: FileArgument = "-",
    config_file: ConfigOption = "",
    sender: SenderOption = None,
    recipient: RecipientsOption = None,
    store: StoreOption = "",
    base_url: BaseUrlOption = "",
) -> None:
    """Filter one message: message in, transformed message out on stdout. Nobody is notified."""
    from pfilter import pipeline

    spool = _open_message(file)
    settings = _settings(config_file, store, base_url)

    def deliver(shares: "Sequence[pipeline.Share]", *_: object) -> "Sequence[pipeline.Share]":
        (share,) = shares
        for chunk in share.spool.windows(0, share.spool.size):
            write_all(1, chunk)
        return shares

    context = pipeline.Context(
        deliver=deliver,
        size_limit=lambda: settings.reinject_max_size,
        workspace=_workspace,
        log=log_of(settings),
        may_notify=False,
    )
    outcome = pipeline.process(spool, _envelope(spool, sender, recipient), settings, context)
    typer.echo(f"pfilter: {outcome.line()}", err=True)
    if outcome.held:
        raise typer.Exit(EX_FAILURE)  # nothing was written to stdout


@app.command(
    "explain",
    short_help="Show what would happen to a message, and why.",
    epilog="Example: pfilter explain --recipient b@example.net message.eml",
)
def explain_command(
    file: FileArgument = "-",
    config_file: ConfigOption = "",
    sender: SenderOption = None,
    recipient: RecipientsOption = None,
    store: StoreOption = "",
    base_url: BaseUrlOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the tree of a message's parts, what would happen to each, and why; change nothing."""
    from pfilter import pipeline
    from pfilter.cli import explain

    spool = _open_message(file)
    settings = _settings(config_file, store, base_url, creates=False)
    envelope = _envelope(spool, sender, recipient)
    found = pipeline.examine(spool, envelope, settings, _workspace)
    scanned = explain.ask_clamd(spool, found.message, envelope, settings)
    if as_json:
        typer.echo(json.dumps(explain.describe(spool, found, settings, scanned), indent=2, ensure_ascii=False))
    else:
        typer.echo(explain.tree(spool, found, settings, scanned))


def _settings(file: str, store: str, base_url: str, *, creates: bool = True) -> Settings:
    """Return the configuration, or the defaults where there is no file."""
    if file or os.path.exists(DEFAULT_PATH):
        if store or base_url:
            raise ConfigError("--store and --base-url are for use without a configuration file")
        return configured(file)
    if bool(store) != bool(base_url):
        raise ConfigError("--store and --base-url go together")
    links = "links go to --store" if store else "no links without --store and --base-url"
    typer.echo(f"pfilter: no configuration file, using the defaults; {links}", err=True)
    if store:
        store = os.path.abspath(store)
        if creates:
            become_owner(store)  # before anything is made: root goes nowhere by others' symbolic links
            os.makedirs(store, mode=0o711, exist_ok=True)
            become_owner(store)
    return load.without_file(store, base_url)


def _workspace() -> str:
    from tempfile import gettempdir

    return gettempdir()


def _open_message(file: str) -> Spool:
    """Open a message before becoming anybody else. Regular files are read where they are."""
    import stat

    fd = 0 if file == "-" else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{file} is a directory, not a message")
    if file != "-" and stat.S_ISREG(found.st_mode):
        return Spool(fd, found.st_size)
    return receive(fd, _workspace)


def _envelope(spool: Spool, sender: str | None, recipients: list[str] | None) -> Envelope:
    if sender is None:
        from pfilter.message import decoded, header

        block = header.read_block(spool, 0, spool.size, 4 << 20, lambda _: False)
        # Mail without any From has no null sender: that is for reports, and asked for by --sender ''.
        told = decoded.from_address(spool.read(block.range.start, block.range.end)) or b"unknown@localhost"
    else:
        told = os.fsencode("" if sender == "<>" else sender)
    return Envelope(sender=told, recipients=tuple(os.fsencode(r) for r in recipients or ["recipient@localhost"]))
