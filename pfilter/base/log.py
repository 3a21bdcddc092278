"""Events, by structlog, which is loaded when there is something to say (see structlog_loader).

In the pipe nothing may reach stderr: Postfix reads it with stdout. Logging is best effort everywhere: what can't be
written is dropped, and the message goes its way.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
SYSLOG = "/dev/log"
FACILITY_MAIL = 2 << 3  # RFC 5424, 6.2.1
SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
EVENT_LIMIT = 8000  # octets; syslog daemons cut longer ones


class Log:
    """Where events go, how, and from which level on. `to` is "syslog", "stderr" or "file:PATH"; "" drops all."""

    def __init__(self, to: str, level: str = "info", form: str = "json") -> None:
        self._to = to
        self._least = LEVELS[level]
        self._form = form
        self._logger: Any = None

    def wants(self, level: str) -> bool:
        """Whether events of that level are written."""
        return bool(self._to) and LEVELS[level] >= self._least

    def prepare(self) -> None:
        """Load what writing takes: 30 ms, best spent while somebody else is waited for. Never raises."""
        if self._logger is None and self._to:
            try:
                self._logger = _structlog(_writer(self._to), self._form)
            except Exception:  # noqa: BLE001  # a log that can't be written must not stop mail
                self._to = ""

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write one event. Never raises for what goes wrong in writing."""
        if not self.wants(level):
            return
        self.prepare()
        try:
            told = {key: _shown(value) for key, value in fields.items() if value not in ("", b"", None)}
            getattr(self._logger, level)(name, **told)
        except Exception:  # noqa: BLE001  # a log that can't be written must not stop mail, nor the next event try
            self._to = ""


def _shown(value: object) -> object:
    """Return a value without controls, in bounded length: nobody writes lines of their own into the log."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        from pfilter.base.text import printable

        return printable(value[:500], "\ufffd")
    return value


class _Lines:
    """What structlog calls a logger: takes each finished line by a method named like its level."""

    def __init__(self, write: "Callable[[str, str], None]") -> None:
        self._write = write

    def __getattr__(self, level: str) -> "Callable[[str], None]":
        return lambda text: self._write(level, text)


def _structlog(write: "Callable[[str, str], None]", form: str) -> "Any":
    from pfilter.base import structlog_loader

    processors, bound_logger = structlog_loader.load()
    render: Any = processors.JSONRenderer(ensure_ascii=False)
    if form == "logfmt":
        render = processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    stamp = processors.TimeStamper(fmt="iso", utc=True)
    return bound_logger(_Lines(write), processors=[processors.add_log_level, stamp, render], context={})


def _writer(to: str) -> "Callable[[str, str], None]":
    if to == "syslog":
        return _to_syslog
    if to == "stderr":
        return lambda _, text: _write_line(2, text)
    path = to.removeprefix("file:")

    def to_file(_: str, text: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        try:
            _write_line(fd, text)
        finally:
            os.close(fd)

    return to_file


def _write_line(fd: int, text: str) -> None:
    os.write(fd, text.encode("utf-8", "replace") + b"\n")


def _to_syslog(level: str, text: str) -> None:
    from pfilter.base import sockets

    priority = FACILITY_MAIL + SEVERITIES.get(level, 6)
    line = f"<{priority}>pfilter[{os.getpid()}]: ".encode("ascii") + text.encode("utf-8", "replace")
    sockets.send_datagram(SYSLOG, line[:EVENT_LIMIT], 1)
