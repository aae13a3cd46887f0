"""The suite is played as it was meant to be."""

import pytest


@pytest.mark.xdist_group("together")
def test_what_belongs_to_a_group_is_played_by_one_process(request):
    # pytest-xdist marks it by the name; where that fails, engines and drills start once in each process.
    is_grouped = getattr(request.config.option, "loadgroup", False)

    assert request.node.nodeid.endswith("@together") == is_grouped
