"""A store in a bucket: links, several gateways, what happens when it is down, slow, or dies in the middle."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pfilter.base.errors import ConfigError, StoreError
from pfilter.config import load
from pfilter.store import bucket_rules, s3
from pfilter.store.bucket import REMOVAL_LIMIT
from pfilter.store.pages import Pages
from pfilter.store.select import open_store
from tests.lib import objectstore, stores, support
from tests.lib.objectstore import BUCKET, Server
from tests.lib.stores import DAY, ID, Place
from tests.lib.support import PROJECT, BytesSpool, Gateway, noise

FILM = noise(900_000, 7)


@pytest.fixture
def place(store: Path, object_store: Server) -> Place:
    """Return a store in a bucket, with presigned links."""
    return stores.objects(store, object_store)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """Return an object store that a test may break."""
    try:
        server = Server(tmp_path / "objects")
    except objectstore.UnavailableError as reason:
        pytest.skip(str(reason))
    yield server
    server.go_on()
    server.kill()


def letter(data: bytes = FILM, name: str = "film.mp4") -> bytes:
    """Return a message with an attachment that becomes a link."""
    return support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(data, name)))


def through(gateway: Gateway, server: Server, prefix: str, **changes: object) -> None:
    """Have a gateway store in a bucket."""
    keys = server.section(prefix, gateway.root / "keys", **changes)
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    gateway.configure(store=f"{lines}\nbase_url = ''")


def fetch(url: str) -> tuple[int, bytes, dict[str, str]]:
    """Return status, octets and headers of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def signed(text: bytes, part: str) -> str:
    """Return the presigned link in a message whose path has a part."""
    plain = support.parsed(text)
    told = next(support.text_of(leaf) for leaf in support.leaves(plain) if leaf.get_content_type() == "text/plain")
    return next(word for word in told.split() if part in word and "X-Amz-Signature=" in word)


# --- Links


def test_presigned_links_open_page_and_files(place: Place) -> None:
    """Page and files open with the links that mail has, as downloads with their names, and without them not."""
    download = place.save(until=int(time.time()) + DAY, files={"größe.html": b"<script>", "a.pdf": b"%PDF"})
    page = fetch(download.url)
    assert page[:2] == (200, b"page")
    assert page[2]["Content-Type"] == "text/html; charset=utf-8"
    status, data, headers = fetch(download.links[0].url)
    assert (status, data) == (200, b"<script>")
    assert headers["Content-Type"] == "binary/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment; filename=")
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe.html" in headers["Content-Disposition"]
    assert headers["Cache-Control"] == "private, no-store"
    assert fetch(download.links[1].url)[2]["Content-Type"] == "application/pdf"
    for url in (download.url, download.links[0].url):
        assert fetch(url.partition("?")[0])[0] == 403


def test_presigned_links_end_with_promise_and_grace(place: Place) -> None:
    """A link lives as long as its file, and never longer than an object store allows."""
    now = int(time.time())
    for until, expected in ((now + DAY, 2 * DAY), (now + 30 * DAY, 7 * DAY), (now - 30 * DAY, 1)):
        url = place.keeper.describe(stores.record(until=until)).url
        lifetime = int(url.partition("X-Amz-Expires=")[2].partition("&")[0])
        assert expected - 5 <= lifetime <= expected


def test_presigned_links_cannot_be_extended(place: Place) -> None:
    """The end of a signed link stands in it: to promise a later date would be a lie."""
    place.save(one=b"1")
    with pytest.raises(StoreError, match="can't be extended"):
        place.keeper.extend(ID, int(time.time()) + DAY, lambda *_: b"")


def test_of_presigned_links_no_page_stays_that_none_leads_to(place: Place) -> None:
    """They end with their download; one that is taken down before leaves a page where they lead."""
    pages = Pages(late=lambda *_: b"late", tombstone=lambda _: b"ended", keep=90 * DAY)
    now = int(time.time())
    place.save(until=now - 1, one=b"1")
    assert place.keeper.expire(now, 0, dry_run=False, pages=pages).ids == (ID,)
    assert place.everything() == []
    download = place.save(until=now + DAY, one=b"1")
    place.keeper.remove(ID, pages=pages)
    assert fetch(download.url)[:2] == (200, b"ended")
    assert fetch(download.links[0].url)[0] == 404


def test_links_die_when_a_download_is_taken_down(place: Place) -> None:
    """Signed or not: what is taken down is gone at once."""
    download = place.save(until=int(time.time()) + DAY, one=b"1")
    place.keeper.remove(ID)
    assert [fetch(url)[0] for url in (download.url, download.links[0].url)] == [404, 404]


def test_public_links_with_the_printed_policy(store: Path, object_store: Server) -> None:
    """With the bucket policy as printed, who knows a link can read it; records and lists stay closed."""
    place = stores.objects(store, object_store, links="public")
    prefix = place.store.bucket.prefix
    base = f"{object_store.endpoint}/{BUCKET}/{prefix}/downloads"
    place.policy = place.policy.replace(store_base_url=base)
    rules = bucket_rules.public_policy(place.policy).encode()
    assert object_store.request("PUT", f"/{BUCKET}", "policy", rules)[0] in (200, 204)
    try:
        download = place.save(files={"a b.txt": b"1"})
        assert download.url == f"{base}/{ID}/index.html"
        assert download.links[0].url == f"{base}/{ID}/files/a%20b.txt"
        deadline = time.monotonic() + 20
        while fetch(download.url)[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.2)  # the policy takes a moment
        assert fetch(download.url)[:2] == (200, b"page")
        assert fetch(download.links[0].url)[:2] == (200, b"1")
        closed = (f"{object_store.endpoint}/{BUCKET}/{prefix}/records/{ID}.json", f"{object_store.endpoint}/{BUCKET}/")
        assert [fetch(url)[0] for url in closed] == [403, 403]
    finally:
        object_store.request("DELETE", f"/{BUCKET}", "policy")


def test_the_lifecycle_rules_are_taken(place: Place, object_store: Server) -> None:
    """The bucket takes the printed rules; they leave room for retries, and for uploads that crashes left."""
    rules = json.loads(bucket_rules.lifecycle(place.policy))["Rules"]
    assert [rule.get("Expiration", {}).get("Days") for rule in rules] == [14 + 1, 14 + 1, None]
    prefixes = [rule["Filter"]["Prefix"] for rule in rules]
    assert prefixes[0] == f"{place.store.bucket.prefix}/downloads/"

    def element(name: str, value: Any) -> str:
        inside = "".join(element(key, one) for key, one in value.items()) if isinstance(value, dict) else str(value)
        return f"<{name}>{inside}</{name}>"

    body = element("LifecycleConfiguration", {})[: -len("</LifecycleConfiguration>")]
    body += "".join(element("Rule", rule) for rule in rules) + "</LifecycleConfiguration>"
    assert object_store.request("PUT", f"/{BUCKET}", "lifecycle", body.encode())[0] == 200
    status, stored = object_store.request("GET", f"/{BUCKET}", "lifecycle")
    assert status == 200
    assert [found.text for found in ElementTree.fromstring(stored).iter() if found.tag.endswith("Prefix")] == prefixes


# --- Several gateways


def test_two_gateways_make_the_same_links(place: Place, tmp_path: Path) -> None:
    """A retry on another gateway with the same secret finds the files, and sends none of them again."""
    other = stores.beside(place, tmp_path / "other")
    digests = [sha256(FILM).hexdigest()]
    ids = {one.store.download_id(b"A: b\n", b"a@b", digests) for one in (place, other)}
    assert len(ids) == 1
    first = place.save(until=int(time.time()) + DAY, film=FILM)
    key = f"downloads/{ID}/files/film"
    before = _e_tag_and_time(place, key)
    second = other.save(until=int(time.time()) + 2 * DAY, film=FILM)
    assert _e_tag_and_time(place, key) == before
    assert second.until == place.keeper.record(ID).until > first.until
    assert [fetch(one.links[0].url)[1] for one in (first, second)] == [FILM, FILM]
    assert other.keeper.expire(time.time() + 10 * DAY, 0, dry_run=False).ids == (ID,)
    assert place.everything() == []


def _e_tag_and_time(place: Place, key: str) -> object:
    import obstore

    found = obstore.head(place.store.bucket._client(), key)
    return found["e_tag"], found["last_modified"]


def test_a_message_retried_on_another_gateway(object_store: Server, tmp_path: Path) -> None:
    """Two relays, one bucket, one secret: the same message has the same page, whoever handles it."""
    pages = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gateway = Gateway(tmp_path / name)
        (gateway.store / "secret").write_bytes(support.SECRET)
        through(gateway, object_store, "two-gateways")
        ended = gateway.pipe(letter())
        assert (ended.status, ended.stderr) == (0, b"")
        pages.append(signed(gateway.sent, "index.html"))
    paths = {url.partition("?")[0] for url in pages}
    assert len(paths) == 1
    assert [fetch(url)[0] for url in pages] == [200, 200]


def test_a_secret_that_is_named_must_be_there(place: Place, tmp_path: Path) -> None:
    """The key that gateways share is copied by a person: one that is missing is not made up."""
    named = place.policy.replace(store_secret_file=str(tmp_path / "shared"))
    with pytest.raises(StoreError, match=r"secret_file.*No such file"):
        open_store(named).download_id(b"", b"", [])
    assert not (tmp_path / "shared").exists()
    (tmp_path / "shared").write_bytes(b"short")
    with pytest.raises(StoreError, match="too short"):
        open_store(named).download_id(b"", b"", [])
    (tmp_path / "shared").write_bytes(support.SECRET)
    assert open_store(named).download_id(b"", b"", []) == place.store.download_id(b"", b"", [])


def test_two_at_once_agree_on_the_date(place: Place) -> None:
    """Of dates that gateways write at the same time the latest stays."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda number: place.save(until=support.NOW + number, one=b"1"), range(6)))
    assert place.keeper.record(ID).until == support.NOW + 5


def test_what_is_being_removed_is_not_stored(place: Place) -> None:
    """A message that is tried again while its files go waits; a removal that was given up does not hold it up."""
    place.save(one=b"1")
    store = place.store
    assert store.mark_removing(store.known(ID), stores.record(one=b"1"), int(time.time()))
    with pytest.raises(StoreError, match="being removed"):
        place.save(one=b"1")
    assert store.mark_removing(store.known(ID), stores.record(one=b"1"), int(time.time()) - REMOVAL_LIMIT)
    place.save(one=b"1")
    assert place.files() == {"one": b"1"}


def test_what_is_removed_while_it_is_stored_is_not_sent(place: Place) -> None:
    """Taken down while its message is under way: the message waits, rather than go out with dead links."""
    made = stores.record(one=b"1")

    def page(_: object) -> bytes:
        place.keeper.remove(ID)
        return b"page"

    with pytest.raises(StoreError, match="removed while"):
        place.store.save(made, [(BytesSpool(b"1"), made.files[0].sha256)], page)


# --- When it is not there, or not well


def deferred(gateway: Gateway, data: bytes) -> str:
    """Send a message that must wait; return the reason."""
    ended = gateway.pipe(data)
    assert ended.status == 75
    assert ended.stderr == b""
    assert gateway.calls == []
    return ended.line


def test_down_and_up_again(gateway: Gateway, own: Server) -> None:
    """Nobody listens: the message waits, with a reason, soon; when the store is back it goes out once."""
    through(gateway, own, "down")
    own.kill()
    began = time.monotonic()
    line = deferred(gateway, letter())
    assert time.monotonic() - began < 10
    assert line.startswith(f"4.3.0 pfilter: object store {own.endpoint}/{BUCKET}: can't ")
    assert own.secret not in line
    own.start_again()
    assert gateway.pipe(letter()).status == 0
    assert fetch(signed(gateway.sent, "index.html"))[0] == 200


def test_mail_without_links_needs_no_store(gateway: Gateway, own: Server) -> None:
    """What becomes no link passes while the store is down."""
    through(gateway, own, "down")
    own.kill()
    assert gateway.pipe(letter(b"small")).status == 0


def test_hanging(gateway: Gateway, own: Server) -> None:
    """It takes the connection and never answers: the message waits after `timeout`, not after the deadline."""
    through(gateway, own, "hanging", timeout="4s")
    own.pause()
    began = time.monotonic()
    line = deferred(gateway, letter())
    assert time.monotonic() - began < 8
    assert "can't" in line
    own.go_on()
    assert gateway.pipe(letter()).status == 0


def test_hanging_in_the_middle_of_an_upload(own: Server, store: Path) -> None:
    """It stops answering while pieces are on their way: the upload fails in time, and the retry ends it well."""
    place = stores.objects(store, own, timeout="4s")
    data = noise(24 << 20, 3)
    made = stores.record(until=int(time.time()) + DAY, big=data)

    class Pausing(BytesSpool):
        def windows(self, start: int, end: int) -> Iterator[bytes]:
            for number, chunk in enumerate(super().windows(start, end)):
                if number == 12:
                    own.pause()
                yield chunk

    began = time.monotonic()
    with pytest.raises(StoreError, match="can't write"):
        place.store.save(made, [(Pausing(data), made.files[0].sha256)], lambda _: b"page")
    assert time.monotonic() - began < 12
    own.go_on()
    download = place.save(until=made.until, big=data)
    assert fetch(download.links[0].url)[1] == data


def test_killed_in_the_middle_of_an_upload_and_restarted(gateway: Gateway, own: Server) -> None:
    """The store dies while a message's file goes up, and comes back: delivered once, and the link works."""
    through(gateway, own, "killed", timeout="10s")
    data = noise(40 << 20, 4)
    killer = threading.Timer(0.9, own.kill)
    killer.start()
    first = gateway.pipe(letter(data), seconds=60)
    killer.join()
    own.start_again()
    if first.status == 75:  # else it was faster than the killer
        assert gateway.calls == []
        assert gateway.pipe(letter(data), seconds=60).status == 0
    assert fetch(signed(gateway.sent, "index.html"))[0] == 200
    policy = load.load(str(gateway.config))
    keeper = stores.Place(policy, "s3").keeper
    (record,) = keeper.records([])
    (link,) = keeper.describe(record).links
    assert fetch(link.url)[1] == data


def test_the_filter_killed_in_the_middle_of_an_upload(gateway: Gateway, object_store: Server) -> None:
    """A filter that is killed while it uploads leaves no half file under a name; the retry is delivered once."""
    through(gateway, object_store, "filter-killed")
    data = noise(40 << 20, 5)
    command = [*gateway.launcher, *gateway.argv()]
    source = gateway.root / "message"
    source.write_bytes(letter(data))
    with source.open("rb") as stdin:
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, env=gateway.environment)
    policy = load.load(str(gateway.config))
    keeper = stores.Place(policy, "s3").keeper
    end = time.monotonic() + 20
    while not keeper.ids() and time.monotonic() < end:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (record,) = keeper.records([])
    assert gateway.calls == []
    with pytest.raises(FileNotFoundError):
        list(keeper.read(record, record.files[0].name))
    assert gateway.pipe(source.read_bytes(), seconds=60).status == 0
    assert sha256(b"".join(keeper.read(record, record.files[0].name))).hexdigest() == record.files[0].sha256


def test_an_interruption_is_heard_in_the_middle_of_an_upload(place: Place) -> None:
    """The deadline's signal ends an upload, and nothing of it stays."""

    class Over(BaseException):
        pass

    def alarm(*_: object) -> None:
        raise Over

    class Slow(BytesSpool):
        def windows(self, start: int, end: int) -> Iterator[bytes]:
            for chunk in super().windows(start, end):
                time.sleep(0.1)
                yield chunk

    data = bytes(30 << 20)
    made = stores.record(big=data)
    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.8)
    try:
        with pytest.raises(Over):
            place.store.save(made, [(Slow(data), made.files[0].sha256)], lambda _: b"page")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert place.store.bucket.look(f"downloads/{ID}/files/big") is None


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"store_url": "s3://no-such-bucket/x"}, "can't|no such bucket"),
        ({"store_credentials": "/nonexistent/keys"}, "credentials.*No such file"),
    ],
    ids=["bucket", "credentials"],
)
def test_what_is_configured_wrong_is_said(place: Place, changes: dict[str, str], wanted: str) -> None:
    """A bucket or file that is not there is named."""
    place.policy = place.policy.replace(**changes)
    with pytest.raises(StoreError, match=wanted):
        place.save(one=b"1")


def test_wrong_keys_are_not_shown(place: Place, tmp_path: Path) -> None:
    """Refused keys are an error in one line that has neither of them."""
    file = tmp_path / "wrong"
    file.write_text('access_key_id = "WRONGKEY"\nsecret_access_key = "WRONGSECRET"\n')
    place.policy = place.policy.replace(store_credentials=str(file))
    with pytest.raises(StoreError) as caught:
        place.save(one=b"1")
    assert "WRONG" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "403" in str(caught.value)


# --- Credentials and configuration


def values(**store: object) -> dict[str, Any]:
    """Return a configuration with a bucket."""
    bucket = {"url": "s3://bucket/prefix", "keep": "6d", "grace": "1d", **store}
    return {"policy": {"own_domains": ["*"]}, "store": bucket}


def test_presigned_links_need_no_base_url() -> None:
    """The links themselves say where they lead."""
    assert load.from_values(values()).store_base_url == ""


@pytest.mark.parametrize(
    ("store", "wanted"),
    [
        ({"keep": "7d"}, "7 days at most.*public"),
        ({"links": "public"}, "base_url is missing"),
        ({"quota": "1 GiB"}, "quota is for the local folder"),
        ({"timeout": "300s"}, "shorter than .policy. deadline"),
        ({"timeout": "1s"}, "at least 2s"),
        ({"url": "https://bucket"}, "s3://bucket/prefix"),
        ({"url": "s3://b"}, "s3://bucket/prefix"),
        ({"url": "s3://bucket//x"}, "s3://bucket/prefix"),
        ({"url": "s3://bucket/../x"}, "s3://bucket/prefix"),
        ({"endpoint": "localhost:9000"}, "https://s3.example.org"),
        ({"endpoint": "https://host/path"}, "https://s3.example.org"),
        ({"region": "eu west"}, "us-east-1"),
    ],
)
def test_what_cannot_work_is_refused(store: dict[str, object], wanted: str) -> None:
    """A configuration that can't work says so when it is read."""
    with pytest.raises(ConfigError, match=wanted):
        load.from_values(values(**store))


def test_errors_are_one_short_line() -> None:
    """Of what obstore says the cause is shown, not where it was looked for."""
    refused = "Generic S3 error: Error performing GET http://h/b/k in 1s - HTTP error: error sending request\n\nDebug"
    assert s3.reason(refused) == "HTTP error: error sending request"
    denied = "Error performing PUT http://h/k in 1ms - Server returned non-2xx status code: 403 Forbidden: <?xml ?>"
    denied += "<Error><Code>AccessDenied</Code></Error>"
    assert s3.reason(denied) == "AccessDenied: Server returned non-2xx status code: 403 Forbidden"


# --- Cost

UPLOAD = """
import sys
from hashlib import sha256
from pathlib import Path
from pfilter.base import spool
from pfilter.config import load
from pfilter.store.select import open_store
from tests.lib import stores
policy, size = load.load(sys.argv[1]), int(sys.argv[2])
content = spool.finished((bytes(1 << 20) for _ in range(size >> 20)), lambda: policy.store_path, size)
digest = "0" * 64
made = stores.record().replace(files=(stores.RecordedFile(name="big", size=size, sha256=digest),))
open_store(policy).save(made, [(content, digest)], lambda _: b"page")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_file(gateway: Gateway, object_store: Server) -> None:
    """An upload takes the same memory for 150 MiB as for 15."""
    through(gateway, object_store, "memory")
    peaks = []
    for size in (15 << 20, 150 << 20):
        command = [sys.executable, "-c", UPLOAD, str(gateway.config), str(size)]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] < 80
    assert peaks[1] - peaks[0] < 12


# --- What `pfilter check` says


def said(place: Place) -> dict[str, list[str]]:
    """Return what the checks of key and bucket say, by level."""
    from pfilter.check import everything

    found: dict[str, list[str]] = {}
    # Where no Postfix says otherwise, pfilter_time_limit is 1000 s: not enough for a bucket by default.
    for one in everything.run(place.policy.replace(deadline=240)):
        if any(word in one.text for word in ("object store", "[store]", "key that links", "presigned")):
            found.setdefault(one.level, []).append(one.text)
    return found


def test_check_is_content(place: Place) -> None:
    """A bucket that works, private keys: nothing to mend, but a warning about http."""
    found = said(place)
    assert "error" not in found
    assert any("supports conditional writes" in text for text in found["ok"])
    assert any("endpoint is not https" in text for text in found["warning"])
    assert any("other gateways need a copy" in text for text in found["ok"])
    assert place.everything() == []


def test_check_names_what_is_wrong(place: Place, tmp_path: Path) -> None:
    """Keys that everybody can read, a bucket that is not there, a shared key that is missing."""
    Path(place.policy.store_credentials).chmod(0o644)
    place.policy = place.policy.replace(store_url="s3://no-such-bucket", store_secret_file=str(tmp_path / "none"))
    errors = " ".join(said(place)["error"])
    assert "credentials" in errors
    assert "no-such-bucket" in errors
    assert "secret_file" in errors
