"""What the commands share: the configuration's option, and reading it as its owner."""

from typing import Annotated

import typer

from pfilter import config
from pfilter.owner import become_owner
from pfilter.policy import DEFAULT_PATH, Policy

ConfigOption = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="PFILTER_CONFIG",
        help=f"Configuration file.  [default: {DEFAULT_PATH}]",
        show_envvar=True,
    ),
]


def configured(file: str) -> Policy:
    """Read the configuration and become the owner of its store. Raises ConfigError."""
    policy = config.load(file or DEFAULT_PATH)
    become_owner(policy.store_path)
    return policy
