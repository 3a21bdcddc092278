"""Commands about whole messages that were kept: the quarantine and the trouble folder."""

import json
import os
from typing import Annotated

import typer

from pfilter.base import durable
from pfilter.base.errors import UsageError
from pfilter.base.log import Log
from pfilter.base.spool import write_all
from pfilter.base.text import ISO, counted, human_size, printable, utc
from pfilter.cli.options import ConfigOption, configured
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope
from pfilter.store import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

app = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name as `list` shows it, or a part of it such as the queue id; or a Message-ID."
    ),
]
HEAD = 16 << 10  # octets of the header that `show` shows


@app.command("list", epilog="Example: pfilter quarantine list --json")
def list_command(
    config_file: ConfigOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all kept messages, oldest first."""
    settings = configured(config_file)
    found = kept.entries(settings.store_path)
    if as_json:
        typer.echo(json.dumps([_describe(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        when = utc(one.created)
        typer.echo(f"{one.name}  {one.folder}")
        typer.echo(f"  {when} UTC, {human_size(one.size)}, from {_shown(one.envelope.sender)}: {_line(one.reason)}")
    typer.echo(f"{counted(len(found), 'message')}, {human_size(sum(one.size for one in found))}")


@app.command("show", epilog="Example: pfilter quarantine show 4F2A1B | less")
def show_command(
    name: NameArgument,
    config_file: ConfigOption = "",
    whole: Annotated[bool, typer.Option("--whole", help="Print the message itself, as it was received.")] = False,
) -> None:
    """Show what is known of a message, and its header; with --whole the message, and nothing else."""
    settings = configured(config_file)
    one = kept.find(settings.store_path, name)
    spool = kept.content(settings.store_path, one)
    if whole:
        for chunk in spool.windows(0, spool.size):
            write_all(1, chunk)
        return
    for key, value in _describe(one).items():
        typer.echo(f"{key + ':':<12} {', '.join(value) if isinstance(value, list) else value}")
    head = spool.read(0, HEAD).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    typer.echo("")
    for line in head.decode("utf-8", "replace").split("\n"):
        typer.echo(_line(line))


@app.command("release", epilog="Example: pfilter quarantine release 4F2A1B")
def release_command(
    name: NameArgument,
    config_file: ConfigOption = "",
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", metavar="ADDRESS", help="Send it to this address instead of its recipients."),
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--sender", metavar="ADDRESS", help="Envelope sender, instead of its own.")
    ] = None,
) -> None:
    """Send a message as it was received, past the filter, and remove it."""
    from pfilter.delivery import reinject

    settings = configured(config_file)
    root = settings.store_path
    with _releases_stand_still(root):  # of two at once one releases
        one = kept.find(root, name)
        envelope = _envelope(one, sender, recipient)
        refused = reinject.send(kept.content(root, one), envelope, settings)
        # Only now: a crash in between leaves it here, and it can be released again.
        kept.remove(root, one)
    _log(settings, one, event="released", recipients=len(envelope.recipients))
    left_out = [address.address for address in refused]
    typer.echo(f"released {one.name} to {', '.join(_shown(a) for a in envelope.recipients if a not in left_out)}")
    for not_taken in refused:
        typer.echo(f"not to {_shown(not_taken.address)}: {_line(not_taken.said)}", err=True)


@app.command("delete", epilog="Example: pfilter quarantine delete 4F2A1B")
def delete_command(name: NameArgument, config_file: ConfigOption = "") -> None:
    """Remove a message for good."""
    settings = configured(config_file)
    with _releases_stand_still(settings.store_path):
        one = kept.find(settings.store_path, name)
        kept.remove(settings.store_path, one)
    _log(settings, one, event="deleted")
    typer.echo(f"deleted {one.name}")


def _releases_stand_still(root: str) -> "AbstractContextManager[int]":
    durable.make_directory(os.path.join(root, kept.QUARANTINE), durable.PRIVATE_DIR)
    return durable.locked(kept.lock(root))


def _envelope(one: kept.KeptMessage, sender: str | None, recipients: list[str] | None) -> Envelope:
    known = one.envelope
    found = Envelope(
        sender=known.sender if sender is None else os.fsencode("" if sender == "<>" else sender),
        recipients=tuple(os.fsencode(address) for address in recipients or ()) or known.recipients,
        queue_id=known.queue_id,
    )
    if not found.recipients:
        raise UsageError(f"{one.name}: its recipients are not known any more; name them with --recipient")
    return found


def _describe(one: kept.KeptMessage) -> dict[str, str | int | list[str]]:
    return {
        "name": one.name,
        "folder": one.folder,
        "created": utc(one.created, ISO),
        "size": one.size,
        "reason": _line(one.reason),
        "sender": _shown(one.envelope.sender),
        "recipients": [_shown(address) for address in one.envelope.recipients],
        "queue_id": _line(one.envelope.queue_id),
        "client": _line(one.envelope.client),
        "login": _line(one.envelope.sasl_user),
    }


def _shown(address: bytes) -> str:
    return _line(address.decode("utf-8", "replace")) or "<>"


def _line(text: str) -> str:
    """Return a text without controls: what strangers wrote goes to a terminal here."""
    return printable(text, "\ufffd")


def _log(settings: Settings, one: kept.KeptMessage, event: str, **fields: int) -> None:
    log = Log(settings.log_to, settings.log_level, settings.log_format)
    who = os.environ.get("SUDO_USER", "")
    log.event("info", event, original=one.name, sender=one.envelope.sender, reason=one.reason, by=who, **fields)
