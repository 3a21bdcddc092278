"""The laws by which the reader of LMTP is fuzzed, for conversations that have gone wrong in some thousand ways."""

import random

import pytest

from tests.tools.fuzz import lmtp, loop

ROUNDS = 150


@pytest.mark.parametrize("seed", range(len(lmtp.SEEDS)))
def test_conversations_gone_wrong(seed: int) -> None:
    """Pieces cut out, doubled, put in: nothing raises, nothing depends on how the octets arrive."""
    rng = random.Random(seed)
    lmtp.reader(lmtp.SEEDS[seed])
    for _ in range(ROUNDS):
        lmtp.reader(loop.mutated(rng, [lmtp.SEEDS[seed], *lmtp.SEEDS])[:4000])
