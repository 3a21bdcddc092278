"""What lies in a store, and what it is called: in a folder as in a bucket, wherever both have it. Names, and no I/O.

Paths and keys are relative to the store's folder, or to the prefix in its bucket. Which of them other users may open
is for `local` to say, and how a download is served for `http_headers`. Two files of the store are named where each
message looks for them, at no cost: `config.cache` in config.cache, `notices` in config.settings.
"""

DOWNLOADS = "downloads"
FILES = "files"  # in a download
PAGE = "index.html"  # in a download
ARCHIVE = "files.zip"  # in a download's address: all files, which `pfilter serve` can put together
EXPIRED = "expired.html"  # below downloads/: the answer about whatever is not there
RECORDS = "records"
BLOBS = "blobs"
LOCKS = "locks"
WORKSPACE = "tmp"  # temporary files, all of them
SECRET = "secret"  # noqa: S105  # the name of the file
USAGE = "usage"  # see `quota`

QUARANTINE = "quarantine"  # messages that were not delivered
TROUBLE = "trouble"  # messages that were delivered without their attachments
KEPT = (QUARANTINE, TROUBLE)

RECORD = ".json"
SET_ASIDE = ".json.bad"  # a record that can't be read

ID_LENGTH = 32  # characters of base32: 160 bits
ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz234567")
ID = "[a-z2-7]{32}"  # as web servers match it
SHORT = 8  # characters of an id that logs and tables show: not enough to open anything
SHORT_ID = "[a-z2-7]{8}"


def is_id(text: str) -> bool:
    """Whether this is an id of a download."""
    return len(text) == ID_LENGTH and ID_CHARACTERS.issuperset(text)


def short(download_id: str) -> str:
    """Return what may be shown of an id: whoever knows all of it can download."""
    return download_id[:SHORT]


def record_path(download_id: str) -> str:
    """Return where the record of a download is."""
    return f"{RECORDS}/{download_id}{RECORD}"


def set_aside_path(download_id: str) -> str:
    """Return where a record that can't be read is put."""
    return f"{RECORDS}/{download_id}{SET_ASIDE}"


def recorded_id(name: str) -> str:
    """Return the id that a file in records/ is the record of; "" where it is none."""
    download_id = name.removesuffix(RECORD)
    return download_id if name.endswith(RECORD) and is_id(download_id) else ""


def download_path(download_id: str) -> str:
    """Return where page and files of a download are."""
    return f"{DOWNLOADS}/{download_id}"


def page_path(download_id: str) -> str:
    """Return where the page of a download is."""
    return f"{DOWNLOADS}/{download_id}/{PAGE}"


def file_path(download_id: str, name: str) -> str:
    """Return where a stored file is."""
    return f"{DOWNLOADS}/{download_id}/{FILES}/{name}"


def blob_path(digest: str) -> str:
    """Return where the one copy of a content is."""
    return f"{BLOBS}/{digest[:2]}/{digest}"
