"""What lies in a store, and what may be shown of an id."""

import re

import pytest

from pfilter.base.text import without_tokens
from pfilter.store import layout

ID = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize("text", [ID, ID[1:], f"{ID}a", ID.upper(), f"{ID[1:]}1", f"{ID[1:]}\n", ""])
def test_an_id_is_what_web_servers_match(text: str) -> None:
    """Clean-up and web servers mean the same by an id."""
    assert layout.is_id(text) == bool(re.fullmatch(layout.ID, text)) == (text == ID)


def test_what_is_shown_of_an_id() -> None:
    """Logs, tables, web servers and sentences about failures show the same beginning."""
    assert re.fullmatch(layout.SHORT_ID, layout.short(ID))
    assert without_tokens(f"no room for {ID}") == f"no room for {layout.short(ID)}"


@pytest.mark.parametrize(
    ("name", "known"),
    [(f"{ID}.json", ID), (f"{ID}.json.bad", ""), (ID, ""), (f"{ID[1:]}.json", ""), (f".tmp-{ID}.json", ""), ("", "")],
)
def test_names_of_records(name: str, known: str) -> None:
    """What is no record is not taken for one, nor is what was set aside."""
    assert layout.recorded_id(name) == known
    if known:
        assert layout.record_path(known) == f"records/{name}"
