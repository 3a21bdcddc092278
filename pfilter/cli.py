"""The door for people and cron, by typer. Errors go to stderr with the usual exit statuses: 1 failed, 2 usage."""

import io
import json
import os
import sys
from typing import Annotated

import typer

from pfilter import __version__, config
from pfilter.errors import EX_FAILURE, ConfigError, PfilterError, StoreError, UsageError, exit_status, sentence
from pfilter.log import Log
from pfilter.model import Envelope, human_size
from pfilter.owner import become_owner
from pfilter.policy import DEFAULT_PATH, Policy
from pfilter.spool import Spool, receive, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfilter.store.cleanup import Report

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A Postfix content filter for outgoing mail that is too big: zips, links, notices.",
    epilog="Postfix itself runs pfilter-pipe(8). The configuration is described in pfilter.toml(5).",
)

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
    str, typer.Option("--base-url", metavar="URL", help="Public address of DIR/downloads, likewise.")
]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A message; - or nothing: stdin.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Handle the options in front of a command."""
    if version:
        typer.echo(f"pfilter {__version__}")
        raise typer.Exit


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
    from pfilter import engine

    spool = _open_message(file)
    policy = _policy(config_file, store, base_url)
    log = Log(policy.log_to, policy.log_level, policy.log_format)

    def deliver(result: Spool, _: "Callable[[], None]") -> None:
        for chunk in result.windows(0, result.size):
            write_all(1, chunk)

    door = engine.Door(
        deliver=deliver, size_limit=lambda: policy.reinject_max_size, workspace=_workspace, log=log, may_notify=False
    )
    outcome = engine.process(spool, _envelope(spool, sender, recipient), policy, door)
    typer.echo(f"pfilter: {outcome.line()}", err=True)


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
    from pfilter import engine, explain

    spool = _open_message(file)
    policy = _policy(config_file, store, base_url, creates=False)
    found = engine.examine(spool, _envelope(spool, sender, recipient), policy, _workspace, full=True)
    if as_json:
        typer.echo(json.dumps(explain.describe(spool, found, policy), indent=2, ensure_ascii=False))
    else:
        typer.echo(explain.tree(spool, found, policy))


@app.command(
    "expire", short_help="Remove what has expired.", epilog="Example, in cron: 17 * * * * pfilter pfilter expire"
)
def expire_command(config_file: ConfigOption = "", dry_run: DryRunOption = False) -> None:
    """Remove downloads past their date, and what crashed runs left; safe at any time."""
    import time

    from pfilter.store.cleanup import expire
    from pfilter.store.local import LocalStore

    policy = _configured(config_file)
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

    policy = _configured(config_file)
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

    policy = _configured(config_file)
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


def _policy(file: str, store: str, base_url: str, *, creates: bool = True) -> Policy:
    """Return the configuration, or the defaults where there is no file."""
    if file or os.path.exists(DEFAULT_PATH):
        if store or base_url:
            raise ConfigError("--store and --base-url are for use without a configuration file")
        return _configured(file)
    if bool(store) != bool(base_url):
        raise ConfigError("--store and --base-url go together")
    links = "links go to --store" if store else "no links without --store and --base-url"
    typer.echo(f"pfilter: no configuration file, using the defaults; {links}", err=True)
    if store:
        store = os.path.abspath(store)
        if creates:
            os.makedirs(store, mode=0o711, exist_ok=True)
            become_owner(store)
    return config.without_file(store, base_url)


def _configured(file: str) -> Policy:
    policy = config.load(file or DEFAULT_PATH)
    become_owner(policy.store_path)
    return policy


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
        from pfilter import header, names

        block = header.read_block(spool, 0, spool.size, 4 << 20, lambda _: False)
        # Mail without any From has no null sender: that is for reports, and asked for by --sender ''.
        told = names.from_address(spool.read(block.range.start, block.range.end)) or b"unknown@localhost"
    else:
        told = os.fsencode("" if sender == "<>" else sender)
    return Envelope(sender=told, recipients=tuple(os.fsencode(r) for r in recipients or ["recipient@localhost"]))


def main() -> None:
    """Run a command; the entry point."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names of any script, on terminals of any charset
    try:
        status = app(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except typer.Abort:
        sys.exit(EX_FAILURE)
    except (PfilterError, OSError) as error:
        typer.echo(f"pfilter: {sentence(error)}", err=True)
        sys.exit(exit_status(error, in_pipe=False))
    except Exception as error:
        # Usage errors come from click, which is a package of its own or a part of typer, by typer's version.
        show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
        if not callable(show) or not isinstance(status, int):
            raise
        show()
        sys.exit(status)


if __name__ == "__main__":
    main()
