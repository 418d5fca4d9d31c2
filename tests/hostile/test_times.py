"""Whatever the clock of a camera says: its pictures get their verdicts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.reconcile import examine
from inspector_bench import Bench
from inspector_fakes import drop, picture, rows


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.parametrize("year", [1670, 1901, 1970, 2262, 2300, 2446, 9999, 33_000])
def test_every_time_gets_its_verdict(tmp_path: Path, after: str, year: int) -> None:
    """Also one that no SQLite integer can hold, as nanoseconds, where the file system can."""
    bench = Bench(tmp_path, after_inspection=after, audit_share=1)
    image = drop(tmp_path / "images" / "a.jpg", picture())
    modified_ns = int((year - 1970) * 365.2425 * 86_400) * 10**9
    os.utime(image, ns=(modified_ns, modified_ns))
    bench.run(1)
    assert rows(tmp_path / "ledger.sqlite", "SELECT verdict, settled FROM inspections") == [("fail", 1)]
    assert examine(tmp_path / "ledger.sqlite", bench.images).findings == ()
