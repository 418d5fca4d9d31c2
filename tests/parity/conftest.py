"""Ultralytics, kept from the network and from settings outside the test's own directory."""

from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def ultralytics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("ultralytics")))
        patch.setenv("YOLO_OFFLINE", "true")
        patch.setenv("YOLO_AUTOINSTALL", "false")
        import torchvision  # noqa: F401  # Ultralytics takes its NMS where it is loaded already
        import ultralytics

        ultralytics.settings.update({"sync": False})
        yield ultralytics
