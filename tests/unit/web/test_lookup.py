"""Paths that are asked for: one file or page of one download, or nothing."""

import pytest

from pfilter.web import lookup

ID = "abcdefghijklmnopqrstuvwxyz234567"


NAME = "résumé “1”.odt"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"/d/{ID}/", (True, "")),
        (f"/d/{ID}", (False, "")),
        (f"/d/{ID}/files/a%20b", (True, "a b")),
        (f"/d/{ID}/files/%C3%A9", (True, "é")),
        (f"/d/{ID}/files/a+b", (True, "a+b")),
        (f"/d/{ID}/files/a%25b", (True, "a%b")),
        (f"/d/{ID}/files/", None),
        (f"/d/{ID}/files", None),
        (f"/d/{ID}/files/a/", None),
        (f"/d/{ID}/files/a%2fb", None),
        (f"/d/{ID}/files/..", None),
        (f"/d/{ID}/files/%2e%2e", None),
        (f"/d/{ID}/files/.x", None),
        (f"/d/{ID}/files/a%00", None),
        (f"/d/{ID}/files/a%0d%0ab", None),
        (f"/d/{ID}/files/%ff", None),
        (f"/d/{ID}/files/a%", None),
        (f"/d/{ID}/files/\u00e9", None),
        (f"/d//{ID}/", None),
        (f"//d/{ID}/", None),
        (f"/d/{ID}//", None),
        (f"/{ID}/", None),
        (f"/d{ID}/", None),
        (f"/d/{ID}a/", None),
        (f"/d/{ID.upper()}/", None),
        (f"/d/{ID[:-1]}1/", None),
        (f"/d/../d/{ID}/", None),
        (f"/d/%61{ID[1:]}/", None),
        (f"/d/{ID}/\n", None),
    ],
)
def test_paths(path: str, found: "tuple[bool, str] | None") -> None:
    asked = lookup.parse(path.encode(), b"/d")
    assert (asked and (asked.slash, asked.name)) == found
