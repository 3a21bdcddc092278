"""How much of a message is looked into."""

from pfilter.base.frozen import Frozen


class Limits(Frozen):
    """Beyond these a message is left alone. Defaults are no tighter than Postfix's own."""

    parts: int = 10_000
    nesting: int = 100  # mime_nesting_limit
    header: int = 4 << 20  # octets of one header block; Postfix: header_size_limit 102400 for one field
    boundary: int = 2048  # mime_boundary_length_limit
