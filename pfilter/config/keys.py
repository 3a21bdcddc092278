"""The keys of the configuration: every default and limit stands here, once, with its sentence.

A key `[link] part_limit` is the attribute `link_part_limit`; keys of `[policy]` have no prefix.
"""

from pfilter.base import catalogue
from pfilter.base.frozen import Frozen
from pfilter.config.readers import (
    address_patterns,
    base_url,
    bucket_url,
    count,
    domains,
    duration,
    endpoint,
    flag,
    host_and_port,
    language_name,
    languages,
    listener,
    log_target,
    machines,
    names_anywhere,
    networks,
    number,
    one_of,
    optional_address,
    optional_path,
    path,
    server,
    share,
    size,
    strings,
    text,
    timezone,
    word,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

REQUIRED = object()


class Key(Frozen):
    """One key of the file: how its value is read, its default as written there, and what it is for."""

    section: str
    name: str
    read: "Callable[[Any], Any]"
    default: "Any"
    sentence: str

    @property
    def attribute(self) -> str:
        """The name of its attribute of Settings."""
        return self.name if self.section == "policy" else f"{self.section}_{self.name}"


KEYS = (
    Key("policy", "own_domains", domains, REQUIRED, "Domains whose senders' mail is filtered; all other mail passes."),
    Key("policy", "exempt_senders", address_patterns, [], "Senders whose mail passes untouched."),
    Key("policy", "exempt_recipients", address_patterns, [], "Mail passes untouched if all recipients match."),
    Key("policy", "exempt_sasl_users", strings, [], "Login names whose mail passes untouched."),
    Key("policy", "exempt_networks", networks, [], "Client networks whose mail passes untouched."),
    Key("policy", "null_sender", one_of("strip", "pass"), "strip", "What happens to attachments of the null sender."),
    Key("policy", "ambiguous", one_of("pass", "defer", "quarantine"), "pass", "Mail that programs disagree about."),
    Key("policy", "mode", one_of("filter", "observe"), "filter", "With observe, all is decided and logged, not done."),
    Key("policy", "deadline", duration, "300s", "Time for one message; then Postfix keeps it and tries again."),
    Key("policy", "trace_header", one_of("off", "name", "version"), "off", "X-Content-Filter on changed messages."),
    Key("reinject", "method", one_of("sendmail", "smtp"), "sendmail", "How results go back to Postfix."),
    Key("reinject", "sendmail", path, "/usr/sbin/sendmail", "Postfix's sendmail command."),
    Key("reinject", "smtp", host_and_port, "127.0.0.1:10026", "The smtpd that takes results."),
    Key("reinject", "timeout", duration, "60s", "Time limit of one reinjection, until Postfix has got the message."),
    Key("reinject", "data_done_timeout", duration, "600s", "Time limit for Postfix's answer after that."),
    Key("reinject", "max_size", size, 0, "Largest result; 0 asks Postfix for message_size_limit."),
    Key("compress", "enabled", flag, True, "Whether attachments are zipped."),
    Key("compress", "min_size", size, "16 KiB", "Smaller attachments are not zipped."),
    Key("compress", "min_gain", share, "10%", "What a zip must save."),
    Key(
        "compress", "skip", strings,
        ["*.xml", "*.edi", "*.ics", "*.vcf", "*.eml", "*.asc", "*.p7?", "*/xml", "application/*+xml",
         "application/edi*", "text/*vcard", "text/directory", "message/*", "application/*pkcs7*"],
        "Names and media types never zipped: robots read them, or they would stop working.",
    ),
    Key("link", "enabled", flag, True, "Whether attachments that are too big become links."),
    Key("link", "part_limit", size, "800 KiB", "A larger attachment, after zipping, becomes a link."),
    Key("link", "bandwidth_limit", size, "1300 KiB", "Largest message size times number of recipients."),
    Key("link", "min_size", size, "20 KiB", "Smaller attachments do not become links because of bandwidth_limit."),
    Key("store", "path", path, "/var/lib/pfilter", "Where downloads, records and kept originals live."),
    Key("store", "base_url", base_url, "", "Public address of the folder downloads; needed for links."),
    Key("store", "keep", duration, "7d", "How long a link works, as readers are told."),
    Key("store", "grace", duration, "7d", "How much longer it really works: mail may wait in queues."),
    Key("store", "tombstone", duration, "90d", "How long a page says that a download has ended; 0: none does."),
    Key("store", "min_free", size, "1 GiB", "Free space that must be left after storing, and some inodes."),
    Key("store", "quota", size, 0, "Octets that all stored files together may take; 0: no limit."),
    Key("store", "on_full", one_of("pass", "defer"), "pass", "What happens to mail that finds no room in the store."),
    Key("store", "secret_file", optional_path, "", "The key that links are made with; by default secret in the store."),
    Key("store", "url", bucket_url, "", "Object store for downloads, instead of the folder."),
    Key("store", "endpoint", endpoint, "", "Address of the object store; by default Amazon's for the region."),
    Key("store", "region", word, "us-east-1", "Region of the object store."),
    Key("store", "credentials", optional_path, "", "File with its keys; by default they are in the environment."),
    Key("store", "links", one_of("presigned", "public"), "presigned", "Where links to the object store lead."),
    Key("store", "timeout", duration, "60s", "Time limit of one request to the object store."),
    Key("notice", "place", one_of("auto", "top", "end"), "auto", "Where in a text the notice stands."),
    Key("notice", "templates", optional_path, "", "Folder with templates that replace the built-in ones."),
    Key("notice", "language", language_name, catalogue.SOURCE, "Language of notices, pages and mail to senders."),
    Key("notice", "languages", languages, {}, "Other languages, by the sender's domain."),
    Key("notice", "locale", optional_path, "", "Folder with message catalogues that add languages."),
    Key("notice", "timezone", timezone, "", "Time zone of promised dates; by default the gateway's."),
    Key("notice", "organisation", text, "", "Whose mail server this is, as readers know it."),
    Key("notice", "logo", optional_path, "", "SVG or PNG of at most 20 kB that pages show."),
    Key("notice", "contact", text, "", "Whom readers may ask: an address, a page, a telephone number."),
    Key("notice", "show_subject", flag, False, "Whether the page of a message shows its subject."),
    Key("notify", "sender", flag, True, "Whether senders are told about links."),
    Key("notify", "per_hour", number, 5, "Mails to one sender in an hour; the rest is reported in one. 0: no limit."),
    Key("notify", "never", names_anywhere, [], "Senders who are not told; robots never are."),
    Key("notify", "admin", optional_address, "", "Who is told about quarantined mail."),
    Key("notify", "admin_interval", duration, "1h", "At most one mail to the administrator in this time."),
    Key("notify", "from", text, "", "From address of that mail; by default postmaster@ the sender's domain."),
    Key("clamav", "socket", server, "", "Where clamd listens; without it nothing is scanned."),
    Key("clamav", "timeout", duration, "120s", "Time limit of all questions to clamd about one message."),
    Key("clamav", "on_error", one_of("defer", "pass"), "defer", "What happens when clamd can't be asked."),
    Key(
        "clamav", "on_unscanned", one_of("pass-unlinked", "pass", "quarantine"), "pass-unlinked",
        "What happens to mail over clamd's limits.",
    ),
    Key("clamav", "on_infected", one_of("quarantine", "reject"), "quarantine", "What happens to mail with a virus."),
    Key("quarantine", "keep", duration, "30d", "How long messages in quarantine and trouble folder are kept."),
    Key("serve", "listen", listener, "127.0.0.1:8025", "Where pfilter serve listens."),
    Key("serve", "certificate", optional_path, "", "Certificate, with its chain; without one serve speaks plain HTTP."),
    Key("serve", "key", optional_path, "", "Its private key, if that is not in the same file."),
    Key("serve", "proxies", machines, ["127.0.0.1"], "Proxies that are trusted in what they say of their clients."),
    Key("serve", "archive", flag, False, "Whether the page offers all files as one ZIP; only serve can make it."),
    Key("log", "to", log_target, "syslog", "Where events go."),
    Key("log", "level", one_of("debug", "info", "warning", "error"), "info", "Events below this level are dropped."),
    Key("log", "format", one_of("json", "logfmt"), "json", "How events are written."),
    Key("limits", "parts", count, 10_000, "A message with more parts passes untouched."),
    Key("limits", "nesting", count, 100, "A message nested deeper passes untouched."),
    Key("limits", "header", size, "4 MiB", "A message with a larger header block passes untouched."),
    Key("limits", "boundary", size, 2048, "A message with a longer boundary passes untouched."),
)  # fmt: skip
