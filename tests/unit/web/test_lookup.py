"""Paths that are asked for: one file or page of one download, or nothing."""

from pathlib import Path

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


def test_all_files_of_a_long_page(tmp_path: Path) -> None:
    """However long the page is, the archive has each file that it links, and not some of them."""
    place = tmp_path / ID
    (place / "files").mkdir(parents=True)
    names = [f"{number}.txt" for number in range(3)]
    links = [f'<a href="/d/{ID}/files/{name}">{"x" * 600_000}</a>' for name in names]
    for name in names:
        (place / "files" / name).write_text("octets")
    (place / "index.html").write_text("".join(links))
    asked = lookup.parse(f"/d/{ID}/files.zip".encode(), b"/d")
    assert asked
    found = lookup.find(str(tmp_path), asked)
    assert found
    octets = found.read(0, 1000)
    while len(octets) < found.size:
        octets += found.read(len(octets), 1000)
    found.close()
    assert all(octets.count(name.encode()) == 2 for name in names)
