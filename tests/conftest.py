"""Every process that carries out tests gets ``shared_runs``; the one that only hands them out starts without torch."""

import pytest

pytest.register_assert_rewrite("shared_runs")  # conftests of folders that are named may import it first


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Import what tests share, unless this process leaves the tests to others (pytest-xdist)."""
    hands_out = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if not hands_out:
        config.pluginmanager.import_plugin("shared_runs")
