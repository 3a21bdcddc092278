"""Who works on the store: its owner. A single file of root's in it would defer all mail."""

import errno
import os
import stat

from pfilter.base.errors import StoreError

LINKS_LIMIT = 40  # as the kernel has it, see path_resolution(7)


def become_owner(store: str) -> None:
    """As root, become the owner of the store for good, if it has one who is not root.

    Nobody but root may have a say in where root goes: a symbolic link on the way counts only where root alone can have
    put it. Raises OSError, StoreError.
    """
    if os.geteuid() != 0:
        return
    try:
        found = look(store)
    except FileNotFoundError:
        return  # whoever needs it will say so
    if found.st_uid != 0:
        os.setgroups([])
        os.setgid(found.st_gid)
        os.setuid(found.st_uid)


def look(path: str) -> os.stat_result:
    """Return what stat(2) says of a store; root goes by no link of others. Raises OSError, StoreError."""
    return _walk(path) if os.geteuid() == 0 else os.stat(path)


def _walk(path: str) -> os.stat_result:
    from pfilter.base import users

    names = os.path.abspath(path).split("/")[::-1]
    others = -1  # some user on the way who is not root
    open_to_all = False  # whether a directory on the way is
    links = 0
    at = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        while names:
            name = names.pop()
            here = os.fstat(at)
            if here.st_uid:
                others = here.st_uid
            open_to_all = open_to_all or bool(here.st_mode & 0o002 and not here.st_mode & stat.S_ISVTX)
            fd = os.open(name or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            found = os.fstat(fd)
            if not stat.S_ISLNK(found.st_mode):
                os.close(at)
                at = fd
                continue
            os.close(fd)
            shared = here.st_mode & 0o022 and not here.st_mode & stat.S_ISVTX
            if here.st_uid or found.st_uid or shared:
                whose = "others" if shared else users.name(here.st_uid or found.st_uid)
                raise StoreError(f"{path}: {name} is a symbolic link that {whose} can change: root does not follow it")
            links += 1
            if links > LINKS_LIMIT:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(name, dir_fd=at)
            if target.startswith("/"):
                os.close(at)
                at = os.open("/", os.O_PATH | os.O_CLOEXEC)
            names += target.split("/")[::-1]
        end = os.fstat(at)
    finally:
        os.close(at)
    if end.st_uid == 0 and open_to_all:
        raise StoreError(f"{path} belongs to root, but everybody can write to a directory above it, and replace it")
    if end.st_uid == 0 and others >= 0:
        raise StoreError(
            f"{path} belongs to root, but a directory above it to {users.name(others)}, who could replace it"
        )
    return end
