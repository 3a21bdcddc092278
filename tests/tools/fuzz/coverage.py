"""Which lines of the package run: for the loop, which follows new edges, and for the report."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[3] / "pfilter"
WATCHED = {
    "message": ("scan", "delimiters", "header", "codec", "filenames", "decoded"),
    "lmtp": ("protocol",),
    "rewriting": ("body", "body_text", "body_html", "insert", "visible", "splice", "parts"),
}
FILES = {str(PACKAGE / group / f"{name}.py"): name for group, names in WATCHED.items() for name in names}


def edges(run: "Callable[[bytes], object]", data: bytes) -> "set[tuple[str, int, int]]":
    """Return which line followed which, in the watched modules. Raises what the call raises."""
    seen: set[tuple[str, int, int]] = set()

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in FILES:
            return None
        last = frame.f_lineno

        def on_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                seen.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return on_line

        return on_line

    sys.settrace(on_call)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return seen


def covered(found: "set[tuple[str, int, int]]") -> "dict[str, tuple[int, int]]":
    """Return lines run and lines there are inside of functions, by module."""
    result = {}
    for file, name in FILES.items():
        there = _lines(compile(Path(file).read_text(encoding="utf-8"), file, "exec"))
        ran = {line for where, _, line in found if where == file} & there
        result[name] = (len(ran), len(there))
    return result


def _lines(code: CodeType, *, inside: bool = False) -> "set[int]":
    found = set()
    if inside:
        found = {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            # What a class body says runs at import.
            found |= _lines(constant, inside="__qualname__" not in constant.co_names)
    return found
