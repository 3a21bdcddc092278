"""One file as a zip (PKWARE APPNOTE 6.3), streaming.

The same file gives the same octets: the timestamp is fixed. Written by hand since importing zipfile costs as much as
starting Python, and one deflated member needs three records. Members of 4 GiB and more would need zip64: refused.
"""

import zlib
from struct import pack

from pfilter.base.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.base.scratch_file import ScratchFile

ENDING = ".zip"
MEDIA_TYPE = b"application/zip"

UTF8_NAMES = 0x0800  # general purpose bit 11
DEFLATED = 8
DOS_DATE = 0x0021  # 1980-01-01
VERSION = 20
MADE_BY = 3 << 8 | VERSION  # Unix: names of a member made by DOS are read as CP437 by unzip(1), whatever bit 11 says
ATTRIBUTES = 0o100644 << 16  # of a regular file; without them unzip(1) would make it unreadable
MEMBER_LIMIT = 0xFFFFFFFF
SAMPLE = 16 << 10  # octets of each of the three samples


def zipped(source: Spool, name: str, limit: int, scratch_file: "ScratchFile") -> Spool | None:
    """Return a zip of the whole source, or None where it would be over `limit` octets. Raises OSError."""
    coded = name.encode("utf-8")
    local_size = 30 + len(coded)
    room = limit - local_size - 46 - len(coded) - 22
    if source.size >= MEMBER_LIMIT:
        return None
    start = scratch_file.end
    scratch_file.write(bytes(local_size))  # the checksum, which comes first, is known last
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = 0
    for chunk in source.windows(0, source.size):
        checksum = zlib.crc32(chunk, checksum)
        scratch_file.write(compressor.compress(chunk))
        if scratch_file.end - start - local_size > room:
            scratch_file.roll_back(start)
            return None
    scratch_file.write(compressor.flush())
    size = scratch_file.end - start - local_size
    if size > room:
        scratch_file.roll_back(start)
        return None
    common = pack("<HHHHHIIIHH", VERSION, UTF8_NAMES, DEFLATED, 0, DOS_DATE, checksum, size, source.size, len(coded), 0)
    central = pack("<4sH", b"PK\1\2", MADE_BY) + common + pack("<HHHII", 0, 0, 0, ATTRIBUTES, 0) + coded
    end = pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), local_size + size, 0)
    scratch_file.write(central + end)
    scratch_file.patch(start, b"PK\3\4" + common + coded)
    return scratch_file.since(start)


def promises_gain(source: Spool, min_gain: float) -> bool:
    """Whether samples from start, middle and end deflate by at least min_gain (0.1 is 10 %). Raises OSError."""
    if source.size <= 4 * SAMPLE:
        return True  # as cheap to try
    starts = (0, source.size // 2, source.size - SAMPLE)
    sample = b"".join(source.read(start, start + SAMPLE) for start in starts)
    return len(zlib.compress(sample, 1)) <= len(sample) * (1 - min_gain)
