#!python
"""pfilter-lmtp: what spawn(8) runs. Installed as a file of its own, on the standard library alone.

Whatever is broken, the package, a dependency, the arguments, the client is told 421 and tries again later. Descriptors
0, 1 and 2 are the same socket: they are moved away before anything can write to it that is no LMTP.
"""

import gc
import os
import sys

gc.disable()  # nothing of what is loaded goes away; the door collects behind each message


def run() -> None:
    """Run the door for lmtp(8); never returns."""
    said, status = 1, 75
    try:
        heard, said = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        if sys.flags.no_site:  # -IS in the first line (pfilter-gateway(7)): 2 ms less, but the packages must be found
            # Not by the link: an upgrade renames that while we live, and the new version's modules are not ours.
            here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
            version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
            sys.path.append(os.path.join(here, "lib", version, "site-packages"))
        from pfilter.lmtp.door import main

        status = main([os.fsencode(argument) for argument in sys.argv[1:]], heard, said, os.path.abspath(__file__))
    except BaseException as error:  # noqa: BLE001  # this is the last net
        text = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")
        os.write(said, f"421 4.3.0 pfilter: {text}".encode("utf-8", "replace")[:400] + b"\r\n")
    finally:
        os._exit(status)


if __name__ == "__main__":
    run()
