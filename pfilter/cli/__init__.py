"""The door for people and cron, by typer. Errors go to stderr with the usual exit statuses: 1 failed, 2 usage."""

import io
import sys
from typing import Annotated

import typer

from pfilter import __version__
from pfilter.base.errors import EX_FAILURE, PfilterError, exit_status
from pfilter.base.text import sentence
from pfilter.cli import downloads, maintenance, message, quarantine, web

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A Postfix content filter for outgoing mail that is too big: zips, links, notices.",
    epilog="Postfix itself runs pfilter-pipe(8). The configuration is described in pfilter.toml(5).",
)
app.add_typer(message.app)
app.add_typer(maintenance.app)
app.add_typer(web.app)
app.add_typer(
    downloads.app,
    name="downloads",
    help="List downloads, extend them, take them down, scan them again.",
    epilog="Example: pfilter downloads list",
)
app.add_typer(quarantine.app, name="quarantine", help="Show, release or delete messages that were kept.")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Handle the options in front of a command."""
    if version:
        typer.echo(f"pfilter {__version__}")
        raise typer.Exit


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
