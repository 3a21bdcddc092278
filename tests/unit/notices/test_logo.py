"""The logo in pages: what can be shown is, and nothing that could do more than be seen."""

import base64
from pathlib import Path

import pytest

from pfilter.base.errors import ConfigError
from pfilter.notices import logo, texts
from tests.lib import support
from tests.unit.notices.test_texts import download

SVG = (
    '<?xml version="1.0" encoding="UTF-8"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/'
    'xlink" viewBox="0 0 9 9"><defs><linearGradient id="a"/></defs><style>.b{fill:url(#a)}</style><title>Größe</title>'
    '<path class="b" fill="url(#a)" d="M0 0h9v9z"/><use href="#a" xlink:href=\'#a\'/>%s</svg>'
)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50


def page(file: Path) -> str:
    """Return a page with a logo."""
    return texts.page(download("a"), "a@b", support.policy(notice={"logo": str(file)})).decode("utf-8")


@pytest.mark.parametrize(("data", "kind"), [((SVG % "").encode(), "image/svg+xml"), (PNG, "image/png")])
def test_a_logo_is_in_the_page(tmp_path: Path, data: bytes, kind: str) -> None:
    """As octets of the page itself, whole."""
    file = tmp_path / "logo"
    file.write_bytes(data)
    assert f'<img src="data:{kind};base64,{base64.b64encode(data).decode()}" alt="">' in page(file)
    texts.check(support.policy(notice={"logo": str(file)}))


@pytest.mark.parametrize(
    "inside",
    [
        "<script>x</script>",
        "<svg:script href='x'/>",
        '<g onload="x"/>',
        "<g\nONCLICK = 'x'/>",
        '<image href="https://example.net/x.png"/>',
        "<image xlink:href='//example.net/x'/>",
        '<a href="javascript:x"><path/></a>',
        '<a href="java&#115;cript:x"/>',
        "<style>@import 'x';</style>",
        "<style>.b{fill:url(https://example.net/)}</style>",
        '<path fill="url( x.svg#a )"/>',
        "<foreignObject/>",
        "<animate attributeName='href'/>",
        "<set/>",
        "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        "<?xml-stylesheet href='x'?>",
        '<image href="data:image/svg+xml,x"/>',
    ],
)
def test_what_could_do_more_is_not_shown(tmp_path: Path, inside: str) -> None:
    """It is an error of `pfilter check`, and pages are made without it: no mail waits for a logo."""
    file = tmp_path / "logo.svg"
    file.write_text(SVG % inside)
    with pytest.raises(ConfigError, match=r"an SVG with .* is not shown"):
        texts.check(support.policy(notice={"logo": str(file)}))
    assert "<img" not in page(file)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html></html>", b"<svg >\xff</svg>", b"<svg >" + b" " * 20_000])
def test_what_is_no_logo(tmp_path: Path, data: bytes) -> None:
    """Neither of both kinds, or too large."""
    file = tmp_path / "logo"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"\[notice\] logo"):
        logo.inline(str(file))
    with pytest.raises(ConfigError, match="No such file"):
        logo.inline(str(tmp_path / "none"))
