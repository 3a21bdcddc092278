"""What is known about types of files, in one table: endings, media types, what people call them.

A row is: the endings that mean it; its media types; its kind; what else holds for it. A file without an ending gets the
first one. "compressed" says that a zip saves nothing: samples would find out, but only after decoding. "served" says
that a web server may call it by its first media type, for phones that open by type; all else is served as just bytes.
What a browser could take for a page (html, svg, xml, js, txt ...) must not be served by its type.
"""

import os.path

OPEN_DOCUMENT = "application/vnd.oasis.opendocument"
OPEN_XML = "application/vnd.openxmlformats-officedocument"
OTHER = "other"  # the kind of all that has no row
TABLE = (
    ("pdf", "application/pdf application/x-pdf", "document", "served"),
    ("doc", "application/msword", "document", ""),
    ("docx", f"{OPEN_XML}.wordprocessingml.document", "document", "compressed served"),
    ("odt", f"{OPEN_DOCUMENT}.text", "document", "compressed served"),
    ("rtf", "application/rtf text/rtf", "document", ""),
    ("txt", "text/plain", "document", ""),
    ("epub", "application/epub+zip", "document", "compressed"),
    ("ps", "application/postscript", "document", ""),
    ("docm dot dotx ott md tex pages xps", "", "document", ""),
    ("xls", "application/vnd.ms-excel", "table", ""),
    ("xlsx", f"{OPEN_XML}.spreadsheetml.sheet", "table", "compressed served"),
    ("ods", f"{OPEN_DOCUMENT}.spreadsheet", "table", "compressed served"),
    ("csv", "text/csv", "table", ""),
    ("xlsm xlsb xlt xltx ots tsv numbers", "", "table", ""),
    ("ppt", "application/vnd.ms-powerpoint", "slides", ""),
    ("pptx", f"{OPEN_XML}.presentationml.presentation", "slides", "compressed served"),
    ("odp", f"{OPEN_DOCUMENT}.presentation", "slides", "compressed served"),
    ("pptm pps ppsx pot potx otp key", "", "slides", ""),
    ("jpg jpeg jpe", "image/jpeg image/jpg", "image", "compressed served"),
    ("png", "image/png", "image", "compressed served"),
    ("gif", "image/gif", "image", "compressed served"),
    ("bmp", "image/bmp", "image", ""),
    ("tif tiff", "image/tiff", "image", ""),
    ("webp", "image/webp", "image", "compressed"),
    ("heic heif", "image/heic", "image", "compressed"),
    ("svg", "image/svg+xml", "image", ""),
    ("avif psd ai eps raw cr2 nef dng ico xcf indd", "", "image", ""),
    ("mp4 m4v", "video/mp4", "film", "compressed served"),
    ("mov", "video/quicktime", "film", "compressed served"),
    ("webm", "video/webm", "film", "compressed"),
    ("mpg mpeg", "video/mpeg", "film", "compressed"),
    ("avi mkv wmv flv 3gp ogv mts m2ts", "", "film", ""),
    ("mp3", "audio/mpeg", "sound", "compressed served"),
    ("m4a", "audio/mp4", "sound", "compressed"),
    ("ogg oga", "audio/ogg", "sound", "compressed"),
    ("aac", "audio/aac", "sound", "compressed"),
    ("wav", "audio/wav audio/x-wav", "sound", ""),
    ("flac opus wma aif aiff mid midi amr", "", "sound", ""),
    ("zip", "application/zip application/x-zip-compressed", "archive", "compressed served"),
    ("7z", "application/x-7z-compressed", "archive", "compressed"),
    ("gz tgz", "application/gzip", "archive", "compressed"),
    ("tar", "application/x-tar", "archive", ""),
    ("rar bz2 tbz xz txz zst lz cab iso dmg arj jar", "", "archive", ""),
    ("eml", "message/rfc822", "mail", ""),
    ("u8msg", "message/global", "mail", ""),  # RFC 6532, 3.7
    ("msg", "application/vnd.ms-outlook", "mail", ""),
    ("vcf", "text/vcard text/x-vcard", "mail", ""),
    ("mbox pst ics", "", "mail", ""),
    ("edi", "application/edi-x12 application/edifact", OTHER, ""),
    ("json", "application/json", OTHER, ""),
    ("xml", "application/xml text/xml", OTHER, ""),
    ("html", "text/html", OTHER, ""),
)
# Of these all are, whatever they are called: audio/mp3, audio/aacp, video/x-msvideo.
COMPRESSED_FAMILIES = ("video/", "audio/mp", "audio/aac", "audio/ogg")

KINDS = {suffix: kind for suffixes, _types, kind, _holds in TABLE for suffix in suffixes.split()}
ENDINGS = {name: f".{suffixes.split()[0]}" for suffixes, types, _kind, _holds in TABLE for name in types.split()}
COMPRESSED = {name for _suffixes, types, _kind, holds in TABLE if "compressed" in holds for name in types.split()}
SERVED = {
    suffix: types.split()[0] for suffixes, types, _, holds in TABLE if "served" in holds for suffix in suffixes.split()
}


def kind(name: str) -> str:
    """Return what people call files of such a name, for an icon: document, table, slides, image ..., or "other"."""
    return KINDS.get(name.rpartition(".")[2].lower(), OTHER)


def served(name: str) -> str:
    """Return the media type that a file of such a name may be served as, "" where it is just bytes."""
    return SERVED.get(os.path.splitext(name)[1][1:].lower(), "")


def ending(media_type: bytes) -> str:
    """Return the ending, with its dot, for a media type (lower case) of what is opened by its ending, else ""."""
    return ENDINGS.get(media_type.decode("ascii", "replace"), "")


def is_compressed(media_type: bytes) -> bool:
    """Whether what has this media type (lower case) is compressed already."""
    found = media_type.decode("ascii", "replace")
    return found in COMPRESSED or found.startswith(COMPRESSED_FAMILIES)
