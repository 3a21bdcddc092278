"""The ways back to Postfix: those that there are can be chosen, and no others."""

import pytest

from pfilter.base.errors import ConfigError
from pfilter.delivery import reinject
from tests.lib import support


@pytest.mark.parametrize("method", sorted(reinject.METHODS))
def test_every_way_can_be_configured(method: str) -> None:
    """[reinject] method takes the name of each."""
    assert support.policy(reinject={"method": method}).reinject_method == method


def test_only_ways_that_exist_can_be_configured() -> None:
    """What [reinject] method allows is what there is."""
    with pytest.raises(ConfigError) as caught:
        support.policy(reinject={"method": "pigeon"})
    allowed = " or ".join(f'"{method}"' for method in reinject.METHODS)
    assert str(caught.value).endswith(f"must be {allowed}")
