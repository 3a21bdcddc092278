"""pfilter: a Postfix content filter for outgoing mail that is too big."""

__version__ = "0.1.0"
