"""Limits of this process on itself: what a hostile message can exhaust is one process, not the gateway (setrlimit(2)).

Not the number of processes, which Linux counts for all of the user's, nor file sizes, which would hit the log.
Children inherit them; sendmail(1) needs far less.
"""

import resource

ADDRESS_SPACE = 1 << 30  # octets; the largest message takes a tenth of it
LIMITS = (
    (resource.RLIMIT_AS, ADDRESS_SPACE),
    (resource.RLIMIT_CORE, 0),  # a core file would be somebody's mail
)


def confine(cpu_seconds: int) -> None:
    """Lower the limits of address space, CPU time and core files; never raise one. Past them the message waits."""
    for which, wanted in (*LIMITS, (resource.RLIMIT_CPU, cpu_seconds)):
        soft, hard = resource.getrlimit(which)
        if soft == resource.RLIM_INFINITY or wanted < soft:
            resource.setrlimit(which, (wanted, hard))


def allow_processor(seconds: int, most: int) -> None:
    """Let this process use so much more CPU time, `most` (as getrlimit(2) gives it) of it altogether.

    For a process that handles many messages: what one used up is not the next one's.
    """
    spent = resource.getrusage(resource.RUSAGE_SELF)
    wanted = int(spent.ru_utime + spent.ru_stime) + 1 + seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limits = [limit for limit in (wanted, most, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_CPU, (min(limits), hard))


def processor_limit() -> int:
    """Return how much CPU time this process may use altogether, as getrlimit(2) gives it."""
    return resource.getrlimit(resource.RLIMIT_CPU)[0]
