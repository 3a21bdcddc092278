"""The gateway under load: a private Postfix with an installed pfilter, and a web server for its downloads.

Beside the port with pfilter there is a second one, whose pipe service has another configuration on the same store:
links made there expire within seconds, so that clean-up has work while mail flows.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pfilter.config import load
from pfilter.web import server_config
from tests.e2e.installed import Venv
from tests.e2e.rig import Instance, free_ports, give, wait

BRIEF_KEEP = 3  # seconds that links of the second port work
NGINX = "/usr/sbin/nginx"
NGINX_CONF = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
{site}
}}
"""


class Place:
    """Postfix, pfilter, store, web server; all on loopback, below one folder."""

    def __init__(self, folder: Path, layout: str, first_port: int, venv: Venv) -> None:
        self.layout = layout
        self.venv = venv
        self.is_lmtp = layout == "lmtp"
        self.program = "pfilter-lmtp" if self.is_lmtp else "pfilter-pipe"
        # Without Postfix's own safety net: nothing but pfilter itself keeps mail in the queue.
        net = () if self.is_lmtp else ("-P", "pfilter/unix/pipe_delivery_status_filter=")
        self.instance = Instance(folder / "load", layout, first_port, venv.path, *net)
        self.web: subprocess.Popen[bytes] | None = None
        try:
            self._set_up(free_ports(self.instance.port + 4))
        except BaseException:
            self.close()
            raise

    def _set_up(self, ports: int) -> None:
        self.root = self.instance.root
        self.port, self.brief_port = self.instance.port, ports
        self.base_url = f"http://127.0.0.1:{ports + 1}"
        self.store = self.root / "store"
        self.store.mkdir()
        self.store.chmod(0o711)
        self.events = self.root / "events"
        self.events.touch()
        give(self.store)
        give(self.events)
        self.brief_config = self.root / "brief.toml"
        self._configure(self.instance.config, "7d")
        self._configure(self.brief_config, f"{BRIEF_KEEP}s")
        self._add_brief()
        self.server = self._serve(ports + 1)

    def _configure(self, path: Path, keep: str) -> None:
        sections: dict[str, dict[str, object]] = {
            "reinject": {"method": "smtp" if self.is_lmtp else self.layout, "smtp": f"127.0.0.1:{self.port + 1}"},
            "policy": {"own_domains": ["example.org"]},
            "store": {
                "path": str(self.store),
                "base_url": self.base_url,
                "min_free": 0,
                "keep": keep,
                "grace": "0s",
                "tombstone": "0s",
            },
            "log": {"to": f"file:{self.events}"},
            "notify": {"per_hour": 0},  # each notification is looked for
        }
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)

    def _add_brief(self) -> None:
        """Add the second port with the second service: the first ones, with another configuration."""
        run, front = self.instance.run, f"127.0.0.1:{self.port}/inet"
        service = " ".join(run("postconf", "-M", "pfilter/unix").split())
        # Of the way back's 11 processes, 10 are for the first.
        service = re.sub(r"^pfilter unix (.*?) 10 (pipe|lmtp)", r"brief unix \1 1 \2", service)
        service = service.replace(str(self.instance.config), str(self.brief_config))
        if self.is_lmtp:
            inner = " ".join(run("postconf", "-M", "pfilter-in/unix").split())
            inner = re.sub(r"^pfilter-in unix (.*?) 10 spawn", r"brief-in unix \1 1 spawn", inner)
            inner = inner.replace(str(self.instance.config), str(self.brief_config))
            assert str(self.brief_config) in inner, inner
            run("postconf", "-M", f"brief-in/unix={inner}")
            run("postconf", "-e", "brief_destination_concurrency_limit=1", "brief-in_time_limit=1800s")
            run("postconf", "-e", "brief_destination_concurrency_failed_cohort_limit=0")
        listener = " ".join(run("postconf", "-M", front).split())
        listener = listener.replace(f"127.0.0.1:{self.port} ", f"127.0.0.1:{self.brief_port} ")
        listener = listener.replace("pfilter:dummy", "brief:dummy")
        listener = listener.replace("pfilter:unix:private/pfilter-in", "brief:unix:private/brief-in")
        assert "brief unix" in service, service
        assert "=brief:" in listener, listener
        run("postconf", "-M", f"brief/unix={service}", f"127.0.0.1:{self.brief_port}/inet={listener}")
        run("postfix", "reload")
        wait(lambda: _answers(self.brief_port), "the second port")

    def _serve(self, port: int) -> str:
        """Start a web server for the downloads and say which."""
        downloads = self.store / "downloads"
        folder = self.root / "web"
        folder.mkdir()
        if os.access(NGINX, os.X_OK):
            said = "nginx, as printed by pfilter print"
            (folder / "nginx.conf").write_text(_nginx(folder, downloads, port))
            argv = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        else:
            said = "Python's http.server: there is no nginx here"
            downloads.mkdir(exist_ok=True)
            downloads.chmod(0o711)
            give(downloads)
            argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(downloads), str(port)]
        with open(folder / "log", "wb") as log:
            # It ends when this process does, however that ends.
            argv = ["setpriv", "--pdeathsig", "TERM", "--", *argv]
            self.web = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait(lambda: _answers(port), "the web server", 15)
        except AssertionError:
            raise AssertionError(f"no web server: {(folder / 'log').read_text()[-1000:]}") from None
        return said

    def filters(self) -> Iterator[tuple[int, str]]:
        """Yield pfilter's processes, with the queue id of the message that each one has; "" where nobody says."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            queue_id = self.filter_of(int(name))
            if queue_id is not None:
                yield int(name), queue_id

    def filter_of(self, pid: int) -> str | None:
        """Return the queue id that a process was given, None where it is no filter of ours, or has ended."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        # pipe(8) and spawn(8) have the whole command in their arguments, too.
        command = os.fsencode(self.instance.current / "bin" / self.program)
        if command not in words[:3] or words[0] in (b"pipe", b"spawn"):
            return None
        if self.is_lmtp:
            return ""
        found = (word[11:].decode("ascii") for word in words if word.startswith(b"--queue-id="))
        return next(found, None)

    def queue(self) -> list[str]:
        """Return the queue ids of all messages in the queue."""
        unfinished = set(self.unfinished())
        return [path.name for path in self.instance.queue_files() if path not in unfinished]

    def unfinished(self) -> list[Path]:
        """Return what postdrop(1) has not finished. Killed, it leaves a file that is no message (no x for its owner).

        Postfix never looks into it and removes it after a day.
        """
        found = []
        for path in (self.instance.work / "spool" / "maildrop").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if not path.stat().st_mode & stat.S_IXUSR:
                    found.append(path)
        return found

    def is_settled(self) -> bool:
        """Whether nothing can arrive any more: no mail is in the queue, nor on its way there."""
        # What a killed filter has started goes on alone; looked at twice, since mail moves on between looks.
        alone = (pid for word in ("sendmail", "postdrop") for pid in self.instance.processes(word))
        return not self.queue() and not any(alone) and not self.queue()

    def pfilter(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command as root, as cron does."""
        argv = [str(self.venv.command), *arguments, "--config", str(self.brief_config)]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True)

    def close(self) -> None:
        """Stop all of it."""
        if self.web:
            self.web.terminate()
            try:
                self.web.wait(10)
            except subprocess.TimeoutExpired:
                self.web.kill()
                self.web.wait(10)
        self.instance.stop()
        shutil.rmtree(self.instance.root, ignore_errors=True)


def _nginx(folder: Path, downloads: Path, port: int) -> str:
    """Return the configuration that gateways are told to have, on loopback and without TLS."""
    store = {"path": str(downloads.parent), "base_url": "https://downloads.example.com"}
    text = server_config.configuration("nginx", load.from_values({"policy": {"own_domains": ["*"]}, "store": store}))
    site = text.partition("# http:// only leads")[0]
    site = re.sub(r"(?m)^\s*(listen \[|ssl_).*\n", "", site)
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    site = site.replace("/var/log/nginx/pfilter-error.log", str(folder / "nginx-error.log"))
    site = site.replace("/var/log/nginx/pfilter.log", str(folder / "access.log"))
    assert str(downloads) in site
    assert f"127.0.0.1:{port}" in site
    known = {user.pw_name for user in pwd.getpwall()}
    user = next((f"user {name};" for name in ("www-data", "nginx", "daemon") if name in known), "")
    return NGINX_CONF.format(folder=folder, site=site, user=user)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- Processes


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
        waiting += map(int, children)
    return found


def name_of(pid: int) -> str:
    """Return the name of a process's program, "" where it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """Return the state letter of a process, "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def sockets(pid: int) -> int:
    """Return how many connections a process has."""
    try:
        links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        return 0
    return sum(link.startswith("socket:") for link in links)


def held(pid: int) -> tuple[int, int]:
    """Return what a process holds: octets resident, and descriptors; (0, 0) where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, IndexError):
        return 0, 0


def peak_of(pid: int) -> int:
    """Return the peak of a process's resident memory in octets, 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def send_signal(pid: int, number: signal.Signals, *, expected: str = "") -> bool:
    """Send a signal to a process, if it still is what it should be by name; whether it was sent."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if expected and name_of(pid) != expected:
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def sizes(folder: Path) -> tuple[int, int]:
    """Return how many files are below a folder, and the octets they take, each once however many names it has."""
    seen: dict[int, int] = {}
    names = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                found = os.lstat(os.path.join(path, name))
            except FileNotFoundError:
                continue
            names += 1
            seen[found.st_ino] = found.st_blocks * 512
    return names, sum(seen.values())
