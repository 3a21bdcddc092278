"""What the load test says of processes that grow."""

from tests.tools.load import flat


def life(pid: int, memory: int = 0, fds: int = 0) -> "list[flat.Held]":
    """Return 100 samples of a process that grows by so much each time."""
    return [(float(at), pid, 10_000_000 + memory * at, 6 + fds * at // 50) for at in range(100)]


def test_growth_is_noticed() -> None:
    """Memory and descriptors may go up and down, but not up with time; and no process is larger than 40 MB."""
    assert flat.violations(life(1)) == []
    assert flat.violations([])
    assert len(flat.violations(life(1, memory=20_000))) == 1
    assert len(flat.violations(life(1, fds=1))) == 1
    assert any("60" in text for text in flat.violations([(0.0, 1, 60_000_000, 6)]))
    assert len(flat.table(life(1) + life(2)).splitlines()) == 1 + flat.TENTHS
    assert flat.plot(life(1)).count("<polyline") == 1
