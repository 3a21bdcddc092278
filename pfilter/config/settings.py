"""The configuration as the stages use it: one flat frozen value, cheap to import. `config` reads it from a file."""

from pfilter.base.frozen import Frozen
from pfilter.base.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    # As `keys` allows them; a test holds the two against each other.
    NullSender = Literal["strip", "pass"]
    Ambiguous = Literal["pass", "defer", "quarantine"]
    Mode = Literal["filter", "observe"]
    TraceHeader = Literal["off", "name", "version"]
    Method = Literal["sendmail", "smtp"]
    OnFull = Literal["pass", "defer"]
    Links = Literal["presigned", "public"]
    Place = Literal["auto", "top", "end"]
    OnError = Literal["defer", "pass"]
    OnUnscanned = Literal["pass-unlinked", "pass", "quarantine"]
    OnInfected = Literal["quarantine", "reject"]
    LogFormat = Literal["json", "logfmt"]

DEFAULT_PATH = "/etc/pfilter/pfilter.toml"
HELD_BACK = "notices"  # in the store, see delivery.heldback; here, since each message looks whether it is there
PRESIGNED_LIMIT = 7 * 86400  # seconds; no object store signs links for longer


class Settings(Frozen):
    """The configuration as the stages use it. Sizes in octets, times in seconds, shares between 0 and 1."""

    own_domains: tuple[str, ...]
    exempt_senders: tuple[str, ...]
    exempt_recipients: tuple[str, ...]
    exempt_sasl_users: tuple[str, ...]
    exempt_networks: tuple[str, ...]
    null_sender: "NullSender"
    ambiguous: "Ambiguous"
    mode: "Mode"
    deadline: int
    trace_header: "TraceHeader"
    reinject_method: "Method"
    reinject_sendmail: str
    reinject_smtp: str
    reinject_timeout: int  # until the message has been given over
    reinject_data_done_timeout: int  # and then for the answer; 0: within reinject_timeout
    reinject_max_size: int  # 0: ask Postfix
    compress_enabled: bool
    compress_min_size: int
    compress_min_gain: float
    compress_skip: tuple[str, ...]
    link_enabled: bool
    link_part_limit: int
    link_bandwidth_limit: int
    link_min_size: int
    store_path: str
    store_base_url: str  # without a slash at its end
    store_keep: int
    store_grace: int
    store_tombstone: int  # 0: none
    store_min_free: int
    store_quota: int  # 0: none
    store_on_full: "OnFull"
    store_secret_file: str  # "": secret in store_path
    store_url: str  # s3://bucket/prefix, or ""
    store_endpoint: str
    store_region: str
    store_credentials: str
    store_links: "Links"
    store_timeout: int
    notice_place: "Place"
    notice_templates: str
    notice_language: str
    notice_languages: tuple[tuple[str, str], ...]  # (domain, language), the domain that says most first
    notice_locale: str
    notice_timezone: str  # of the tz database; "": this machine's
    notice_organisation: str
    notice_logo: str
    notice_contact: str
    notice_show_subject: bool
    notify_sender: bool
    notify_per_hour: int  # 0: no limit
    notify_never: tuple[str, ...]
    notify_admin: str
    notify_admin_interval: int
    notify_from: str
    clamav_socket: str  # host:port, a path, or ""
    clamav_timeout: int
    clamav_on_error: "OnError"
    clamav_on_unscanned: "OnUnscanned"
    clamav_on_infected: "OnInfected"
    quarantine_keep: int
    serve_listen: str  # host:port, or a path
    serve_certificate: str
    serve_key: str
    serve_proxies: tuple[str, ...]
    serve_archive: bool
    log_to: str
    log_level: str
    log_format: "LogFormat"
    limits: Limits

    @property
    def presigned(self) -> bool:
        """Whether links are signed by an object store, so that they end by themselves."""
        return bool(self.store_url) and self.store_links == "presigned"

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages that are named, the one for everybody first."""
        return tuple(dict.fromkeys((self.notice_language, *(name for _domain, name in self.notice_languages))))
