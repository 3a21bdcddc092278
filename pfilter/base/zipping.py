"""One file as a zip (PKWARE APPNOTE 6.3).

The same file gives the same octets: the timestamp is fixed, and how it is deflated depends on the file alone. Written
by hand since importing zipfile costs as much as starting Python, and one deflated member needs three records. Members
of 4 GiB and more would need zip64: refused.

What fits into a window is deflated at once, by libdeflate (package deflate), in a quarter to two thirds of zlib's time;
it knows no streams. All else is streamed through zlib, and so is everything where there is no such package.
"""

import zlib
from struct import pack

from pfilter.base.spool import WINDOW, Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pfilter.base.scratch_file import ScratchFile

    Deflate = Callable[[bytes, int], bytes | bytearray]

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

# libdeflate's levels differ from zlib's. Level 5 is within 2 % of zlib 6, but for what repeats itself a lot: of that it
# leaves a fifth more, where level 7 leaves less than zlib. (A csv of 300 kB: zlib 12.1 ms, level 5 3.3, level 7 8.8.)
QUICK, THOROUGH = 5, 7
REPETITIVE = 0.28  # share that samples leave at level 1


def zipped(source: Spool, name: str, limit: int, scratch_file: "ScratchFile", share: float = 0.0) -> Spool | None:
    """Return a zip of the whole source, or None where it would be over `limit` octets. Raises OSError.

    `share` is what `share_of_samples` said.
    """
    coded = name.encode("utf-8")
    local_size = 30 + len(coded)
    room = limit - local_size - 46 - len(coded) - 22
    if source.size >= MEMBER_LIMIT:
        return None
    start = scratch_file.end
    scratch_file.write(bytes(local_size))  # the checksum, which comes first, is known last
    checksum = 0
    deflate = _libdeflate() if source.size <= WINDOW else None
    if deflate:
        whole = source.read(0, source.size)
        checksum = zlib.crc32(whole)
        scratch_file.write(bytes(deflate(whole, THOROUGH if share < REPETITIVE else QUICK)))
    else:
        compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
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


def share_of_samples(source: Spool) -> float:
    """Return what deflating leaves of samples from start, middle and end: 0.9 is 90 %. Raises OSError.

    0 where it is as cheap to try.
    """
    if source.size <= 4 * SAMPLE:
        return 0.0
    starts = (0, source.size // 2, source.size - SAMPLE)
    sample = b"".join(source.read(start, start + SAMPLE) for start in starts)
    deflate: Deflate = _libdeflate() or zlib.compress
    return len(deflate(sample, 1)) / len(sample)


def _libdeflate() -> "Deflate | None":
    try:
        from deflate import deflate_compress
    except ImportError:
        return None
    return deflate_compress
