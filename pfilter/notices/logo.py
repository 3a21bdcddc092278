"""The organisation's logo, inlined in pages: SVG or PNG, of few octets, that can do nothing but be seen."""

from pfilter.base.errors import ConfigError

LIMIT = 20_000  # octets: it is in each page
PNG = b"\x89PNG\r\n\x1a\n"
# In an image a browser runs and fetches nothing; an SVG that would, opened by itself, is not one to show to others.
FORBIDDEN = (
    (rb"<\s*(?:\w+:)?(?:script|handler|listener|set|animate\w*)\b", "scripts or what can be one"),
    (rb"<\s*(?:\w+:)?(?:foreignobject|iframe|embed|object|audio|video)\b", "other documents"),
    (rb"[\s\"'/]on\w+\s*=", "handlers of events"),
    (rb"<!\s*(?:doctype|entity)|<\?(?!xml\s)", "declarations or instructions"),
    (rb"javascript:|@import|expression\s*\(", "scripts in values"),
    (rb"(?:href|src)\s*=\s*[\"']?\s*(?![\"'#\s]|data:image/(?:png|jpeg))", "references to elsewhere"),
    (rb"url\s*\(\s*[\"']?\s*(?![\"'#\s])", "references to elsewhere"),
    (rb"&#", "characters written as numbers"),
)  # fmt: skip


def inline(path: str) -> str:
    """Return a file as a `data:` URL. Raises ConfigError for what is no logo that can be shown."""
    import re
    from binascii import b2a_base64

    try:
        with open(path, "rb") as stream:
            data = stream.read(LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"[notice] logo = {path}: {error.strerror}") from error
    if len(data) > LIMIT:
        raise ConfigError(f"[notice] logo = {path}: is over 20 kB, and would be in each page")
    kind = "image/png" if data.startswith(PNG) else "image/svg+xml"
    if kind != "image/png":
        if _is_no_text(data) or not re.search(rb"<svg[\s>]", data):
            raise ConfigError(f"[notice] logo = {path}: must be a PNG, or an SVG in UTF-8")
        for pattern, what in FORBIDDEN:
            if re.search(pattern, data, re.IGNORECASE):
                raise ConfigError(f"[notice] logo = {path}: an SVG with {what} is not shown")
    return f"data:{kind};base64,{b2a_base64(data, newline=False).decode('ascii')}"


def _is_no_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return b"\0" in data
