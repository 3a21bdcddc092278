"""Configurations for other programs, with this installation's paths and names."""

import os
import re
from urllib.parse import urlsplit

from pfilter.base import filetypes
from pfilter.base.errors import ConfigError
from pfilter.config.settings import Settings
from pfilter.store import http_headers

KINDS = ("nginx", "apache")
TEMPLATES = os.path.dirname(os.path.abspath(__file__))
APACHE_ERRORS = (400, 401, 403, 404, 405, 406, 408, 410, 411, 412, 413, 414, 415, 429, 431)
# Neither nginx nor Apache has one way of quoting that is right everywhere; so what would need it is refused.
_PATH = re.compile(r"/[A-Za-z0-9._~/+@,-]*")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"[A-Za-z0-9.-]+")


def configuration(kind: str, settings: Settings) -> str:
    """Return the configuration of a web server for this installation. Raises ConfigError."""
    from minijinja import Environment

    where = urlsplit(settings.store_base_url)
    if where.scheme != "https":
        raise ConfigError("[store] base_url must begin with https://: links are secrets, and so are the files")
    for name, value, allowed in (
        ("base_url", where.hostname or "", _HOST),
        ("base_url", where.path, _PREFIX),
        ("path", settings.store_path, _PATH),
    ):
        if not allowed.fullmatch(value):
            raise ConfigError(f"[store] {name}: {value!r} has characters with a meaning of their own for web servers")
    for value in (settings.serve_certificate, settings.serve_key):
        if value and not _PATH.fullmatch(value):
            raise ConfigError(f"[serve]: {value!r} has characters with a meaning of their own for web servers")
    types: dict[str, list[str]] = {}
    for ending, content_type in filetypes.SERVED.items():
        types.setdefault(content_type, []).append(ending)
    with open(os.path.join(TEMPLATES, f"{kind}.conf.j2"), encoding="utf-8") as stream:
        source = stream.read()
    environment = Environment(templates={kind: source}, keep_trailing_newline=True)
    environment.auto_escape_callback = lambda _name: None
    return environment.render_template(
        kind,
        base_url=settings.store_base_url,
        host=where.hostname,
        port=where.port or 443,
        prefix=where.path,
        prefix_pattern=where.path.replace(".", "\\."),
        downloads=os.path.join(settings.store_path, "downloads"),
        certificate=settings.serve_certificate,
        key=settings.serve_key or settings.serve_certificate,
        id=http_headers.ID,
        short_id=http_headers.SHORT_ID,
        common=http_headers.COMMON,
        policy=http_headers.POLICY,
        page_policy=http_headers.PAGE_POLICY,
        file_policy=http_headers.FILE_POLICY,
        transport=http_headers.TRANSPORT,
        html=http_headers.HTML,
        types=list(types.items()),
        expired=http_headers.EXPIRED,
        gone=http_headers.GONE,
        errors=APACHE_ERRORS,
    )
