"""Who works on the store: its owner. A single file of root's in it would defer all mail."""

import os


def become_owner(store: str) -> None:
    """As root, become the owner of the store for good, if it has one who is not root. Raises OSError."""
    if os.geteuid() != 0:
        return
    try:
        found = os.stat(store)
    except FileNotFoundError:
        return  # whoever needs it will say so
    if found.st_uid != 0:
        os.setgroups([])
        os.setgid(found.st_gid)
        os.setuid(found.st_uid)
