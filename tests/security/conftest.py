"""A simulated nucleus whose component the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgehost.thread import ThreadedHost, run_in_thread


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[ThreadedHost]:
    with run_in_thread(tmp_path / "root") as threaded:
        yield threaded
