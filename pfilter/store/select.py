"""Which store the configuration names. What a local store does not need is not imported."""

from pfilter.config.settings import Policy
from pfilter.store.local import LocalStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.store.interface import Keeper, Store


def open_store(policy: Policy) -> "Store":
    """Return the store of downloads. Raises nothing: what can't be used says so when it is."""
    if policy.store_url:
        from pfilter.store.bucket import ObjectStore

        return ObjectStore(policy, open_local(policy))
    return open_local(policy)


def open_local(policy: Policy) -> LocalStore:
    """Return the folder on this machine: all of the store, or what of it is private to this gateway."""
    return LocalStore(policy.store_path, policy.store_base_url, policy.store_secret_file, policy.store_quota)


def open_keeper(policy: Policy) -> "Keeper":
    """Return what looks after the downloads."""
    if policy.store_url:
        from pfilter.store.bucket import ObjectStore
        from pfilter.store.bucket_admin import ObjectKeeper

        return ObjectKeeper(ObjectStore(policy, open_local(policy)))
    from pfilter.store.local_admin import LocalKeeper

    return LocalKeeper(open_local(policy))
