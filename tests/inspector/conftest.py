"""What several tests of the inspector share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_device import Device, played


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device on which models are deployed, played."""
    with played(tmp_path, monkeypatch) as device:
        yield device
