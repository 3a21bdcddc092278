"""A message that was taken by a sendmail or a server."""

from typing import NamedTuple


class Delivery(NamedTuple):
    """Envelope and octets, LF line ends."""

    sender: str
    readers: tuple[str, ...]
    octets: bytes
    at: int = 0  # time.time_ns(), where it was noted
