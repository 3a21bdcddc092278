"""Where a notice goes into HTML: an HTML5 parser shows it, or a text stands in front."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.rewriting import visible
from tests.lib import support
from tests.lib.support import attachment, link_everything, multipart, part, process

MARK = b"<table><tr><td>NOTICE</td></tr></table>"
NOTICE = "1 file to download"
RAW = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "plaintext")
HIDING = (*RAW, "template", "noscript", "select", "svg", "math", "object", "canvas", "head", "frameset", "details",
          "dialog", "datalist", "audio", "video", "blockquote")  # fmt: skip

SEEN = [
    "<p>Hi</p>",
    "<html><body><p>Hi</p></body></html>",
    "<html><body><p>Hi</p></html>",
    "<p>Hi<!-- done --></p>\n</html>\n<!-- generated -->\n",
    "<p>Hi</p></body><!-- never ends",
    "<p>Hi</p></body></htm",
    "<!-->Hi",
    "<!--->Hi",
    "<!-- a --!>Hi",
    "<div hidden>preheader</div><p>Hi</p></body></html>",
    '<div style="display:none">pre<p>header</div><p>Hi</p></body></html>',
    '<div style="display:none">pre<table><tr><td>x</table></div><p>Hi</p></body></html>',
    '<span style="display:none">pre<b>header</span><p>Hi</p>',
    "<svg><title>Logo</title><path d='M0 0'/></svg><p>Hi</p>",
    "<svg/><p>Hi</p>",
    "<math><mi>x</mi></math><p>Hi",
    "<select><option>1<option>2</select><p>Hi",
    "<textarea><!-- </textarea><p>Hi",
    "<title></titles></title><p>Hi",
    "<p title='<!--'>Hi",
    "<p title=<!-->Hi",
    "<p a'b=c>Hi",
    "<details open><summary>a</summary>Hi",
    '<p>1 < 2 and a="',
    "<p>Hi & ",
    "<p>Hi</p><",
    "<blockquote>q</blockquote></body></html>",
    "<body>mine<blockquote><html><body>q</body></html></blockquote>more",
    "<body>mine<blockquote><html><body>q</body></html></blockquote></html>",
    "<body>mine<blockquote><html><body><div>q</body></html></blockquote></body></html>",
    "<body>one</body><body>two</body>",
    "<html><head><title>x</title></head></html>",
    "<noscript>x</noscript>Hi",
    "<script>if (a < b) x = '<!-- <b>';</script>Hi",
    "</div></span>Hi",
    "<table><tr><td>Hi",
    "<template>x</template>Hi",
]
UNSEEN = [
    "Hi <!-- ",
    "Hi <!-- </body>",
    "Hi <style>p {",
    "Hi <script>x = '</body>'",
    "Hi <textarea>x</body>",
    "<title>Hi</body></html>",
    "Hi <select><option>x",
    "Hi <select><option>x</body></html>",
    'Hi <a href="x',
    "Hi <a href=x",
    "Hi </",
    "Hi <!x",
    "Hi <?x",
    "<div hidden>Hi</body></html>",
    "<div HIDDEN=''>Hi",
    "<div style='color:red; Display : NONE'>Hi",
    "<div style='display&#58;none'>Hi",
    "<div style='display:/* */none'>Hi",
    "<div style='visibility: hidden'>Hi</body>",
    "<body style='display:none'>Hi</body>",
    "<template>Hi",
    "<noscript>Hi",
    "<svg><text>Hi</body>",
    "<svg><foreignObject><p>Hi</svg>",
    "<math><mi>Hi",
    "<iframe>Hi</body>",
    "<object>Hi",
    "<canvas>Hi",
    "<details>Hi",
    "<plaintext>Hi</body>",
    "<xmp>Hi</body>",
    "<noembed>Hi",
    "<frameset><frame></frameset></html>",
    "<html><head></head><frameset cols='*'></frameset>",
    "<svg><style><!-- </style></svg>Hi",
    "<svg><span hidden></svg>Hi",
    "<span hidden><div></span>Hi",
    "<form hidden><div></form>Hi",
    "<p><b hidden>x</p>Hi",
    "<tr hidden><details></tr>Hi",
    "<math><blockquote /></math>Hi",
    "<div hidden><svg><div/></svg></div>Hi",
    "<div hidden><tr><div></tr></div>Hi",
    "<div hidden><b hidden>x</div>Hi",
    "<div hidden><table><tr><td></div>Hi",
    "<script><!-- <script> </script>Hi",
    "Hi<blockquote><html><body>q</body></html>",
    "<div style='color:red;&#" + "1" * 5000 + ";'>Hi",
    "<div style='display:none' style='color:red'>Hi",
    "<span hidden><td><span></td></span>Hi",
    "<rt hidden><caption><rt></caption></rt>Hi",
    "<select><input><div hidden></select>Hi",
    "<select><textarea></textarea><div hidden></select>Hi",
    "<select hidden><span/>x<select><span hidden></select>Hi",
    "<button><details><button hidden></details>Hi",
    "<div popover>Hi",
    "<div style='display:var(--x,none)'>Hi",
    "<div style='opacity:.0'>Hi",
    "<div style='opacity:0.001'>Hi",
    "<div style='font-size:0'>Hi",
    "<div style='height:0;overflow:hidden'>Hi",
    "<div style='position:absolute;left:-9999px'>Hi",
    "<div style='transform:scale(0)'>Hi",
    "<div style='clip-path:circle(0)'>Hi",
]


def ancestors_of_the_notice(html: bytes) -> list[Element]:
    """Return the elements around the notice, as an HTML5 parser builds them; none where it is in no element."""
    tree = html5lib.parse(html.decode("utf-8"))
    found: list[Element] = []

    def walk(element: Element, around: list[Element]) -> None:
        here = [*around, element]
        if "NOTICE" in (element.text or "") and element.tag.endswith("td"):
            found.extend(here)
        for child in element:
            if isinstance(child.tag, str):
                walk(child, here)

    walk(tree, [])
    return found


def is_seen(html: bytes) -> bool:
    """Whether a reader sees the notice: in the body, below nothing that hides or quotes it."""
    around = ancestors_of_the_notice(html)
    names = [element.tag.rpartition("}")[2] for element in around]
    if "body" not in names:
        return False
    for element, name in zip(around, names, strict=True):
        style = "".join(element.get("style", "").lower().split()).replace("/**/", "")
        if element.get("hidden") is not None or "display:none" in style or "visibility:hidden" in style:
            return False
        if name in HIDING and not (name == "details" and element.get("open") is not None):
            return False
    return True


def place_at_end(data: bytes) -> int:
    """Return where HTML ends for its reader, -1 where that is not certain."""
    try:
        return visible.read(data, visible.Reader())
    except visible.Unsure:
        return -1


def with_notice(html: str) -> "bytes | None":
    """Return HTML with a notice at its place, or None."""
    data = html.encode("utf-8")
    place = place_at_end(data)
    return None if place < 0 else data[:place] + b"\n" + MARK + b"\n" + data[place:]


@pytest.mark.parametrize("html", SEEN)
def test_a_notice_that_a_reader_sees(html: str) -> None:
    """HTML whose end is certain gets the notice where an HTML5 parser shows it."""
    result = with_notice(html)
    assert result is not None
    assert is_seen(result), result


@pytest.mark.parametrize("html", UNSEEN)
def test_no_notice_that_no_reader_sees(html: str) -> None:
    """HTML that ends in what hides, swallows or quotes gets none."""
    assert with_notice(html) is None


@pytest.mark.parametrize("html", [*SEEN, *UNSEEN])
def test_a_link_is_seen_whatever_html_there_is(html: str, store: Path) -> None:
    """The notice is in the body that an HTML5 parser builds, or a text part stands in front."""
    entity = multipart("mixed", part(html.encode("utf-8"), "text/html; charset=utf-8"), attachment(b"x" * 99))
    leaves = support.leaves(support.parsed(process(support.message(entity), link_everything(store)).output))
    if leaves[0].get_content_type() == "text/plain":
        assert NOTICE in support.text_of(leaves[0])
        assert [NOTICE in support.text_of(leaf) for leaf in leaves[1:]] == [False]
    else:
        marked = support.text_of(leaves[0]).replace(NOTICE, "NOTICE " + NOTICE)
        assert is_seen(marked.encode("utf-8"))


@pytest.mark.parametrize(
    "html",
    [
        "<p>Hi</p>|</html>",
        "<p>Hi</p>|</html>\n<!-- x -->\n",
        "<body>Hi|</body>\n</html>",
        "<body>Hi|</body><script>1</script></html>",
        "<body>Hi</body></html>more|",
        "<html>Hi</html>more|",
        "<blockquote><body>q</body></blockquote>|</html>",
    ],
)
def test_the_place_is_where_a_browser_closes_the_body(html: str) -> None:
    """Before the last </body> or </html> that nothing visible follows, else at the end."""
    before, _, after = html.partition("|")
    assert place_at_end((before + after).encode("ascii")) == len(before)


NAMES = re.findall(
    r"\w+",
    "div span p b a table tbody tr td caption select option svg math title style textarea script blockquote form "
    "object details noscript ul li h1 mi foreignObject desc button body html i section frameset",
)
ATTRIBUTES = ("", "", "", " hidden", " style='display:none'", " open", " /", " title='<!--'", ' a="</body>"')
OTHERS = ("text", " ", "<!-- c -->", "<!--", "-->", "--!>", "</body>", "</html>", "<br>", "<![CDATA[ > ]]>", "<a b='")
TOKENS = st.one_of(
    st.builds("<{}{}>".format, st.sampled_from(NAMES), st.sampled_from(ATTRIBUTES)),
    st.builds("</{}>".format, st.sampled_from(NAMES)),
    st.sampled_from(OTHERS),
)


@given(tokens=st.lists(TOKENS, max_size=14))
def test_whatever_tags_there_are_a_notice_is_seen(tokens: list[str]) -> None:
    """In no order of tags does a notice stand where an HTML5 parser hides it."""
    result = with_notice("".join(tokens))
    if result is None:
        return
    try:
        seen = is_seen(result)
    except (AssertionError, IndexError):  # of the parser itself
        return
    assert seen, result
