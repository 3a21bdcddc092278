"""One file as a zip (PKWARE APPNOTE 6.3), streaming.

The same file gives the same octets: the timestamp is fixed. Written by hand since importing zipfile costs as much as
starting Python, and one deflated member needs three records. Members of 4 GiB and more would need zip64: refused.
"""

import os
import zlib
from struct import pack

from pfilter.spool import Spool, temporary, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.spool import Workspace

UTF8_NAMES = 0x0800  # general purpose bit 11
DEFLATED = 8
DOS_DATE = 0x0021  # 1980-01-01
VERSION = 20
MADE_BY = 3 << 8 | VERSION  # Unix: names of a member made by DOS are read as CP437 by unzip(1), whatever bit 11 says
ATTRIBUTES = 0o100644 << 16  # of a regular file; without them unzip(1) would make it unreadable
MEMBER_LIMIT = 0xFFFFFFFF
SAMPLE = 16 << 10  # octets of each of the three samples


def zipped(source: Spool, name: str, limit: int, workspace: "Workspace") -> Spool | None:
    """Return a zip of the whole source, or None where it would be over `limit` octets. Raises OSError."""
    coded = name.encode("utf-8")
    overhead = 30 + 46 + 22 + 2 * len(coded)
    if source.size >= MEMBER_LIMIT:
        return None
    fd = temporary(workspace, min(source.size, limit))
    try:
        os.lseek(fd, 30 + len(coded), os.SEEK_SET)
        compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum = 0
        size = 0
        for chunk in source.windows(0, source.size):
            checksum = zlib.crc32(chunk, checksum)
            data = compressor.compress(chunk)
            size += len(data)
            if size + overhead > limit:
                os.close(fd)
                return None
            write_all(fd, data)
        data = compressor.flush()
        size += len(data)
        if size + overhead > limit:
            os.close(fd)
            return None
        write_all(fd, data)
        common = pack(
            "<HHHHHIIIHH", VERSION, UTF8_NAMES, DEFLATED, 0, DOS_DATE, checksum, size, source.size, len(coded), 0
        )
        directory_start = 30 + len(coded) + size
        central = pack("<4sH", b"PK\1\2", MADE_BY) + common + pack("<HHHII", 0, 0, 0, ATTRIBUTES, 0) + coded
        end = pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), directory_start, 0)
        write_all(fd, central + end)
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, b"PK\3\4" + common + coded)
    except BaseException:
        os.close(fd)
        raise
    return Spool(fd, directory_start + len(central) + len(end))


def promises_gain(source: Spool, min_gain: float) -> bool:
    """Whether samples from start, middle and end deflate by at least min_gain (0.1 is 10 %). Raises OSError."""
    if source.size <= 4 * SAMPLE:
        return True  # as cheap to try
    starts = (0, source.size // 2, source.size - SAMPLE)
    sample = b"".join(source.read(start, start + SAMPLE) for start in starts)
    return len(zlib.compress(sample, 1)) <= len(sample) * (1 - min_gain)
