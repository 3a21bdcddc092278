"""Figures over the corpus, for reports: `.venv/bin/python -m tests.tools.figures`.

How many messages there are, how many come out byte for byte with nothing to do, how many are edited when every
attachment is linked, zipped or taken off, and how many are left alone as ambiguous, by reason.
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pfilter.config.settings import Settings
from tests.lib import laws, support

SENDERS = {"linked": b"sender@example.org", "zipped": b"sender@example.org", "stripped": b""}
MARKERS = {"linked": support.NOTICE, "zipped": support.NOTICE, "stripped": "Please do not send this message again"}


def figures(store: "Path | str", *, check: bool = False) -> "Counter[str]":
    """Return the figures; with `check` each law is asserted on the way."""
    idle = support.policy(link={"enabled": False}, compress={"enabled": False})
    policies = {
        "linked": support.link_everything(store),
        "zipped": support.zip_everything(store),
        "stripped": support.link_everything(store),
    }
    found: Counter[str] = Counter()
    for path in sorted(support.CORPUS.glob("*/**/*")):
        if not path.is_file():
            continue
        found["messages"] += 1
        for twin, data in support.twins(path.read_bytes()).items():
            found[f"byte-identical with nothing to do ({twin})"] += support.process(data, idle).output == data
            if defects := support.scanned(data).defects:
                found[f"ambiguous ({twin})"] += 1
                if twin == "as it is":
                    found[f"ambiguous: {defects[0]}"] += 1
            for what, policy in policies.items():
                sender = SENDERS[what]
                if check:
                    result = laws.editing_keeps_the_rest(data, policy, sender, MARKERS[what])
                else:
                    result = support.process(data, policy, support.ENVELOPE.replace(sender=sender))
                found[f"{what} ({twin})"] += bool(result.edited)
                found[f"attachments {what} ({twin})"] += getattr(result.outcome, what)
            for reason in protected(data, policies["linked"]) if twin == "as it is" else ():
                found[f"protected: {reason}"] += 1
    return found


def protected(data: bytes, policy: Settings) -> "list[str]":
    """Return why a message with attachments may not be touched."""
    from pfilter import pipeline

    examined = pipeline.examine(support.BytesSpool(data), support.ENVELOPE, policy, lambda: policy.store_path)
    return (
        [examined.measured.protection.replace(" of ", ")\0").partition("\0")[0]] if examined.measured.protection else []
    )


def main() -> None:
    """Print the figures."""
    if not support.CORPUS.is_dir():
        sys.exit(f"there is no corpus at {support.CORPUS}")
    os.fsync = lambda fd: None  # thousands of messages go into a store that nobody will miss
    with tempfile.TemporaryDirectory() as store:
        for name, count in sorted(figures(store, check=True).items()):
            print(f"{count:6}  {name}")
