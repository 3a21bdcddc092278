"""How long the window is in which a crash doubles a message: from the moment Postfix has it to our exit.

Where lmtp(8) hands it over, to the last reply.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from tests.tools.faults.case import Case
from tests.tools.faults.oracle import Verdict
from tests.tools.faults.place import Place

ROUNDS = 25
SAYS_WHEN = "date +%s%N >$d/at"  # a moment before it has queued


def cases(_: Place) -> Iterator[Case]:
    """Yield measurements; each is one run of the table, and a note."""
    of_sendmail = (("passes", "sendmail"), ("changes", "sendmail"), ("changes", "notify"))
    for mail, config in (*of_sendmail, ("passes", "smtp"), ("changes", "smtp")):
        yield Case("window", f"{mail}, {config}", partial(_measure, mail, config))


def _measure(mail: str, config: str, place: Place) -> Verdict:
    found = []
    for _ in range(ROUNDS):
        place.reset(warm=True)
        place.stub(between=SAYS_WHEN)
        ended = place.attempt(place.mails[mail], config)
        (one,) = place.taken(place.mails[mail])
        found.append((ended.at - one.at) / 1e6)
    low, middle, high = statistics.quantiles(found, n=4)
    note = f"{middle:.1f} ms (quartiles {low:.1f} .. {high:.1f}, {min(found):.1f} .. {max(found):.1f}, {ROUNDS} rounds)"
    return Verdict("delivered", note=note)
