"""structlog's bound logger and processors, without what else `import structlog` brings along.

The package's __init__ loads its console, its asyncio and standard library loggers, rich tracebacks and what tests need:
two thirds of the time, for a process that writes three lines. The two modules used here work without any of it.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKAGE = "structlog"
TRACEBACKS = "structlog.tracebacks"  # brings dataclasses; only processors that nobody uses here call it


_loaded: "list[tuple[Any, Any]]" = []  # once: a process may handle many messages


class _Absent(ModuleType):
    """Stands for a module of which names are imported but not used."""

    def __getattr__(self, name: str) -> object:
        return object


def load() -> "tuple[Any, Any]":
    """Return structlog.processors and structlog.BoundLogger. Raises ImportError."""
    if PACKAGE not in sys.modules:
        try:
            if not _loaded:
                _loaded.append(_without_the_rest())
            return _loaded[0]
        except Exception:  # noqa: BLE001, S110  # a version that is built in another way is imported as it wants
            pass
    import structlog

    return structlog.processors, structlog.BoundLogger


def _without_the_rest() -> "tuple[Any, Any]":
    """Import the two modules below a package that has not run, and leave no trace: who imports structlog gets it."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(PACKAGE)
    package = ModuleType(PACKAGE)
    package.__path__ = spec.submodule_search_locations
    sys.modules.update({PACKAGE: package, TRACEBACKS: _Absent(TRACEBACKS)})
    try:
        from structlog import processors
        from structlog._generic import BoundLogger
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
    return processors, BoundLogger
