"""Manuals, README and its neighbours against the code: what they name exists, what exists they name, with defaults."""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pfilter import __version__, pipe, pipeline
from pfilter import events as log_events
from pfilter.cli import app
from pfilter.config import keys, load
from pfilter.decision import decide
from pfilter.lmtp import door, process, protocol
from tests.lib.support import PROJECT, plain

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MANUALS = sorted((PROJECT / "man").iterdir())
PAGES = [PROJECT / "README.md", *sorted((PROJECT / ".github").glob("*.md"))]
DOCUMENTS = [*PAGES, *MANUALS]
COMMAND = typer.main.get_command(app)
GROUPS = {name: command for name, command in COMMAND.commands.items() if hasattr(command, "commands")}  # type: ignore[attr-defined]
# "expire", "quarantine list": all that can be run.
COMMANDS = {name: command for name, command in COMMAND.commands.items() if name not in GROUPS} | {  # type: ignore[attr-defined]
    f"{group} {name}": command for group, found in GROUPS.items() for name, command in found.commands.items()
}
FUNCTIONS = {
    "file",
    "title",
    "_",
    "ngettext",
    "symbol",
    "date",
    "kind",
}  # what templates name that is no variable given to them
SECTIONS = {key.section for key in keys.KEYS}


def manual(name: str) -> str:
    """Return a manual's source, comments left out."""
    text = (PROJECT / "man" / name).read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith('.\\"'))


def section(text: str, title: str) -> str:
    """Return what stands below a heading of a manual, up to the next one of its rank."""
    found = re.search(rf"^\.Sh {title}$(.*?)(?=^\.Sh |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


def displays(text: str) -> list[str]:
    """Return what stands in a manual's literal displays, as a reader sees it."""
    return [plain(block) for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL)]


def shown(path: Path) -> str:
    """Return a document as far as these tests read it: of a manual, without comments and escapes."""
    text = path.read_text(encoding="utf-8")
    return text if path in PAGES else plain(manual(path.name))


def option_names(text: str) -> set[str]:
    """Return the long options that a manual has: `.Fl -name`."""
    return {f"--{name}" for name in re.findall(r"\bFl -([a-z][a-z-]*)", text)}


def all_options() -> set[str]:
    """Return the long options of pfilter and of all of its commands."""
    commands = [COMMAND, *COMMANDS.values()]
    found = {name for command in commands for parameter in command.params for name in parameter.opts}
    return {name for name in found if name.startswith("--")} | {"--help"}


def documented_keys() -> dict[tuple[str, str], str]:
    """Return the keys of pfilter.toml(5) with their defaults as they stand there."""
    found = {}
    where = ""
    for line in plain(manual("pfilter.toml.5")).splitlines():
        if heading := re.match(r"\.Ss \[(\w+)\]", line):
            where = heading[1]
        elif line.startswith(".Sh "):
            where = ""
        elif where and (item := re.match(r"\.It Ic (\w+)(?: = (.*))?$", line)):
            found[where, item[1]] = item[2] or ""
    return found


def cited(text: str) -> set[str]:
    """Return the numbers of the RFCs that a text names: "RFC 3464, 8098, 6522" are three, "RFC 2046, 5.1.1" is one."""
    runs = re.findall(r"RFC (\d{3,5}(?:(?:, | and )\d{3,5}(?![\d.]))*)", text)
    return {number for run in runs for number in re.findall(r"\d+", run)}


def examples() -> Iterator[tuple[str, str]]:
    """Yield the configurations that people will copy, with their places."""
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)):
        yield f"README {number + 1}", block
    for block in displays(section(manual("pfilter.toml.5"), "EXAMPLES")):
        yield "pfilter.toml.5", block
    for number, block in enumerate(block for block in displays(manual("pfilter-gateway.7")) if block.startswith("[")):
        yield f"pfilter-gateway.7 {number + 1}", block


EXAMPLES = list(examples())


def test_manuals_are_clean() -> None:
    """The linter has nothing to say about any manual, read one by one."""
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed (Debian: apt-get install mandoc)")
    said = [
        subprocess.run(["mandoc", "-T", "lint", path], capture_output=True, text=True, timeout=60, check=False).stdout
        for path in MANUALS
    ]
    assert [""] * len(MANUALS) == said


def test_there_is_a_manual_for_each_program_and_the_configuration() -> None:
    """man/ holds exactly these, and one for the whole gateway."""
    assert [path.name for path in MANUALS] == [
        "pfilter-gateway.7", "pfilter-lmtp.8", "pfilter-pipe.8", "pfilter.1", "pfilter.toml.5",
    ]  # fmt: skip


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: path.name)
def test_manuals_name_each_other(path: Path) -> None:
    """SEE ALSO of each manual has all others, and INSTALLING of pfilter-gateway(7) installs it."""
    seen = section(manual(path.name), "SEE ALSO")
    others = [re.sub(r"\.(\d)$", r"(\1)", other.name) for other in MANUALS if other != path]
    assert [other for other in others if other not in seen] == []
    line = f"install -D -m 0644 -t /usr/local/share/man/man{path.suffix[1:]} man/{path.name}"
    assert line in commands("INSTALLING")


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: path.name)
def test_commands_in_manuals_can_be_copied(path: Path) -> None:
    """No display has a character of which groff makes one for print, that no shell knows."""
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", manual(path.name), re.MULTILINE | re.DOTALL)
    assert blocks
    assert [line for block in blocks for line in block.splitlines() if re.search("['`^~]", line)] == []


def test_every_command_is_in_the_manual() -> None:
    """pfilter(1) has an entry for each command, and for no other."""
    entries = re.findall(r"^\.It Cm (.+)$", section(manual("pfilter.1"), "DESCRIPTION"), re.MULTILINE)
    named = set()
    for entry in entries:  # `quarantine list | show` is two
        first, _, rest = entry.partition(" ")
        named |= {f"{first} {name}" for name in rest.split(" | ")} if rest else {first}
    assert set(COMMANDS) == named


def test_every_command_has_an_example_in_the_manual() -> None:
    """EXAMPLES of pfilter(1) runs each command."""
    shown = re.findall(r"\bpfilter ([\w-]+)(?: ([\w-]+))?", section(manual("pfilter.1"), "EXAMPLES"))
    ran = {f"{first} {second}" if first in GROUPS else first for first, second in shown}
    assert set() == set(COMMANDS) - ran


def test_every_command_has_an_example_in_its_help() -> None:
    """The help text of each command ends with an example of it."""
    without = [name for name, command in COMMANDS.items() if f"pfilter {name}" not in (command.epilog or "")]
    assert without == []


def test_every_option_is_in_the_manual() -> None:
    """pfilter(1) has an entry for each option of each command."""
    entries = {
        f"--{name}"
        for name in re.findall(r"^\.It Fl -([a-z-]+)", section(manual("pfilter.1"), "DESCRIPTION"), re.MULTILINE)
    }
    assert all_options() == entries


def test_every_option_in_the_manual_exists() -> None:
    """pfilter(1) names no option that no command has."""
    assert set() == option_names(manual("pfilter.1")) - all_options()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_synopsis_has_the_options_of_each_command(name: str) -> None:
    """SYNOPSIS of pfilter(1) shows each command with its own options, and no others."""
    lines = re.search(
        rf"^\.Cm {name}$(.*?)(?=^\.Nm|\Z)", section(manual("pfilter.1"), "SYNOPSIS"), re.MULTILINE | re.DOTALL
    )
    assert lines
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts if option.startswith("--")}
    assert options == option_names(lines[1])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_command_lines_have_only_options_that_exist(path: Path) -> None:
    """Command lines of `pfilter COMMAND` use options that this command has."""
    wrong = []
    lines = re.findall(r"\bpfilter ([\w-]+)((?:[^\n`]|\\\n)*)", plain(path.read_text(encoding="utf-8")))
    for first, rest in lines:
        name = " ".join([first, *rest.split()[:1]]) if first in GROUPS else first
        if command := COMMANDS.get(name):
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            wrong += [f"{name} {option}" for option in re.findall(r"--[a-z-]{2,}", rest) if option not in known]
    assert wrong == []


def test_every_pipe_option_is_in_its_manual() -> None:
    """OPTIONS of pfilter-pipe(8) has each option of the pipe, and no other."""
    entries = re.findall(r"^\.It Fl -([a-z-]+)", section(manual("pfilter-pipe.8"), "OPTIONS"), re.MULTILINE)
    assert sorted(pipe.OPTIONS) == sorted(entries)


def test_synopsis_of_the_pipe_has_every_option() -> None:
    """So does its SYNOPSIS."""
    assert {f"--{name}" for name in pipe.OPTIONS} == option_names(section(manual("pfilter-pipe.8"), "SYNOPSIS"))


def test_every_option_of_the_lmtp_door_is_in_its_manual() -> None:
    """pfilter-lmtp(8) has each option, in its SYNOPSIS and by itself, and no other."""
    known = {f"--{name}" for name in ("config", *door.FLAGS)}
    text = manual("pfilter-lmtp.8")
    entries = set(re.findall(r"^\.It Fl -([a-z-]+)", section(text, "DESCRIPTION"), re.MULTILINE))
    assert {f"--{name}" for name in entries} == known == option_names(section(text, "SYNOPSIS"))


def test_numbers_of_the_lmtp_door_are_the_true_ones() -> None:
    """pfilter-lmtp(8) says when it ends, and what its limits are."""
    text = " ".join(plain(section(manual("pfilter-lmtp.8"), "DESCRIPTION")).split())
    for said in (
        f"after {process.LIFETIME} seconds, or {process.MESSAGES} messages",
        f"more than {process.MEMORY_LIMIT >> 20} MiB",
        f"says nothing for {door.IDLE_LIMIT} seconds",
        f"up to {protocol.LINE_LIMIT} octets",
        f"up to {protocol.RECIPIENT_LIMIT:,} recipients",
        f"up to {protocol.COMMAND_LIMIT} commands",
    ):
        assert said in text
    assert protocol.ERROR_LIMIT == 20  # "the twentieth"
    for extension in protocol.EXTENSIONS:
        assert extension.split()[0].decode() in text


def test_every_key_is_in_the_manual() -> None:
    """pfilter.toml(5) has an entry for each key, below its section, and for no other; in the order of the code."""
    assert {(key.section, key.name) for key in keys.KEYS} == set(documented_keys())


@pytest.mark.parametrize("key", keys.KEYS, ids=lambda key: f"{key.section}.{key.name}")
def test_default_in_the_manual_is_the_true_one(key: keys.Key) -> None:
    """The default that pfilter.toml(5) gives is the one that is used where the key is missing."""
    written = documented_keys()[key.section, key.name]
    stated: Any = tomllib.loads(f"x = {written}")["x"] if written else keys.REQUIRED
    assert (key.default, type(key.default)) == (stated, type(stated))


def standards() -> set[str]:
    """Return the RFCs that STANDARDS of the two doors name."""
    pages = ("pfilter-pipe.8", "pfilter-lmtp.8")
    return {number for page in pages for number in cited(section(manual(page), "STANDARDS"))}


def test_every_rfc_is_in_standards() -> None:
    """STANDARDS of pfilter-pipe(8) and pfilter-lmtp(8) name each RFC that the code cites."""
    text = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "pfilter").rglob("*.py"))
    assert set() == cited(text) - standards()


def test_standards_names_only_rfcs_that_are_cited() -> None:
    """And no other."""
    text = "".join(path.read_text(encoding="utf-8") for path in (PROJECT / "pfilter").rglob("*.py"))
    assert set() == standards() - cited(text)


def events() -> set[str]:
    """Return the names of the events that the code writes: given to `event()` or as `event=`, or of the type Event."""
    found: set[object] = set()
    for path in (PROJECT / "pfilter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                values = [keyword.value for keyword in node.keywords if keyword.arg == "event"]
                values += node.args[1:2] if called == "event" else []
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Event":
                values = [one for one in ast.walk(node.value) if isinstance(one, ast.Constant) and one.value]
            found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return {name for name in found if isinstance(name, str)}


def test_every_event_is_in_the_manual() -> None:
    """LOG EVENTS of pfilter-pipe(8) has an entry for each event that the code writes, and for no other."""
    entries = set(re.findall(r"^\.It Li (.+)$", section(manual("pfilter-pipe.8"), "LOG EVENTS"), re.MULTILINE))
    assert events() == entries


def test_every_reason_of_what_passed_is_in_the_manual() -> None:
    """pfilter-pipe(8) has an entry for each word that the line for Postfix may give as a reason, and for no other."""
    text = section(manual("pfilter-pipe.8"), "EXIT STATUS").partition(".Ss Why a message passed")[2]
    entries = set(re.findall(r"^\.It Li (.+)$", text, re.MULTILINE))
    words = {*decide.WORDS.values(), *decide.KEPT_WORDS.values(), pipeline.NO_ROOM, log_events.TOO_LARGE}
    assert {entry for entry in entries if not entry.startswith("observe: ")} == words


@pytest.mark.parametrize(("place", "text"), EXAMPLES, ids=[place for place, _ in EXAMPLES])
def test_example_configuration_can_be_used(place: str, text: str, tmp_path: Path) -> None:
    """What people copy loads; an excerpt does so beside the keys that must be there."""
    if "own_domains" not in text:
        text = f'[policy]\nown_domains = ["example.com"]\n[link]\nenabled = false\n{text}'
    file = tmp_path / "pfilter.toml"
    file.write_text(text, encoding="utf-8")
    assert load.load(str(file)).own_domains


def test_there_are_example_configurations() -> None:
    """README, pfilter-gateway(7) and pfilter.toml(5) each have a configuration to start from."""
    whole = {place.split()[0] for place, text in EXAMPLES if "own_domains" in text}
    assert {"README", "pfilter-gateway.7", "pfilter.toml.5"} == whole


def test_readme_is_short() -> None:
    """It says what this is and where to read on; what else there is to say has a place of its own."""
    assert len(README.splitlines()) <= 130


def test_readme_names_the_two_commands() -> None:
    """The commands to try stand in README, each on a line of its own."""
    lines = [line.split("#")[0].strip() for line in README.splitlines()]
    assert [line for line in lines if line in ("postfix/demo", "tests/run")][:2] == ["postfix/demo", "tests/run"]


def test_readme_says_where_to_read_on() -> None:
    """It links each manual and each of its neighbours."""
    assert [path.name for path in DOCUMENTS[1:] if f"]({path.relative_to(PROJECT)})" not in README] == []


def test_every_folder_of_the_package_is_explained() -> None:
    """CONTRIBUTING says of each folder in pfilter/ what it is for."""
    drawn = (PROJECT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## ")[0]
    folders = [path.name for path in (PROJECT / "pfilter").iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) > 5
    assert [name for name in folders if not re.search(rf"^    .*\b{name}/", drawn, re.MULTILINE)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_named_exists(path: Path) -> None:
    """What a document names of the sources is there."""
    text = shown(path)
    named = set(re.findall(r"(?<![\w/.@=-])((?:man|pfilter|postfix|tests|\.github)/[\w./-]*[\w/])(?![\w\[])", text))
    assert sorted(name for name in named if not (PROJECT / name).exists()) == []
    tools = re.findall(r"-m tests\.tools\.(\w+)", text)
    assert [name for name in tools if not (PROJECT / "tests" / "tools" / name / "__main__.py").exists()] == []
    linked = set(re.findall(r"\]\((?!https?:)([^)#]+)\)", text)) if path in PAGES else set()
    assert sorted(name for name in linked if not (path.parent / name).exists()) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_key_named_exists(path: Path) -> None:
    """Each `[section] key`, and each `key = value`, in the text of a document is one of the configuration."""
    text = shown(path)
    known = {(key.section, key.name) for key in keys.KEYS}
    wrong = [f"[{where}] {name}" for where, name in re.findall(r"\[(\w+)\] (\w+)", text) if where in SECTIONS]
    wrong = [pair for pair in wrong if (pair[1:].split("] ")[0], pair.split("] ")[1]) not in known]
    names = {key.name for key in keys.KEYS}
    postfix = {"smtputf8_autodetect_classes"}
    stated = re.findall(r"`(\w+) = [^`]+`" if path in PAGES else r'^\.(?:Li|Pq Li) "(\w+) = \S+"', text, re.MULTILINE)
    wrong += [name for name in stated if name not in names | postfix]
    assert wrong == []


def test_keys_are_named_at_all() -> None:
    """The test above reads what it is meant to read: keys with values in the manual that has most of them."""
    assert len(re.findall(r'^\.(?:Li|Pq Li) "(\w+) = \S+"', shown(PROJECT / "man" / "pfilter-gateway.7"), re.M)) >= 7


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_place_of_one_machine_is_named(path: Path) -> None:
    """Nobody else has our folders."""
    assert re.findall(r"/work\b|/root\b|/home/\w+|/tmp/(?!test\.)\S*", path.read_text(encoding="utf-8")) == []


def test_templates_and_their_variables_are_in_the_manual() -> None:
    """TEMPLATES of pfilter.toml(5) names each built-in template, with the variables that it uses."""
    text = section(manual("pfilter.toml.5"), "TEMPLATES")
    missing = []
    for path in sorted((PROJECT / "pfilter/templates").iterdir()):
        entry = re.search(rf"^\.It Pa [^\n]*{re.escape(path.name)}[^\n]*$(.*?)(?=^\.It|^\.El)", text, re.M | re.S)
        source = path.read_text(encoding="utf-8")
        used = set(re.findall(r"\{\{ (\w+)(?! if)\b", source)) - FUNCTIONS - set(re.findall(r"\{% set (\w+)", source))
        missing += [path.name] if not entry else [f"{path.name}: {name}" for name in used if name not in entry[1]]
    assert missing == []


def commands(heading: str) -> list[str]:
    """Return the commands below a heading of pfilter-gateway(7), in order; what a shell would join is joined."""
    blocks = displays(section(manual("pfilter-gateway.7"), heading))
    text = "".join(block for block in blocks if not block.startswith("["))
    return re.findall(r"^(\S.*)", text.replace("|\n", "| "), re.MULTILINE)


def ten_lines() -> list[str]:
    """Return README's commands for a gateway."""
    text = README.split("\n## A gateway in ten lines\n")[1].split("```")[0]
    return re.findall(r"^    (\S.*)", text, re.MULTILINE)


def assert_in_order(steps: tuple[str, ...], lines: list[str]) -> None:
    """Find each step in a line of its own, behind the one before."""
    places: list[int] = []
    for step in steps:
        found = [number for number, line in enumerate(lines) if step in line and number not in places]
        assert found, step
        places.append(next(number for number in found if number > max(places, default=-1)))


@pytest.mark.parametrize("heading", ["INSTALLING", "UPGRADING"])
def test_every_environment_is_made_the_same_way(heading: str) -> None:
    """Installing and upgrading have the same steps: venv, pip, the interpreter's options, a try, sync, rename."""
    steps = (
        "umask 022",
        "-m venv /opt/",
        "bin/pip install .",
        "-IS/' /opt/",
        "pfilter explain",
        "bin/pfilter-pipe",
        "sync",
        "mv -T",
    )
    assert_in_order(steps, commands(heading))


def test_the_ten_lines_are_in_the_right_order() -> None:
    """README's short form is ten lines, and leaves out nothing that mail would miss: what is in use is on the disk."""
    lines = ten_lines()
    assert len(lines) == 10
    joined = [part for line in lines for part in re.split(" && |; ", line)]
    steps = (
        "python3-venv",
        "adduser ",
        "install -d -o pfilter",
        "umask 022",
        "-m venv /opt/",
        "bin/pip install .",
        "sync",
        "ln -sfn",
        "/etc/pfilter/pfilter.toml",
        "pfilter print nginx",
        "pfilter check",
        "pfilter check-web",
        "postfix/install",
        "/etc/cron.d/pfilter",
    )
    assert_in_order(steps, joined)


@pytest.mark.parametrize("lines", [commands("INSTALLING"), ten_lines()], ids=["pfilter-gateway.7", "README"])
def test_commands_are_found_when_typed_as_shown(lines: list[str]) -> None:
    """`pfilter` stands without its folder only after it was put into everybody's PATH."""
    linked = False
    for line in lines:
        linked = linked or line.endswith("ln -sfn /opt/pfilter/current/bin/pfilter /usr/local/bin/pfilter")
        assert linked or not re.search(r"(?:^|[|&;] *)pfilter(?:-pipe)? ", line), line
    assert linked
    assert any(line.startswith("apt-get install") and "python3-venv" in line for line in lines)


@pytest.mark.parametrize("lines", [commands("INSTALLING"), ten_lines()], ids=["pfilter-gateway.7", "README"])
def test_this_version_is_installed(lines: list[str]) -> None:
    """The folders that the commands make are called by the version that is in them."""
    assert {__version__} == set(re.findall(r"(?:/opt/pfilter/|ln -sfn )(\d[\w.]*)", "\n".join(lines)))
