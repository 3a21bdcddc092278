"""The configuration as the stages use it: one flat frozen value, cheap to import. `config` reads it from a file."""

from pfilter.frozen import Frozen

DEFAULT_PATH = "/etc/pfilter/pfilter.toml"


class Policy(Frozen):
    """The configuration as the stages use it. Sizes in octets, times in seconds, shares between 0 and 1."""

    own_domains: tuple[str, ...]
    exempt_senders: tuple[str, ...]
    exempt_recipients: tuple[str, ...]
    exempt_sasl_users: tuple[str, ...]
    exempt_networks: tuple[str, ...]
    null_sender: str
    mode: str
    deadline: int
    trace_header: str
    reinject_method: str
    reinject_sendmail: str
    reinject_smtp: str
    reinject_timeout: int
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
    store_min_free: int
    notice_templates: str
    notify_sender: bool
    notify_from: str
    log_to: str
    log_level: str
    log_format: str
    limits_parts: int
    limits_nesting: int
    limits_header: int
    limits_boundary: int
