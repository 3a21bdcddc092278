"""What a reader sees in a real browser: Debian's Chromium, with nothing but the page itself to load."""

import shutil
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pfilter.notices import texts
from pfilter.rewriting import splice
from pfilter.store import http_headers
from pfilter.store.record import EXPIRED, REMOVED, WITHDRAWN
from tests.lib import replies, stores, support
from tests.lib.support import BASE_URL, NOTICE, BytesSpool
from tests.unit.notices.test_language import catalogue
from tests.unit.notices.test_texts import download

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -e '.[test]'")
CHROMIUM = "/usr/bin/chromium"
if not shutil.which(CHROMIUM):
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

ADDRESS = f"{BASE_URL}/{'a' * 32}/"
DESKTOP, PHONE = (1280, 800), (360, 640)
READING_PANE = (700, 500)  # of a mail program
LANGUAGES = ("en", "de", "fr", "es", "he")
HOUSE = {"organisation": "Example Ltd", "contact": "it@example.org"}
NAMES = (
    "bridge.mp4",
    "Figures_of_the_quarter.xlsx",
    "Contract, signed and with all of its annexes, as agreed in the meeting in Copenhagen on 14 October.pdf",
    "plans.zip",
    "IMG_20261001_120000.jpg",
)
HISTORY = "<p>And then I should like to add some more words to those above.</p>" * 60
# What makes axe judge a fragment of a mail as if it were a page: a program for mail puts it into one.
PAGE = '<!DOCTYPE html><html lang="en"><head><title>Mail</title></head><main><h1>Mail</h1>%s</main></html>'
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a browser for all tests."""
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Return a function that opens HTML as a web server answers with it; at the end nothing else was asked for."""
    contexts = []
    asked: list[str] = []

    def begin(html: str, size: tuple[int, int] = DESKTOP, colors: str = "light") -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=colors)
        contexts.append(context)

        def answer(route: Any) -> None:
            if route.request.url == ADDRESS:
                headers = {
                    "Content-Type": "text/html; charset=utf-8",
                    "Content-Security-Policy": http_headers.PAGE_POLICY,
                }
                route.fulfill(body=html, headers=headers)
            else:
                asked.append(route.request.url)
                route.abort()

        context.route("**/*", answer)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(ADDRESS)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert asked == []


def violations(page: Any, within: str = "html") -> list[str]:
    """Return what axe-core finds, rule by rule."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("within => axe.run(document.querySelector(within))", within)["violations"]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]


def said(language: str, folder: Path) -> dict[str, str]:
    """Return the section [notice] for a language; one from right to left has few words of its own."""
    if language == "he":
        words = {"Download": "\u05d4\u05d5\u05e8\u05d3\u05d4", "From": "\u05de\u05d0\u05ea"}
        if not (folder / language).exists():
            catalogue(folder, language, words)
        return {**HOUSE, "language": language, "locale": str(folder)}
    return {**HOUSE, "language": language}


def reply(name: str, place: "Any") -> str:
    """Return the HTML of a reply with a long history and a notice, as a recipient has it."""
    html = replies.HTMLS[name].html.replace("§", "")
    before, last, after = html.rpartition("lans?")
    assert last, name
    data = support.message(support.part((before + last + HISTORY + after).encode(), "text/html; charset=utf-8"))
    spool, message = BytesSpool(data), support.scanned(data)
    note = texts.for_links(download(*NAMES), "ann@example.org", support.policy(notice=HOUSE)).html
    edits = support.notice_edits(spool, message.root, note, message.eol, place)
    assert edits
    made = support.content(splice.apply(spool, edits, support.no_workspace))
    return made[support.scanned(made).root.body.start :].decode("utf-8")


@pytest.mark.parametrize("name", ["Gmail", "Outlook", "Apple Mail"])
def test_a_reply_shows_the_notice_on_its_first_screen(name: str, opened: Open) -> None:
    """In a reading pane the notice, with its button, is seen without scrolling; at the end of the history it is not."""
    button = f'a[href="{ADDRESS}"]'
    for place, seen in (("auto", True), ("end", False)):
        page = opened(reply(name, place), READING_PANE)
        assert page.get_by_text(NOTICE).count() == 1
        box = page.locator(button).bounding_box()
        assert (box["y"] + box["height"] <= READING_PANE[1]) is seen
        assert page.get_by_text("here are the plans.").bounding_box()["y"] < box["y"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_is_within_reach_of_all(language: str, opened: Open, tmp_path: Path) -> None:
    """axe-core finds nothing wrong with it, it fits onto a telephone, and it begins where its language does."""
    policy = support.policy(notice=said(language, tmp_path))
    for names in (NAMES[:1], NAMES):
        html = PAGE % texts.for_links(download(*names), "ann@example.org", policy).html
        for size in (DESKTOP, PHONE):
            page = opened(html, size)
            assert violations(page, "main") == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            table = page.locator("main > table").bounding_box()
            name = page.get_by_text(names[0], exact=True).bounding_box()
            left, right = name["x"] - table["x"], table["x"] + table["width"] - name["x"] - name["width"]
            assert (left < right) is (language != "he")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("colors", ["light", "dark"])
def test_a_page_is_within_reach_of_all(language: str, colors: str, opened: Open, tmp_path: Path) -> None:
    """axe-core finds nothing wrong, on a desktop and a telephone; nothing is wider than these, or loaded."""
    policy = support.policy(notice=said(language, tmp_path), serve={"archive": True})
    for names in (NAMES[:1], NAMES):
        html = texts.page(download(*names), "ann@example.org", policy, "The bridge at last").decode("utf-8")
        for size in (DESKTOP, PHONE):
            page = opened(html, size, colors)
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert page.evaluate("getComputedStyle(document.body).direction") == ("rtl" if language == "he" else "ltr")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", [EXPIRED, WITHDRAWN, REMOVED])
def test_what_has_ended_is_within_reach_of_all(language: str, reason: str, opened: Open, tmp_path: Path) -> None:
    """The page that is left passes axe-core, light and dark, and fits onto a telephone."""
    record = stores.record(sender="ann@example.org", a=b"1", b=b"2").at_end(support.NOW, reason)
    html = texts.tombstone(record, support.policy(notice=said(language, tmp_path))).decode("utf-8")
    for size, colors in ((DESKTOP, "light"), (PHONE, "dark")):
        page = opened(html, size, colors)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_keyboard_gets_to_each_download(opened: Open) -> None:
    """From top to bottom, all at once first, all that can be used has the focus once, and shows it."""
    policy = support.policy(notice=HOUSE, serve={"archive": True})
    page = opened(texts.page(download(*NAMES), "ann@example.org", policy).decode("utf-8"))
    used = page.locator("a[href], summary")
    wanted = used.evaluate_all("all => all.map(one => one.getAttribute('href') || one.textContent)")
    assert wanted[: len(NAMES) + 1] == ["files.zip", *(f"files/{number}" for number in range(len(NAMES)))]
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.append(page.evaluate(f"{focused}.getAttribute('href') || {focused}.textContent"))
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none"
    assert reached == wanted
