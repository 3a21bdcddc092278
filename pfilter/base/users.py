"""Users by their names: a number means nothing to whoever has to act on a message."""


def name(uid: int) -> str:
    """Return the name of a user, "uid N" where it has none."""
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def in_command(uid: int) -> str:
    """Return what chown(1) and setpriv(1) take for a user."""
    return name(uid).removeprefix("uid ")
