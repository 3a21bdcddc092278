"""The printed configurations, and `pfilter serve`, in front of `pfilter check-web`: whole, and broken on purpose."""

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from pfilter.base.errors import ConfigError
from pfilter.config import load
from pfilter.store import http_headers, layout
from pfilter.store.local import LocalStore
from pfilter.web import check, rules, server_config
from pfilter.web.client import Client
from tests.e2e.web import servers
from tests.e2e.web.conftest import Start
from tests.lib.support import PROJECT

Values = Callable[..., dict[str, dict[str, object]]]
COMMON = [name for name, _ in http_headers.COMMON]
HSTS = http_headers.TRANSPORT[0]


def wrong_rules(
    place: servers.Place, server: servers.Running, plain: str, *, insecure: bool = True
) -> dict[str, list[str]]:
    """Return what check-web finds wrong, by rule."""
    policy = place.policy()
    store = LocalStore(policy.store_path, policy.store_base_url)
    client = Client(policy.store_base_url, server.address, insecure=insecure)
    by_text = {rule.holds: key for key, rule in rules.RULES.items()}
    wrong = {}
    for finding in check.check(store, client, plain=plain):
        if finding.level != "ok":
            key = next(key for text, key in by_text.items() if finding.text.startswith(f"not so: {text}: "))
            wrong[key] = [finding.text, *finding.mend]
            assert finding.level == rules.RULES[key].level
    return wrong


@pytest.mark.parametrize("expired", [False, True], ids=["built-in", "expired.html"])
@pytest.mark.parametrize("kind", ["nginx", "apache", "serve"])
def test_all_rules_hold(
    kind: str, expired: bool, place: servers.Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As printed, nothing is wrong; with the certificate verified; nothing is left behind; the log has no link."""
    monkeypatch.setenv("SSL_CERT_FILE", str(place.certificate))
    downloads = place.store / "downloads"
    downloads.mkdir()
    downloads.chmod(0o711)
    if expired:
        (downloads / "expired.html").write_text("<!doctype html><title>Expired</title><p>Passé.\n")
    server, plain = start(kind)
    assert wrong_rules(place, server, plain, insecure=False) == {}
    gone = Client(place.policy().store_base_url, server.address).ask(f"{servers.PREFIX}/{'b' * 32}/")
    assert (gone.status, "Passé" in gone.body.decode()) == (404, expired)
    assert gone.get("content-type").startswith("text/html")
    assert {path.name for path in downloads.iterdir()} <= {"expired.html"}
    assert list((place.store / "records").iterdir()) == []
    logs = [path for path in place.folder.iterdir() if path.suffix == ".log"]
    assert logs
    for log in logs:
        assert not re.search(layout.ID, log.read_text()), log
    if kind != "serve":
        assert re.search(rf" /{layout.SHORT_ID}\.\.\. 200 ", (place.folder / "pfilter.log").read_text())


@pytest.mark.parametrize("kind", ["nginx", "apache", "serve"])
def test_an_absolute_target_is_taken_as_its_path(kind: str, place: servers.Place, start: Start) -> None:
    """Every server takes `GET https://host/path` (RFC 9112, 3.2.2) as it does `GET /path`; what is not there too."""
    with downloads(place) as (present, _, _):
        server, _ = start(kind)
        client = Client(place.policy().store_base_url, server.address, insecure=True)
        for path in (f"/{present}/", f"/{present}/files/plain.txt", f"/{present}/files/none"):
            path = servers.PREFIX + path  # noqa: PLW2901
            near, far = client.ask(path), client.ask(f"https://{servers.HOST}{path}")
            assert (near.status, near.body) == (far.status, far.body)
        lost = client.ask(f"https://{servers.HOST}{servers.PREFIX}/{present}")
        assert lost.get("location").endswith(f"{servers.PREFIX}/{present}/")


@pytest.mark.parametrize("kind", ["apache", "serve"])  # nginx has no way to say so: max_ranges heeds no variable
def test_head_with_a_range(kind: str, place: servers.Place, start: Start) -> None:
    """Range has a meaning for GET alone (RFC 9110, 14.2): HEAD tells the whole length."""
    with downloads(place) as (present, _, _):
        server, _ = start(kind)
        client = Client(place.policy().store_base_url, server.address, insecure=True)
        path = f"{servers.PREFIX}/{present}/files/plain.txt"
        plain = client.ask(path, "HEAD")
        for given in ("bytes=2-5", "bytes=999999-", "bytes=0-1,4-5"):
            answer = client.ask(path, "HEAD", range=given)
            told = ("content-length", "content-range", "content-type")
            assert (answer.status, *map(answer.get, told)) == (200, *map(plain.get, told))


@pytest.mark.parametrize(("kind", "level"), [("nginx", "error"), ("serve", "ok")])
def test_what_pages_offer_is_there(
    kind: str, level: str, place: servers.Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With [serve] archive, check-web says whether all files can be had at once where the downloads are."""
    values = servers.Place.values
    monkeypatch.setattr(servers.Place, "values", lambda place, **more: values(place, archive=True, **more))
    server, _ = start(kind)
    file = servers.write_configuration(place)
    done = command("check-web", "--config", str(file), "--connect", server.address, "--insecure")
    (line,) = [line for line in done.stdout.splitlines() if "all files can be had at once" in line]
    assert (line.split()[0], done.returncode) == (level, int(level == "error"))


def downloads(place: servers.Place) -> AbstractContextManager[tuple[str, str, str]]:
    """Place what check-web does: a download that is there, one that is not any more, and one that has ended."""
    policy = place.policy()
    return check._placed(LocalStore(policy.store_path, policy.store_base_url))


PROXY = """
map $http_host $pfilter_back {{ default {back}; }}
server {{
    listen 443 ssl;
    listen 80;
    server_name {host};
    server_tokens off;
    gzip off;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    access_log off;
    location / {{
        proxy_pass http://$pfilter_back;
        proxy_http_version 1.1;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_max_temp_file_size 0;
    }}
}}
"""


def test_all_rules_hold_behind_a_proxy(place: servers.Place, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pfilter serve` without a certificate, behind an nginx that has one."""
    if absent := servers.missing("nginx"):
        pytest.skip(f"{absent} is not installed")
    monkeypatch.setattr(servers.Place, "values", without_certificate(servers.Place.values))
    back, _ = start("serve")
    plain = servers.free_port()
    text = PROXY.format(host=servers.HOST, folder=place.folder, back=back.address)
    front = servers.start("nginx", place, text, plain)
    try:
        assert wrong_rules(place, front, f"127.0.0.1:{plain}") == {}
    finally:
        front.stop()


def without_certificate(values: Values) -> Values:
    """Return a function that makes configurations as another does, but without a certificate."""

    def made(place: servers.Place, **more: object) -> dict[str, dict[str, object]]:
        return values(place, certificate="", key="", **more)

    return made


def test_what_is_printed_by_the_command(place: servers.Place) -> None:
    file = servers.write_configuration(place)
    for kind in server_config.KINDS:
        done = command("print", "--config", str(file), kind)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == servers.site(kind, place)
        assert str(place.store / "downloads") in done.stdout


@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        (("serve", "--listen", "x"), {}, "--listen x: must be host and port"),
        (("check-web", "--connect", "x"), {}, "x: must be host and port"),
        (("check-web", "--url", "ftp://x"), {}, "ftp://x: must be the public address"),
        (("print", "nginx"), {"url": "s3://bucket/x", "links": "public"}, "downloads are in a bucket"),
        (("serve",), {"url": "s3://bucket/x", "links": "public"}, "downloads are in a bucket"),
        (("check-web",), {"url": "s3://bucket/x", "links": "public"}, "downloads are in a bucket"),
    ],
)
def test_what_can_not_be_done_is_said(
    arguments: tuple[str, ...],
    changes: dict[str, object],
    said: str,
    place: servers.Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = place.values()
    values["store"] |= changes
    monkeypatch.setattr(servers.Place, "values", lambda *_, **__: values)
    file = servers.write_configuration(place)
    done = command(*arguments, "--config", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_command_says_what_is_wrong_and_how_to_mend_it(place: servers.Place, start: Start) -> None:
    server, plain = start("nginx", ('add_header X-Content-Type-Options "nosniff" always;', ""))
    file = servers.write_configuration(place)
    options = ("--config", str(file), "--connect", server.address, "--connect-http", plain, "--insecure")
    done = command("check-web", *options)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.startswith("error")]
    assert lines[number].startswith("error    not so: browsers may not guess types: the page has no X-Content-Type-Opt")
    assert lines[number + 1].strip() == 'nginx:  add_header X-Content-Type-Options "nosniff" always;'
    assert lines[number + 2].strip() == 'Apache: Header always set X-Content-Type-Options "nosniff"'
    assert {line.split()[0] for line in lines[:number] + lines[number + 3 :]} == {"ok"}


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of pfilter."""
    argv = [sys.executable, "-P", "-m", "pfilter.cli", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=environment)


# --- Broken on purpose: what is changed in the printed text, and the rules that must be named for it, no others

ID = layout.ID
NGINX_BROKEN: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "headers": (
        [
            (f'add_header {name} "{value}" always;', "")
            for name, value in (*http_headers.COMMON, http_headers.TRANSPORT)
        ],
        {*COMMON, HSTS},
    ),
    "files": (
        [("set $pfilter_disposition attachment;", ""), (f'set $pfilter_policy "{http_headers.FILE_POLICY}";', "")],
        {"attachment", "file policy"},
    ),
    "kinds": (
        [
            ("application/zip zip;", "application/zip zip; text/html html; image/svg+xml svg;"),
            ("server_tokens off;", ""),
            (f'default_type "{http_headers.HTML}"', "default_type text/plain"),
            ("return 301 $uri/", "return 404"),
            ("max_ranges 16;", "max_ranges 0;"),
            ("etag on;", "etag off;"),
            ("gzip off;", ""),
        ],
        {"type", "version", "page", "slash", "ranges", "etag", "encoding"},
    ),
    "all": (
        [("        return 404;\n    }\n    error_page", "        return 200 hello;\n    }\n    error_page")],
        {"outside", "listing", "gone"},
    ),
    "answers": (
        [
            (f'"{http_headers.PAGE_POLICY}"', "\"default-src 'self'\""),
            ("disable_symlinks on from=$document_root;", "if ($request_method = HEAD) { return 404; }"),
            ("    autoindex off;", "    if ($request_method = DELETE) { return 204; }"),
            ("index.html =404", "index.html =410"),
            (" 408 410 ", " 408 "),
        ],
        {"page policy", "links", "head", "methods", "gone"},
    ),
    "content": (
        [("try_files /$pfilter_file", "ssi on; ssi_types *; try_files /$pfilter_file")],
        {"content", "etag", "ranges"},
    ),
    "tls": (
        [
            ("ssl_protocols TLSv1.2 TLSv1.3;", "ssl_protocols TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0;"),
            (f"return 301 https://{servers.HOST}$request_uri;", "return 200 hello;"),
        ],
        {"tls", "plain"},
    ),
    "ended": ([("try_files /$pfilter_page/", "try_files /$pfilter_page/files/../")], {"ended"}),
    "reach": ([('/downloads";', '/elsewhere";')], {"reach"}),
}
LAST_RULE = "    RewriteRule ^ - [R=404,L]\n    TraceEnable"
APACHE_BROKEN: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "headers": (
        [(f'Header always set {name} "{value}"', "") for name, value in (*http_headers.COMMON, http_headers.TRANSPORT)],
        {*COMMON, HSTS},
    ),
    "files": (
        [
            ("Header set Content-Disposition attachment", ""),
            (f'Header always set {http_headers.POLICY} "{http_headers.FILE_POLICY}"', "# "),
        ],
        {"attachment", "file policy"},
    ),
    "kinds": (
        [
            (f"ForceType {http_headers.BYTES}", "ForceType None"),
            (f'ForceType "{http_headers.HTML}"', "ForceType text/plain"),
            (f'RewriteRule "^{servers.PREFIX}/{ID}$"', "# "),
            ("MaxRanges 16", "MaxRanges none"),
            ("FileETag MTime Size", "FileETag None"),
            ("SetEnv no-gzip 1", ""),
        ],
        {"type", "page", "slash", "ranges", "etag", "encoding"},
    ),
    "all": (
        [(LAST_RULE, "    RewriteRule ^ /hello [R=200,L]\n    TraceEnable")],
        {"outside", "listing", "gone", "links", "page policy", "ended"},
    ),
    "answers": (
        [
            (f'"{http_headers.PAGE_POLICY}"', "\"default-src 'self'\""),
            (
                f'/$1" !-l\n    RewriteRule "^{servers.PREFIX}/({ID}/files',
                f'/$1" -f\n    RewriteRule "^{servers.PREFIX}/({ID}/files',
            ),
            ("Options None", "Options FollowSymLinks"),
            ("!^(?:GET|HEAD)$", "!^(?:GET|POST)$"),
            ("RewriteEngine On", f'RewriteEngine On\n    RewriteRule "^/d/{"a" * 31}7/$" - [R=410,L]'),
        ],
        {"page policy", "links", "head", "methods", "gone"},
    ),
    "content": ([("SetHandler default-handler", "")], {"content"}),
    "tls": (
        [
            (
                "SSLProtocol -all +TLSv1.2 +TLSv1.3",
                "SSLProtocol -all +TLSv1.1 +TLSv1.2\nSSLCipherSuite ALL:@SECLEVEL=0",
            ),
            (f"Redirect permanent / https://{servers.HOST}/", "Redirect permanent / http://www.example.com/"),
        ],
        {"tls", "plain"},
    ),
    "ended": (
        [
            (
                f'    RewriteRule "^{servers.PREFIX}/({ID})/$"',
                f'    RewriteCond "%{{DOCUMENT_ROOT}}/$1/files" -d\n    RewriteRule "^{servers.PREFIX}/({ID})/$"',
            )
        ],
        {"ended"},
    ),
    "reach": ([(f'RewriteRule "^{servers.PREFIX}/({ID})/$"', "# ")], {"reach"}),
}


@pytest.mark.parametrize("what", NGINX_BROKEN)
def test_broken_nginx_is_found_out(what: str, place: servers.Place, start: Start) -> None:
    """Each rule that is broken is named, with the line that mends it, and no other."""
    found_out("nginx", *NGINX_BROKEN[what], place, start)


@pytest.mark.parametrize("what", APACHE_BROKEN)
def test_broken_apache_is_found_out(what: str, place: servers.Place, start: Start) -> None:
    """The same for Apache."""
    found_out("apache", *APACHE_BROKEN[what], place, start)


def found_out(kind: str, changes: list[tuple[str, str]], keys: set[str], place: servers.Place, start: Start) -> None:
    """Start a server with changes, and have it checked."""
    server, plain = start(kind, *changes)
    wrong = wrong_rules(place, server, plain)
    assert set(wrong) == keys, wrong
    for text, nginx, apache in wrong.values():
        assert len(text) > len("not so: : ")
        assert nginx.startswith("nginx: ")
        assert apache.startswith("Apache: ")
    assert list((place.store / "records").iterdir()) == []


def test_a_certificate_that_ends_soon_is_found_out(
    place: servers.Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make_certificate(days=9)
    monkeypatch.setenv("SSL_CERT_FILE", str(place.certificate))
    server, plain = start("nginx")
    wrong = wrong_rules(place, server, plain, insecure=False)
    assert list(wrong) == ["certificate"]
    assert "it ends in 8 days" in wrong["certificate"][0]


def test_a_certificate_that_is_not_trusted_is_said(place: servers.Place, start: Start) -> None:
    server, plain = start("nginx")
    wrong = wrong_rules(place, server, plain, insecure=False)
    assert list(wrong) == ["reach"]
    assert "certificate verify failed" in wrong["reach"][0]


def test_every_rule_is_broken_by_some_test() -> None:
    """So no rule is there that nothing shows to work."""
    nginx = set().union(*(keys for _, keys in NGINX_BROKEN.values())) | {"certificate"}
    apache = set().union(*(keys for _, keys in APACHE_BROKEN.values()))
    assert nginx == set(rules.RULES)
    assert set(rules.RULES) - apache == {"certificate", "version"}


NO_LINES = {
    "ended",
    "reach",
    "certificate",
    "content",
    "version",
    "plain",
    "slash",
    "outside",
    "head",
    "methods",
    "links",
    "type",
}


@pytest.mark.parametrize("key", sorted(set(rules.RULES) - NO_LINES))
def test_lines_that_mend_are_those_that_are_printed(key: str) -> None:
    policy = load.from_values({"policy": {"own_domains": ["a.b"]}, "store": {"base_url": "https://files.example/d"}})
    rule = rules.RULES[key]
    assert rule.nginx in server_config.configuration("nginx", policy)
    assert rule.apache in server_config.configuration("apache", policy)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ({"base_url": "http://files.example"}, "must begin with https://"),
        ({"base_url": "https://files.example/a b"}, "base_url"),
        ({"base_url": "https://files.example/$x"}, "'/\\$x' has characters"),
        ({"base_url": "https://files.example", "path": '/srv/a"b'}, "has characters"),
    ],
)
def test_what_web_servers_would_misread_is_refused(store: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        server_config.configuration("nginx", load.from_values({"policy": {"own_domains": ["a.b"]}, "store": store}))


@pytest.mark.parametrize("kind", server_config.KINDS)
def test_without_a_path_and_with_a_port(kind: str, place: servers.Place, start: Start) -> None:
    """A base_url without a path, and one with a port, work as well."""
    if absent := servers.missing(kind):
        pytest.skip(f"{absent} is not installed")
    values = place.values()
    values["store"]["base_url"] = f"https://{servers.HOST}"
    text = server_config.configuration(kind, load.from_values(values))
    server = servers.start(kind, place, text, servers.free_port())
    try:
        store = LocalStore(str(place.store), f"https://{servers.HOST}")
        found = list(check.check(store, Client(store.base_url, server.address, insecure=True), plain="127.0.0.1:1"))
        assert [finding for finding in found if finding.level != "ok"] == []
    finally:
        server.stop()
    values["store"]["base_url"] = f"https://{servers.HOST}:8443"
    text = server_config.configuration(kind, load.from_values(values))
    assert "8443" in text
    assert ":80" not in re.sub(":8443", "", text)
    assert "listen 80" not in text
