"""A real campaign that takes seconds, for tests that interrupt it."""

from __future__ import annotations

import pytest
from small_campaign import finish, prepare, start


class CampaignRunner:
    """What the tests do with a campaign."""

    prepare = staticmethod(prepare)
    start = staticmethod(start)
    finish = staticmethod(finish)


@pytest.fixture(scope="session")
def runner() -> CampaignRunner:
    return CampaignRunner()
