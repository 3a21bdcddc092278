"""The messages that go through: LF line ends, put together from the pieces of tests.lib.support."""

from tests.lib.support import attachment, encoded, message, multipart, noise, part

FILM = noise(900_000)  # over part_limit, and no zip makes it smaller
TABLE = b"".join(b"2026-11-%02d;bridge;segment %05d;%d,50\r\n" % (1 + n % 28, n, n * 7 % 1000) for n in range(2000))
TEXT = "Dear both,\n\nthe film is attached.\n"
HTML = "<html><body><p>Dear both,</p>\n<p>the film is <b>attached</b>.</p></body></html>\n"


def film(name: str = "film.mp4") -> bytes:
    """Return an attachment that becomes a link."""
    return attachment(FILM, name, "video/mp4")


def table(name: str = "list.csv") -> bytes:
    """Return an attachment that becomes a zip."""
    return attachment(TABLE, name, "text/csv")


def plain(text: str = TEXT, charset: str = "us-ascii", encoding: str = "") -> bytes:
    """Return a text/plain part."""
    return part(text.encode(charset), f"text/plain; charset={charset}", encoding=encoding)


def html(text: str = HTML) -> bytes:
    """Return a text/html part."""
    return part(text.encode("ascii"), "text/html; charset=us-ascii")


def both(text: str = TEXT) -> bytes:
    """Return a text in both forms."""
    return multipart("alternative", plain(text), html(), boundary="forms")


def letter(*attachments: bytes, body: bytes = b"", fields: str = "") -> bytes:
    """Return a message with a body, by default in both forms, and attachments."""
    return message(multipart("mixed", body or both(), *attachments, boundary="outer"), fields)


# --- What must pass as it came

INVITATION = part(
    b"BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n" * 500,
    "text/calendar; charset=utf-8; method=REQUEST",
)
CALENDAR_FILE = part(
    encoded(b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n" * 30_000),
    'text/calendar; charset=utf-8; name="invite.ics"',
    encoding="base64",
    disposition='attachment; filename="invite.ics"',
)
SIGNATURE = part(b"-----BEGIN PGP SIGNATURE-----\n\nwsB5\n-----END PGP SIGNATURE-----", "application/pgp-signature")


def image(data: bytes, cid: str = "logo@example.org") -> bytes:
    """Return an image with a name, to be shown by the HTML."""
    return part(
        encoded(data), 'image/bmp; name="logo.bmp"', encoding="base64",
        disposition='inline; filename="logo.bmp"', fields=f"Content-ID: <{cid}>\n",
    )  # fmt: skip


SHOWING = '<html><body><p>See <img src="cid:logo@example.org"></p></body></html>\n'


def dkim(domain: str) -> str:
    """Return a DKIM-Signature of a domain."""
    return (
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s=mail;\n"
        "\th=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\tb=c2lnbmF0dXJl\n"
    )


UNTOUCHED = {
    "text only": (message(plain()), "no attachments"),
    "HTML only": (message(html()), "no attachments"),
    "long text without a name": (message(plain("A line of this long story.\n" * 40_000)), "no attachments"),
    "no body at all": (message(b"Content-Type: text/plain\n\n"), "no attachments"),
    "small attachments": (letter(attachment(noise(3000), "a.bin"), attachment(b"b" * 900, "b.txt")), "nothing to gain"),
    "S/MIME signed": (
        message(
            multipart(
                'signed; protocol="application/pkcs7-signature"; micalg=sha-256',
                multipart("mixed", both(), film(), boundary="inner"),
                attachment(noise(3000), "smime.p7s", "application/pkcs7-signature"),
                boundary="sig",
            )
        ),
        "signed or encrypted (multipart/signed)",
    ),
    "S/MIME opaque": (
        message(attachment(b"MIAG" * 300_000, "smime.p7m", "application/pkcs7-mime; smime-type=signed-data")),
        "signed or encrypted (application/pkcs7-mime)",
    ),
    "S/MIME encrypted": (
        message(attachment(noise(900_000), "smime.p7m", "application/pkcs7-mime; smime-type=enveloped-data")),
        "signed or encrypted (application/pkcs7-mime)",
    ),
    "PGP/MIME signed": (
        message(
            multipart(
                'signed; protocol="application/pgp-signature"; micalg=pgp-sha512',
                multipart("mixed", plain(), film(), table(), boundary="inner"),
                SIGNATURE,
                boundary="sig",
            )
        ),
        "signed or encrypted (multipart/signed)",
    ),
    "PGP/MIME encrypted": (
        message(
            multipart(
                'encrypted; protocol="application/pgp-encrypted"',
                part(b"Version: 1", "application/pgp-encrypted"),
                part(
                    b"-----BEGIN PGP MESSAGE-----\n\n" + encoded(noise(900_000)) + b"\n-----END PGP MESSAGE-----",
                    'application/octet-stream; name="encrypted.asc"',
                    disposition='inline; filename="encrypted.asc"',
                ),
            )
        ),
        "",  # nothing in it is an attachment, whoever notices first
    ),
    "PGP inline": (
        letter(film(), body=plain("-----BEGIN PGP SIGNED MESSAGE-----\n\nHello\n-----BEGIN PGP SIGNATURE-----\n")),
        "inline PGP",
    ),
    "signed deep inside": (
        letter(
            film(),
            multipart('signed; protocol="application/pgp-signature"', plain(), SIGNATURE, boundary="sig"),
        ),
        "signed or encrypted (multipart/signed)",
    ),
    "DKIM of another domain": (letter(film(), fields=dkim("bulk.example.com")), "dkim-signature of bulk.example.com"),
    "invitation": (
        message(
            multipart(
                "mixed",
                multipart("alternative", plain(), html(), INVITATION, boundary="forms"),
                CALENDAR_FILE,
                boundary="outer",
            )
        ),
        "no attachments",
    ),
    "inline image in related": (
        message(multipart("related", html(SHOWING), image(b"BM" + FILM), boundary="outer")),
        "no attachments",
    ),
    "inline image in mixed": (
        message(multipart("mixed", html(SHOWING), image(b"BM" + FILM), boundary="outer")),
        "no attachments",
    ),
    "small forwarded message": (
        letter(part(message(plain("forwarded\n" * 4000)), 'message/rfc822; name="old.eml"')),
        "nothing to gain",
    ),
    "robots' file": (letter(attachment(b"<invoice/>\n" * 5000, "invoice.xml", "text/xml")), "nothing to gain"),
    "two Content-Types": (
        letter(film()).replace(b"MIME-Version: 1.0\n", b"MIME-Version: 1.0\nContent-Type: text/plain\n"),
        "ambiguous",
    ),
    "boundary that is never closed twice over": (
        message(b'Content-Type: multipart/mixed; boundary="b"; boundary="c"\n\n--b\n' + film() + b"\n--b--\n"),
        "ambiguous",
    ),
    "base64 that does not decode": (
        letter(
            part(
                encoded(FILM)[:-9] + b"!!!",
                "application/octet-stream",
                encoding="base64",
                disposition='attachment; filename="broken.bin"',
            )
        ),
        "no attachments",
    ),
}
