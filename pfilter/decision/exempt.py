"""The reasons of an envelope to leave a message alone, whatever is in it. Pure."""

from pfilter.config.settings import Settings
from pfilter.message.addresses import domain_of, in_networks, matches, matches_domain
from pfilter.message.model import Envelope

FOREIGN_SENDER = "foreign sender"
SENDER = "exempt sender"
SASL_USER = "exempt SASL user"
NETWORK = "exempt network"
RECIPIENTS = "exempt recipients"
REASONS = (FOREIGN_SENDER, SENDER, SASL_USER, NETWORK, RECIPIENTS)  # in the order in which they are looked for


def why_untouched(envelope: Envelope, settings: Settings) -> str:
    """Return which of REASONS mail of this envelope passes for, or ""."""
    sender = envelope.sender
    if sender and not envelope.sasl_user and not matches_domain(domain_of(sender), settings.own_domains):
        return FOREIGN_SENDER
    if sender and matches(sender, settings.exempt_senders):
        return SENDER
    if envelope.sasl_user and envelope.sasl_user.lower() in (user.lower() for user in settings.exempt_sasl_users):
        return SASL_USER
    if in_networks(envelope.client, settings.exempt_networks):
        return NETWORK
    if envelope.recipients and len(recipients(envelope, settings)) == len(envelope.recipients):
        return RECIPIENTS
    return ""


def recipients(envelope: Envelope, settings: Settings) -> tuple[int, ...]:
    """Return which of the recipients are exempt: their indices."""
    if not settings.exempt_recipients:
        return ()
    return tuple(
        place for place, address in enumerate(envelope.recipients) if matches(address, settings.exempt_recipients)
    )
