"""Commands about the web server: be one, configure another, check whichever it is."""

from typing import Annotated, Literal

import typer

from pfilter.base.errors import ConfigError, UsageError
from pfilter.base.privileges import become_owner
from pfilter.check import log as check_log
from pfilter.check import wiring
from pfilter.cli.options import ConfigOption, configured, log_of, say_findings
from pfilter.config import load, readers
from pfilter.config.settings import DEFAULT_PATH, Settings

app = typer.Typer()


@app.command("serve", short_help="Serve the downloads.", epilog="Example: pfilter serve --listen 127.0.0.1:8025")
def serve_command(
    config_file: ConfigOption = "",
    listen: Annotated[
        str, typer.Option("--listen", metavar="WHERE", help="HOST:PORT or a socket's path.  [default: [serve] listen]")
    ] = "",
) -> None:
    """Serve the downloads by HTTP, or HTTPS with a certificate, until told to stop. Needs pfilter[serve]."""
    try:
        from pfilter.web.serve import Server
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: install pfilter[serve]") from error
    settings = load.load(config_file or DEFAULT_PATH)
    try:
        settings = settings.replace(serve_listen=readers.listener(listen)) if listen else settings
    except ValueError as error:
        raise UsageError(f"--listen {listen}: must be {error}") from None
    _refuse_bucket(settings)
    if not settings.store_base_url:
        raise ConfigError("[store] base_url is missing: its path is where the downloads are")
    server = Server(settings)  # as root, it may read any key
    if settings.serve_listen.startswith("/"):
        become_owner(settings.store_path)
        server.listen()
    else:
        server.listen()  # as root, on any port
        become_owner(settings.store_path)
    kind = "https" if settings.serve_certificate else "http"
    typer.echo(f"pfilter: {settings.store_base_url}/ is served by {kind} at {server.address}", err=True)
    if settings.log_to.startswith("file:") and not check_log.can_log(settings):
        typer.echo(f"pfilter: {settings.log_to} can't be written here: downloads are not logged", err=True)
    server.run(log_of(settings))


@app.command(
    "print",
    short_help="Print a configuration for another program.",
    epilog="Example: pfilter print nginx > /etc/nginx/conf.d/pfilter.conf",
)
def print_command(
    what: Annotated[
        Literal["nginx", "apache", "s3-lifecycle", "s3-policy", "sasl-access"],
        typer.Argument(metavar="WHAT", help="nginx, apache, s3-lifecycle, s3-policy or sasl-access."),
    ],
    config_file: ConfigOption = "",
) -> None:
    """Print the configuration of a web server or a bucket, or a map of Postfix, with this installation's names."""
    from pfilter.store import bucket_rules
    from pfilter.web import server_config

    settings = load.load(config_file or DEFAULT_PATH)
    if what == "s3-lifecycle" or what == "s3-policy":
        typer.echo(bucket_rules.printed(what, settings))
        return
    if what == "sasl-access":
        typer.echo(wiring.sasl_access(settings), nl=False)
        return
    _refuse_bucket(settings)
    typer.echo(server_config.configuration(what, settings), nl=False)


@app.command(
    "check-web",
    short_help="Check the web server from outside.",
    epilog="Example: pfilter check-web --connect 127.0.0.1:443",
)
def check_web_command(
    config_file: ConfigOption = "",
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Where downloads are.  [default: [store] base_url]")
    ] = "",
    connect: Annotated[
        str, typer.Option("--connect", metavar="HOST:PORT", help="Connect there, whatever the URL's name resolves to.")
    ] = "",
    connect_http: Annotated[
        str, typer.Option("--connect-http", metavar="HOST:PORT", help="Connect there to try http.")
    ] = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept any certificate.")] = False,
) -> None:
    """Store a download for a moment, and try by its public URL everything that a web server must and must not do."""
    from pfilter.store.local import LocalStore
    from pfilter.web import check
    from pfilter.web.client import Client

    settings = configured(config_file)
    _refuse_bucket(settings)
    where = url or settings.store_base_url
    if not where:
        raise ConfigError("[store] base_url is missing: there is nothing to check")
    for read, given in (
        (readers.base_url, where),
        (readers.host_and_port, connect),
        (readers.host_and_port, connect_http),
    ):
        try:
            if given:
                read(given)
        except ValueError as error:
            raise UsageError(f"{given}: must be {error}") from None
    store = LocalStore(settings.store_path, where.rstrip("/"))
    client = Client(where, connect, insecure=insecure)
    say_findings(check.check(store, client, plain=connect_http, archive=settings.serve_archive))


def _refuse_bucket(settings: Settings) -> None:
    if settings.store_url:
        raise ConfigError(
            f"[store] url = {settings.store_url!r}: downloads are in a bucket, not in a folder that can be served"
        )
