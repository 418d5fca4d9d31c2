"""Settings -> a line that is ready to start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from inspector.core.settings import Settings
from inspector.examiner import Examiner, Judged
from inspector.housekeeping import Housekeeping
from inspector.line import Candidates, Line
from inspector.office import Office
from inspector.pipeline import Pipeline
from inspector.ports import Blocked
from inspector.shell.claims import Claims
from inspector.shell.cycle import Cycle
from inspector.shell.ledger import SqliteLedger
from inspector.shell.watcher import Watcher


def assemble(
    work: Path,
    settings: Settings,
    examiner: Examiner,
    office: Office,
    housekeeping: Housekeeping,
    report: Callable[[Judged], None],
    failed: Callable[[Exception], None],
) -> Line:
    """Put a line together from its parts. Raises Blocked where a directory is missing."""
    if settings.source_mode == "cycle":
        settings = msgspec.structs.replace(settings, after_inspection="leave")
    root = _image_directory(work, settings)
    _keep_apart(root, (work / settings.archive_directory, work))
    assert housekeeping.keeper
    pipeline = Pipeline(
        examiner,
        Claims(settings, housekeeping.archive),
        office.ledger,
        housekeeping.keeper,
        office.targets,
    )
    candidates = _candidates(root, settings, office.ledger)
    limit_s = settings.frame_timeout_seconds
    return Line(pipeline, candidates, office.ledger.unsettled(), limit_s, report, failed)


def _keep_apart(root: Path, ours: Iterable[Path]) -> None:
    """What we put away below the image directory would be inspected again, and again."""
    for directory in ours:
        if Path(os.path.realpath(directory)).is_relative_to(root):
            fix = "choose another ImageDirectory or ArchiveDirectory"
            raise Blocked(f"image directory {root}", f"{directory} lies in it", fix)


def _image_directory(work: Path, settings: Settings) -> Path:
    """The image directory, links resolved; one inside the work directory is made, any other is waited for."""
    root = Path(os.path.realpath(work / settings.image_directory))
    try:
        if root.is_relative_to(work.resolve()):
            root.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not root.is_dir():
            raise Blocked(
                f"image directory {root}", "it is missing", "create it, mount it or mend ImageDirectory"
            )
    except OSError as error:
        raise Blocked(f"image directory {root}", error, "mend ImageDirectory") from error
    return root


def _candidates(root: Path, settings: Settings, ledger: SqliteLedger) -> Candidates:
    if settings.source_mode == "cycle":
        return Cycle(root, settings).candidates
    return Watcher(root, settings, ledger.is_inspected).candidates
