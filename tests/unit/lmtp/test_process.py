"""When a process for lmtp(8) has done its share."""

import pytest

from pfilter.lmtp import process


def test_files_are_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version is noticed within a second, once and for all; hundreds of messages share one look."""
    now = 0.0
    looks = []

    def identity(program: str) -> tuple[object, ...]:
        looks.append(now)
        return (now > 5,)

    monkeypatch.setattr(process, "monotonic", lambda: now)
    monkeypatch.setattr(process, "identity", identity)
    monkeypatch.setattr(process, "resident", lambda: 0)
    ours = process.Process("/program")
    done = []
    for tick in range(75):
        now = tick / 10
        done.append(ours.is_done())
    assert looks == [0, 1, 2, 3, 4, 5, 6]
    assert done == [False] * 60 + [True] * 15
