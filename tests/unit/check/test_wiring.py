"""What `pfilter check` finds in Postfix's configuration, and the command that it names."""

import os
import shlex
from pathlib import Path

import pytest

from pfilter.base.errors import ConfigError
from pfilter.check import wiring
from pfilter.config.settings import Settings
from pfilter.lmtp import process
from tests.lib import support


@pytest.fixture
def postfix(tmp_path: Path) -> Path:
    """Return a folder for a stand-in of postconf(1), beside a sendmail."""
    return tmp_path


def answers(postfix: Path, **known: str) -> None:
    """Let postconf know these values; a warning stands in front of each answer, and one behind it."""
    cases = "".join(f"  {shlex.quote(name)}) echo {shlex.quote(value)} ;;\n" for name, value in known.items())
    script = f'#!/bin/sh\necho "postconf: warning: odd" >&2\nfor last; do :; done\ncase "$last" in\n{cases}esac\n'
    script += 'echo "$0: warning: /etc/postfix/main.cf: unused parameter: x=y" >&2\n'
    path = postfix / "postconf"
    path.write_text(script)
    path.chmod(0o755)


def configured(postfix: Path, **sections: dict[str, object]) -> Settings:
    """Return a policy whose Postfix is the stand-in."""
    reinject = {"sendmail": os.fspath(postfix / "sendmail"), **sections.pop("reinject", {})}
    return support.policy(postfix, reinject=reinject, **sections)


@pytest.mark.parametrize(
    ("known", "enough"),
    [
        ({"pfilter_time_limit": "600s"}, False),
        ({"pfilter_time_limit": "1200s"}, True),
        ({"pfilter_time_limit": "20m"}, True),
        ({"pfilter_time_limit": "1h"}, True),
        ({"pfilter_time_limit": "989"}, False),
        ({"pfilter_time_limit": "990"}, True),
        ({"pfilter_time_limit": "$command_time_limit", "command_time_limit": "5m"}, False),
        ({"pfilter_time_limit": "$command_time_limit", "command_time_limit": "1000s"}, True),
        ({}, True),
    ],
)
def test_the_time_limit(postfix: Path, known: dict[str, str], enough: bool) -> None:
    """Postfix must wait for as long as a message may take: deadline and both limits of the way back."""
    answers(postfix, **known)
    found = wiring.time_limit(configured(postfix))
    assert (found == []) is enough
    assert enough or "postconf -e pfilter_time_limit=990s" in found[0]


def test_the_time_limit_follows_the_configuration(postfix: Path) -> None:
    """A longer wait for the final dot needs a longer time limit."""
    answers(postfix, pfilter_time_limit="1200s")
    longer: dict[str, object] = {"data_done_timeout": "15m"}
    (found,) = wiring.time_limit(configured(postfix, reinject=longer))
    assert "postconf -e pfilter_time_limit=1290s" in found


OPTION = "127.0.0.1:10026/inet/smtpd_recipient_limit"


@pytest.mark.parametrize(
    ("known", "enough"),
    [
        ({"smtpd_recipient_limit": "1000", "pfilter_destination_recipient_limit": "1000"}, True),
        ({"smtpd_recipient_limit": "100", "pfilter_destination_recipient_limit": "1000"}, False),
        ({"smtpd_recipient_limit": "100", "pfilter_destination_recipient_limit": "1000", OPTION: "100000"}, True),
        ({"smtpd_recipient_limit": "1000", "pfilter_destination_recipient_limit": "1000", OPTION: "10"}, False),
        ({"smtpd_recipient_limit": "100", "pfilter_destination_recipient_limit": "$default_limit"}, True),
        ({}, True),
    ],
)
def test_the_number_of_recipients(postfix: Path, known: dict[str, str], enough: bool) -> None:
    """The way back must take as many recipients as a message comes with."""
    answers(postfix, **known)
    smtp: dict[str, object] = {"method": "smtp"}
    found = wiring.recipient_limit(configured(postfix, reinject=smtp))
    assert (found == []) is enough
    assert enough or f"postconf -P {OPTION}=100000" in found[0]
    assert wiring.recipient_limit(configured(postfix)) == []


ATTACHED = "submission/inet/content_filter = pfilter:dummy"
OTHER = "smtp/inet/content_filter = other:dummy\npickup/unix/content_filter = pfilter:dummy"


@pytest.mark.parametrize(
    ("whole", "options", "enough"),
    [
        ("10240000", ATTACHED, False),
        ("10240000", f"{ATTACHED}\nsubmission/inet/message_size_limit = 10174464", True),
        ("10240000", f"{ATTACHED}\nsubmission/inet/message_size_limit = 10239999", False),
        ("10240000", f"{ATTACHED}\nsubmission/inet/message_size_limit = 0", False),
        ("10240000", f"{ATTACHED}\nsubmission/inet/message_size_limit = $other", True),
        ("10240000", OTHER, True),
        ("0", ATTACHED, True),
        ("", ATTACHED, True),
    ],
)
def test_the_size_of_messages(postfix: Path, whole: str, options: str, enough: bool) -> None:
    """What the front takes must fit in on the way back, with all that it grows by."""
    answers(postfix, **{"message_size_limit": whole, "-P": options})
    found = wiring.size_limit(configured(postfix))
    assert (found == []) is enough
    assert enough or "postconf -P submission/inet/message_size_limit=10174464" in found[0]


LMTP = {"pfilter-in/unix": "pfilter-in unix - n n - 10 spawn user=pfilter argv=/x"}


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"pfilter-in_time_limit": "1800s"}, []),
        ({"pfilter-in_time_limit": "1290s", "pfilter/unix/lmtp_data_done_timeout": "990s"}, []),
        ({"pfilter-in_time_limit": "1289s", "pfilter_time_limit": "5h"}, ["postconf -e pfilter-in_time_limit=1290s"]),
        ({"command_time_limit": "1000s"}, ["postconf -e pfilter-in_time_limit=1290s"]),
        (
            {"pfilter-in_time_limit": "1h", "pfilter/unix/lmtp_data_done_timeout": "600s"},
            ["postconf -P pfilter/unix/lmtp_data_done_timeout=990s"],
        ),
    ],
)
def test_the_time_limits_of_layout_lmtp(postfix: Path, known: dict[str, str], says: list[str]) -> None:
    """spawn(8) counts from the first message of a process, lmtp(8) waits for the answer to each."""
    answers(postfix, **LMTP, **known)
    found = wiring.time_limit(configured(postfix))
    assert [sentence.partition(": ")[2].partition(" && ")[0] for sentence in found] == says


def test_the_lifetime_is_that_of_the_door() -> None:
    """What check reckons with is what happens."""
    assert wiring.LIFETIME == process.LIFETIME


FRONT = "submission/inet/content_filter = pfilter:unix:private/pfilter-in"
LIST = "submission/inet/smtpd_end_of_data_restrictions = check_sasl_access,texthash:{map},permit"


@pytest.mark.parametrize(
    ("users", "mapped", "says"),
    [
        (["robot"], None, ["submission/inet does not know that mail of robot is exempt"]),
        (["Robot", "fax"], ["robot", "FAX"], []),
        (["robot", "fax"], ["robot"], ["submission/inet does not know that mail of fax is exempt"]),
        ([], ["robot"], ["submission/inet sends mail of robot past the filter"]),
        ([], None, []),
    ],
)
def test_exempt_users_of_layout_lmtp(
    postfix: Path, users: list[str], mapped: list[str] | None, says: list[str]
) -> None:
    """Nobody tells the filter who has logged in: smtpd's map must have the users of the key, and no others."""
    path = postfix / "pfilter-exempt"
    options = FRONT
    if mapped is not None:
        path.write_text("# ours\n" + "".join(f"{user} FILTER x:[127.0.0.1]:10026\n" for user in mapped))
        options += "\n" + LIST.format(map=path)
    answers(postfix, **LMTP, **{"-P": options, "config_directory": str(postfix)})
    found = wiring.exempt_users(configured(postfix, policy={"exempt_sasl_users": users}))
    assert [one[: len(wanted)] for one, wanted in zip(found, says, strict=True)] == says
    assert all("run postfix/install again" in one for one in found)


def test_mail_of_exempt_users_that_clamd_does_not_see(postfix: Path) -> None:
    """Who has a scanner is told whose mail it does not see."""
    path = postfix / "pfilter-exempt"
    path.write_text("robot FILTER x:[127.0.0.1]:10026\n")
    options = FRONT + "\n" + LIST.format(map=path)
    answers(postfix, **LMTP, **{"-P": options, "config_directory": str(postfix)})
    settings = configured(postfix, policy={"exempt_sasl_users": ["robot"]}, clamav={"socket": "/run/clamd"})
    (found,) = wiring.exempt_users(settings)
    assert "clamd does not see" in found
    assert wiring.exempt_users(settings.replace(clamav_socket="")) == []


def test_exempt_users_of_the_other_layouts(postfix: Path) -> None:
    """The pipe is told, and needs no map."""
    answers(postfix, **{"-P": ATTACHED})
    assert wiring.exempt_users(configured(postfix, policy={"exempt_sasl_users": ["robot"]})) == []


def test_the_map_of_exempt_users(postfix: Path) -> None:
    """One line for each user, in lower case, to the way back; a name that a map can't have is refused."""
    reinject: dict[str, object] = {"smtp": "127.0.0.1:2026"}
    settings = configured(postfix, policy={"exempt_sasl_users": ["Fax", "a@b", "fax"]}, reinject=reinject)
    action = "FILTER pfilter-exempt:[127.0.0.1]:2026"
    assert wiring.sasl_access(settings) == f"a@b {action}\nfax {action}\n"
    for name in ("a b", "#a", '"a', "a\tb"):
        with pytest.raises(ConfigError, match="characters"):
            wiring.sasl_access(settings.replace(exempt_sasl_users=(name,)))
