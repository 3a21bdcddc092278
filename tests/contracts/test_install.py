"""postfix/install and postfix/remove on a scratch configuration."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfilter.check import wiring
from tests.e2e.conftest import LAYOUTS, why_not
from tests.lib.support import PROJECT, policy

MAIN_CF = "# ours\ncompatibility_level = 3.6\nmyhostname = mail.example.com\nqueue_directory = {queue}\n"
MASTER_CF = """\
# a comment that stays
smtp       inet  n - y - - smtpd
submission inet  n - y - - smtpd
  -o syslog_name=postfix/submission
  -o receive_override_options=no_unknown_recipient_checks
pickup     unix  n - y 60 1 pickup
cleanup    unix  n - y - 0 cleanup
"""
pytestmark = [pytest.mark.postfix, pytest.mark.skipif(bool(why_not()), reason=why_not() or "all is here")]


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Return one layout after the other."""
    return str(request.param)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Return a configuration of Postfix that is not in use."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (tmp_path / "queue").mkdir()
    for name in ("postfix-files", "dynamicmaps.cf"):
        if Path("/etc/postfix", name).exists():
            shutil.copy(Path("/etc/postfix", name), folder)
    (folder / "main.cf").write_text(MAIN_CF.format(queue=tmp_path / "queue"))
    (folder / "master.cf").write_text(MASTER_CF)
    return folder


def call(script: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [str(PROJECT / "postfix" / script), "--config-dir", str(folder), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def install(folder: Path, layout: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return call("install", folder, "--no-check", "--user", "nobody", "--layout", layout, *arguments)


def postconf(folder: Path, *arguments: str) -> str:
    argv = ["/usr/sbin/postconf", "-c", str(folder), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


ARGV = (
    "flags=Bq", "null_sender=", "user=nobody", "--queue-id=${queue_id}", "-f ${sender} -- ${recipient}",
    "--end=blank-line --size=${size}",
)  # fmt: skip
WORDS = {
    "smtp": ARGV,
    "sendmail": ARGV,
    "lmtp": (
        "pfilter unix - - n - 10 lmtp ", "pfilter-in unix - n n - 10 spawn user=nobody ",
        "argv=/opt/pfilter/current/bin/pfilter-lmtp --config=/etc/pfilter/pfilter.toml",
    ),
}  # fmt: skip
FILTERS = {"smtp": "pfilter:dummy\n", "sendmail": "pfilter:dummy\n", "lmtp": "pfilter:unix:private/pfilter-in\n"}


def test_round_trip(scratch: Path, layout: str) -> None:
    before = snapshot(scratch)
    done = install(scratch, layout)
    assert done.returncode == 0, done.stderr
    assert "attached to submission/inet" in done.stdout
    assert postconf(scratch, "-h", "-P", "submission/inet/content_filter") == FILTERS[layout]
    kept = postconf(scratch, "-h", "-P", "submission/inet/receive_override_options")
    assert kept.startswith("no_unknown_recipient_checks,")
    assert "no_milters" in kept
    assert postconf(scratch, "-P", "smtp/inet/content_filter") == ""
    services = " ".join(postconf(scratch, "-M", "pfilter/unix", "pfilter-in/unix").split())
    for word in WORDS[layout]:
        assert word in services
    assert ("10026" in postconf(scratch, "-M")) == (layout != "sendmail")

    installed = snapshot(scratch)
    again = install(scratch, layout)
    assert again.returncode == 0, again.stderr
    assert snapshot(scratch) == installed

    gone = call("remove", scratch)
    assert gone.returncode == 0, gone.stderr
    assert snapshot(scratch) == before
    assert not (scratch / "pfilter.saved").exists()


def test_remove_keeps_later_edits(scratch: Path, layout: str) -> None:
    assert install(scratch, layout).returncode == 0
    with open(scratch / "main.cf", "a") as file:
        file.write("mynetworks = 192.0.2.0/24\n")
    gone = call("remove", scratch)
    assert gone.returncode == 0, gone.stderr
    assert "mynetworks = 192.0.2.0/24\n" in (scratch / "main.cf").read_text()
    for name in ("main.cf", "master.cf"):
        assert "pfilter" not in (scratch / name).read_text()
    assert postconf(scratch, "-h", "-P", "submission/inet/receive_override_options") == "no_unknown_recipient_checks\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--service", "nothing/inet"), "no such service"),
        (("--layout", "uucp"), "smtp, sendmail or lmtp"),
        (("--authenticated",), "is for --layout lmtp"),
        (("--user", "root"), "refuses root"),
        (("--command", "pfilter-pipe"), "absolute path"),
        (("--command", "/nonexistent/pfilter-pipe"), "does not exist or is empty"),
        (("--layout", "sendmail", "--local-mail"), "would loop"),
    ],
)
def test_refusals_change_nothing(scratch: Path, arguments: tuple[str, ...], says: str) -> None:
    before = snapshot(scratch)
    options = () if "--command" in arguments else ("--no-check",)
    done = call("install", scratch, "--user", "nobody", *options, *arguments)
    assert done.returncode == 1
    assert says in done.stderr
    assert snapshot(scratch) == before
    assert sorted(os.listdir(scratch)) == sorted(before)


FILTERED = {
    "5.1.1 user unknown": "4.3.0 user unknown",
    '5.3.0 Command died with status 1: "pfilter-pipe"': '4.3.0 Command died with status 1: "pfilter-pipe"',
    "5.3.0 pfilter: x": "4.3.0 pfilter: x",
    "5.1.1 pfilter: SMTP server refused the recipient: 550 5.1.1 no": "",
    "5.1.3 pfilter: SMTP server refused the recipient: 501 5.1.3 bad": "",
    "5.7.1 pfilter: the message contains a virus: Eicar": "",
}


@pytest.mark.parametrize("status", FILTERED)
def test_the_status_filter_lets_pass_what_is_meant(scratch: Path, status: str) -> None:
    """What pipe(8) makes up itself is put off; what pfilter says on purpose bounces."""
    table = f"regexp:{PROJECT / 'postfix' / 'pfilter-dsn'}"
    argv = ["/usr/sbin/postmap", "-c", str(scratch), "-q", status, table]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.removesuffix("\n") == FILTERED[status], done.stderr


def test_an_older_time_limit_is_raised_and_a_longer_one_kept(scratch: Path, layout: str) -> None:
    """A second run gives what an earlier version installed the time that is needed now, and takes none away."""
    assert install(scratch, layout).returncode == 0
    name, least = ("pfilter-in_time_limit", "1800s") if layout == "lmtp" else ("pfilter_time_limit", "1200s")
    for older, newer in (("600s", least), ("1h", "1h"), ("1900", "1900")):
        postconf(scratch, "-e", f"{name}={older}")
        assert install(scratch, layout).returncode == 0
        assert postconf(scratch, "-h", name) == f"{newer}\n"


def test_authenticated(scratch: Path) -> None:
    """Where all have to log in, the filter is told so."""
    assert install(scratch, "lmtp", "--authenticated").returncode == 0
    assert postconf(scratch, "-M", "pfilter-in/unix").split()[-1] == "--authenticated"


def test_from_layout_to_layout(scratch: Path) -> None:
    """Another layout is what it would be in the first place, nothing of the one before is left, and all goes away."""
    before = snapshot(scratch)
    fresh = {}
    for one in LAYOUTS:
        assert install(scratch, one).returncode == 0
        fresh[one] = snapshot(scratch)
        assert call("remove", scratch).returncode == 0
        assert snapshot(scratch) == before
    for one in ("smtp", "lmtp", "sendmail", "lmtp", "smtp", "sendmail", "smtp"):
        done = install(scratch, one)
        assert done.returncode == 0, done.stderr
        found = snapshot(scratch)
        assert found.keys() == fresh[one].keys()
        for name in ("main.cf", "master.cf"):
            assert sorted(found[name].split(b"\n")) == sorted(fresh[one][name].split(b"\n"))
    assert call("remove", scratch).returncode == 0
    assert snapshot(scratch) == before


def test_a_change_that_fails_leaves_the_layout(scratch: Path) -> None:
    """What can't be written is put back, and the layout is what it was."""
    assert install(scratch, "smtp").returncode == 0
    before = snapshot(scratch)
    (scratch / "pfilter-dsn").unlink()
    (scratch / "pfilter-dsn").mkdir()  # install(1) can't write over it
    (scratch / "pfilter-dsn" / "x").touch()
    done = install(scratch, "sendmail", "--authenticated")
    assert done.returncode == 1
    done = install(scratch, "lmtp", "--service", "nothing/inet")
    assert done.returncode == 1
    found = snapshot(scratch)
    assert {name: found[name] for name in ("main.cf", "master.cf")} == {
        name: before[name] for name in ("main.cf", "master.cf")
    }
    assert (scratch / "pfilter.saved" / "layout").read_text() == "smtp\n"


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Path]:
    """Return a program beside which is one that prints the map, and warns; who is in it stands in a file."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    (folder / "users").touch()
    (folder / "pfilter").write_text(f"#!/bin/sh\necho a warning >&2\ntest $2 = sasl-access && cat {folder}/users\n")
    (folder / "pfilter").chmod(0o755)
    yield folder / "pfilter-lmtp"
    shutil.rmtree(folder)


EOD = "submission/inet/smtpd_end_of_data_restrictions"


@pytest.mark.parametrize("own", ["", "check_client_access,cidr:/a,check_client_access,cidr:/b", "main.cf"])
def test_exempt_users_of_layout_lmtp(scratch: Path, command: Path, own: str) -> None:
    """Smtpd gets a map of them, in front of what the service asks beside; without users there is none."""
    if own == "main.cf":
        own = "reject_multi_recipient_bounce"
        postconf(scratch, "-e", f"smtpd_end_of_data_restrictions={own}")
    elif own:
        postconf(scratch, "-P", f"{EOD}={own}")
    before = snapshot(scratch)
    (command.parent / "users").write_text("robot FILTER x\n")
    for _ in range(2):
        done = install(scratch, "lmtp", "--command", str(command))
        assert done.returncode == 0, done.stderr
        ours = f"check_sasl_access,texthash:{scratch}/pfilter-exempt"
        assert postconf(scratch, "-h", "-P", EOD).strip() == ours + bool(own) * f",{own}"
        assert (scratch / "pfilter-exempt").read_text() == "robot FILTER x\n"
        assert (scratch / "pfilter-exempt").stat().st_mode & 0o777 == 0o644
        found = snapshot(scratch)
    assert snapshot(scratch) == found
    (command.parent / "users").write_text("")
    assert install(scratch, "lmtp", "--command", str(command)).returncode == 0
    assert not (scratch / "pfilter-exempt").exists()
    assert "sasl" not in postconf(scratch, "-P", EOD)
    (command.parent / "users").write_text("robot FILTER x\n")
    for by in ("lmtp", "smtp"):
        assert install(scratch, by, "--command", str(command)).returncode == 0
    assert "pfilter-exempt" not in (scratch / "master.cf").read_text() + (scratch / "main.cf").read_text()
    assert call("remove", scratch).returncode == 0
    assert snapshot(scratch) == before


SIZES = {
    # main.cf's limit, that of the service: what it is then
    ("", ""): "10174464",
    ("40000000", ""): "39934464",
    ("40000000", "0"): "39934464",
    ("40000000", "39940000"): "39934464",
    ("40000000", "39000000"): "39000000",
    ("20000", ""): "17500",
    ("0", ""): "",
    ("0", "5000"): "5000",
}


@pytest.mark.parametrize(("whole", "own"), SIZES, ids=str)
def test_the_front_takes_less_than_the_way_back(scratch: Path, layout: str, whole: str, own: str) -> None:
    """What grows on its way must fit in at its end; a lower limit of the service stays; remove puts all back."""
    if whole:
        postconf(scratch, "-e", f"message_size_limit={whole}")
    if own:
        postconf(scratch, "-P", f"submission/inet/message_size_limit={own}")
    before = snapshot(scratch)
    for _ in range(2):
        assert install(scratch, layout).returncode == 0
        found = postconf(scratch, "-h", "-P", "submission/inet/message_size_limit").strip()
        assert found == SIZES[whole, own]
    assert call("remove", scratch).returncode == 0
    assert snapshot(scratch) == before


def test_the_front_follows_main_cf(scratch: Path, layout: str) -> None:
    """When main.cf's limit has changed, a second run sets the front's anew."""
    postconf(scratch, "-P", "submission/inet/message_size_limit=19000000")
    for whole, front in (("10240000", "10174464"), ("40000000", "19000000"), ("0", "19000000"), ("20000", "17500")):
        postconf(scratch, "-e", f"message_size_limit={whole}")
        assert install(scratch, layout).returncode == 0
        assert postconf(scratch, "-h", "-P", "submission/inet/message_size_limit").strip() == front
    assert call("remove", scratch).returncode == 0
    assert postconf(scratch, "-h", "-P", "submission/inet/message_size_limit").strip() == "19000000"


@pytest.mark.parametrize("by", ["smtp", "lmtp"])
def test_check_and_install_agree(scratch: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """What install sets is enough for check; what is not, it names with the command that mends it."""
    monkeypatch.setenv("MAIL_CONFIG", str(scratch))
    settings = policy(reinject={"method": "smtp"})
    looks = (wiring.time_limit, wiring.recipient_limit, wiring.size_limit)
    assert install(scratch, by).returncode == 0
    assert [look(settings) for look in looks] == [[], [], []]
    limit = "pfilter-in_time_limit" if by == "lmtp" else "pfilter_time_limit"
    postconf(scratch, "-e", f"{limit}=600s", "smtpd_recipient_limit=100")
    postconf(scratch, "-PX", "submission/inet/message_size_limit", "127.0.0.1:10026/inet/smtpd_recipient_limit")
    found = [sentence for look in looks for sentence in look(settings)]
    assert len(found) == 3
    for sentence in found:
        postconf(scratch, *sentence.rpartition("postconf ")[2].partition(" && ")[0].split())
    assert [look(settings) for look in looks] == [[], [], []]


def test_dry_run_changes_nothing(scratch: Path, layout: str) -> None:
    before = snapshot(scratch)
    done = install(scratch, layout, "--dry-run")
    assert done.returncode == 0
    assert "would run:" in done.stdout
    assert f"content_filter={FILTERS[layout].strip()}" in done.stdout
    assert snapshot(scratch) == before
    assert not (scratch / "pfilter.saved").exists()


def test_a_main_cf_filter_is_refused(scratch: Path, layout: str) -> None:
    """It would loop, or mail of one filter would go to the other."""
    with open(scratch / "main.cf", "a") as file:
        file.write("content_filter = other:dummy\n")
    done = install(scratch, layout)
    assert done.returncode == 1
    assert "main.cf has content_filter" in done.stderr
