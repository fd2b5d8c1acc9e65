import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A property on a busy machine is slow and not wrong: hypothesis' own deadline of 200 ms would be a timed assertion.
before = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("without-deadline", before, deadline=None)
settings.load_profile("without-deadline")


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, which a test may give handlers and a level of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers = handlers
    root.setLevel(level)
