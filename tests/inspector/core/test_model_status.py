"""What is remembered of the packages that a device has tried."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from inspector.core.model_status import MAX_EARLIER, ModelStatus, Outcome, Probation, Tried

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schema" / "model-status.json").read_text())
ACCEPTED = Outcome("accepted", precision="int8", milliseconds={"fp32": 18.2, "int8": 9.1}, note="faster")
REFUSED = Outcome("refused", "it crashes", "package another")


def tried(basis: str, outcome: Outcome = ACCEPTED, files: str = "f") -> Tried:
    at = "2026-11-22T03:00:00.000Z"
    return Tried("/p", "ab" * 32, "tag", "1.0.0", outcome, at, package="p", basis=basis, files=files)


def test_the_file_is_as_its_schema_says() -> None:
    """Full, and empty; and what is written is what is read."""
    full = ModelStatus(
        at="2026-11-22T03:00:00.000Z",
        model_directory="/m",
        link="1:2",
        deployed=tried("b", REFUSED),
        in_use=tried("a"),
        before=tried("c"),
        probation=Probation("boot"),
        earlier=(tried("a"), tried("b", REFUSED)),
    )
    for status in (full, ModelStatus()):
        document = msgspec.json.encode(status)
        jsonschema.validate(json.loads(document), SCHEMA)
        assert msgspec.json.decode(document, type=ModelStatus) == status


def test_an_accepted_package_is_remembered_whatever_its_files_look_like() -> None:
    """They are verified when they are loaded."""
    status = ModelStatus().remembering(tried("a"))
    assert status.find("a", "other") == tried("a")
    assert status.find("b", "f") is None


def test_a_refused_package_is_remembered_until_its_files_change() -> None:
    """Then it may have been mended."""
    status = ModelStatus().remembering(tried("a", REFUSED))
    assert status.find("a", "f") == tried("a", REFUSED)
    assert status.find("a", "other") is None


@pytest.mark.parametrize("place", ["in_use", "before"])
def test_what_is_in_use_is_remembered_however_many_came_after(place: str) -> None:
    """What else was tried is forgotten in the end; of one package the last outcome counts."""
    status = ModelStatus(**{place: tried("a")})
    for number in range(MAX_EARLIER + 5):
        status = status.remembering(tried(f"b{number}", REFUSED))
    assert len(status.earlier) == MAX_EARLIER
    assert status.find("a", "f") == tried("a")
    assert status.find("b0", "f") is None
    again = status.remembering(tried("a", REFUSED))
    assert again.find("a", "f") == tried("a", REFUSED)
    assert len([each for each in again.remembering(tried("a")).earlier if each.basis == "a"]) == 1
