"""Which store the configuration names. What a local store does not need is not imported."""

from pfilter.base.errors import PfilterError
from pfilter.config.settings import Settings
from pfilter.store.local import LocalStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.store.interface import Store, StoreAdmin

FALLBACK_WORKSPACE = "/var/tmp"  # noqa: S108  # for files without a name


def open_store(settings: Settings) -> "Store":
    """Return the store of downloads. Raises nothing: what can't be used says so when it is."""
    if settings.store_url:
        from pfilter.store.bucket import ObjectStore

        return ObjectStore(settings, open_local(settings))
    return open_local(settings)


def open_local(settings: Settings) -> LocalStore:
    """Return the folder on this machine: all of the store, or what of it is private to this gateway."""
    return LocalStore(settings.store_path, settings.store_base_url, settings.store_secret_file, settings.store_quota)


def workspace(settings: Settings) -> str:
    """Return where a message's temporary files go: beside the blobs, or where mail that needs no store finds room."""
    store = open_local(settings)
    try:
        if store.has_room(0, settings.store_min_free):
            return store.workspace()
    except (PfilterError, OSError):
        pass  # what has to be stored will say so itself
    return FALLBACK_WORKSPACE


def open_admin(settings: Settings) -> "StoreAdmin":
    """Return what looks after the downloads."""
    if settings.store_url:
        from pfilter.store.bucket import ObjectStore
        from pfilter.store.bucket_admin import BucketAdmin

        return BucketAdmin(ObjectStore(settings, open_local(settings)))
    from pfilter.store.local_admin import LocalAdmin

    return LocalAdmin(open_local(settings))
