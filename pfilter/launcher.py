#!python
"""pfilter-pipe: what master.cf runs. Installed as a file of its own, on the standard library alone.

Whatever happens ends as one line on stdout and exit status 0 or 75: a broken package, a missing dependency, bad
arguments. (69 is for a message that policy refuses, or that has no recipient with an address.) Any other status would
bounce the message (Postfix, sys_exits.c), a traceback on stderr would be mailed to its sender, and more than 4096
octets of output would make Postfix close the pipe.
"""

import os

PARENT = os.getppid()  # before anything that takes time: a later one need not be pipe(8)

import gc  # noqa: E402
import sys  # noqa: E402

gc.disable()  # a short life; nothing in it makes cycles that grow with the message


def run() -> None:
    """Run the door for Postfix; never returns."""
    said, status = 1, 75
    delivered = [False]  # made now: there may be no memory for it when it counts
    try:
        said = os.dup(1)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        if sys.flags.no_site:  # -IS in the first line (pfilter-gateway(7)): 2 ms less, but the packages must be found
            # Not by the link: an upgrade renames that while modules are loaded, and the new version's are not ours.
            here = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
            version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
            sys.path.append(os.path.join(here, "lib", version, "site-packages"))
        from pfilter.pipe import main

        status, line = main([os.fsencode(argument) for argument in sys.argv[1:]], PARENT, delivered)
        _say(said, line)
    except BaseException as error:  # noqa: BLE001  # this is the last net
        if status == 75 and not delivered[0]:
            text = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")
            _say(said, f"4.3.0 pfilter: {text}")
    finally:
        os._exit(0 if delivered[0] else status)  # even where there is no memory left to say why


def _say(said: int, line: str) -> None:
    os.write(said, line.encode("utf-8", "replace")[:1000] + b"\n")


if __name__ == "__main__":
    run()
