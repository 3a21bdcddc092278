"""Downloads in a real object store, through a real Postfix."""

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.installed import Venv, copy
from tests.e2e.rig import Gate, give, wait
from tests.lib import objectstore


@pytest.fixture
def objects(tmp_path: Path, venv: Venv) -> Iterator[objectstore.Server]:
    """Return an object store, and have what speaks to it installed."""
    if not (venv.packages / "obstore").exists():
        copy("obstore", venv.packages)
    try:
        server = objectstore.Server(tmp_path / "objects")
    except objectstore.UnavailableError as reason:
        pytest.skip(str(reason))
    yield server
    server.kill()


def configure(gate: Gate, server: objectstore.Server) -> None:
    """Have a gateway store there."""
    keys = gate.root / "s3.keys"
    section = server.section("mail", keys, timeout="4s")
    give(keys)
    gate.configure(store={**section, "base_url": None}, notify={"sender": False})


def fetched(text: str) -> dict[str, bytes]:
    """Return the files behind the links of the page that a text names."""
    (page,) = re.findall(r"https?://\S+/index\.html\?X-Amz\S+", text)
    with urllib.request.urlopen(page, timeout=20) as answer:
        shown = answer.read().decode("utf-8")
    links = {url.replace("&amp;", "&") for url in re.findall(r'href="([^"]*/files/[^"]*)"', shown)}
    found = {}
    for url in links:
        with urllib.request.urlopen(url, timeout=20) as answer:
            found[url.partition("?")[0].rpartition("/")[2]] = answer.read()
    return found


def test_a_link_of_a_delivered_mail_opens(gate: Gate, objects: objectstore.Server) -> None:
    configure(gate, objects)
    gate.send(mails.letter(mails.film()))
    got = gate.delivered()
    assert fetched(got.text) == {"film.mp4": mails.FILM}
    assert not (gate.store / "downloads").exists()


def test_mail_waits_while_the_object_store_is_down(gate: Gate, objects: objectstore.Server) -> None:
    configure(gate, objects)
    objects.kill()
    gate.trouble_expected = True
    queue_id = gate.send(mails.letter(mails.film()))
    wait(lambda: f"{queue_id}: to=" in gate.instance.log() and "object store" in gate.instance.log(), "a deferral")
    assert gate.at_sink() == []
    objects.start_again()
    gate.instance.run("postqueue", "-f")
    got = gate.delivered()
    assert fetched(got.text) == {"film.mp4": mails.FILM}
