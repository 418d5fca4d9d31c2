"""A trial in a process of its own: whatever the model does to that process, this one learns of it and goes on."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from inspector.core.model_status import Outcome
from inspector.shell.detector import ANYBODY
from inspector.shell.package import Trust
from inspector.shell.trial_process import Trial
from model_versions import tamper
from signing import KeyPair

MODELS = Path(__file__).parents[3] / "models"
SOURCES = Path(__file__).parents[3] / "src"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What every Python that is started from now on runs first."""
    place = tmp_path / "planted"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{place}{os.pathsep}{SOURCES}")
    return place / "sitecustomize.py"


def outcome_of(package: Path = MODELS, trust: Trust = ANYBODY, limit_s: int = 120) -> Outcome:
    return Trial(package, "fp32", 1, trust, limit_s).outcome()


def test_a_good_package(tmp_path: Path) -> None:
    """Also a signed one, whose key the process is given."""
    assert outcome_of() == Outcome("accepted", precision="fp32")
    keys = KeyPair(tmp_path / "keys")
    signed = shutil.copytree(MODELS, tmp_path / "signed")
    keys.sign(signed)
    assert outcome_of(signed, Trust(keys.public, is_required=True)).verdict == "accepted"


def test_a_bad_package(tmp_path: Path) -> None:
    """Refused with what the process found, a missing signature included."""
    bad = shutil.copytree(MODELS, tmp_path / "bad")
    tamper(bad)
    assert "SHA-256" in outcome_of(bad).cause
    assert "has no manifest.sig" in outcome_of(MODELS, Trust(is_required=True)).cause


@pytest.mark.parametrize(
    ("what", "cause", "is_passing"),
    [
        ("import ctypes; ctypes.string_at(0)", "it crashes the process that tries it (SIGSEGV)", False),
        ("import os; os.abort()", "it crashes the process that tries it (SIGABRT)", False),
        ("import os; os.kill(os.getpid(), 9)", "was killed (SIGKILL), perhaps for want of memory", True),
        ("import os; os.kill(os.getpid(), 15)", "was killed (SIGTERM)", True),
        ("import os; os._exit(3)", "its trial ended with status 3", True),
        ("import os; os.write(2, b'one\\nno room left'); os._exit(1)", "with status 1: no room left", True),
    ],
)
def test_however_the_process_ends(planted: Path, what: str, cause: str, is_passing: bool) -> None:
    """What the model did is held against it; what was done to the process is not, and passes."""
    planted.write_text(f"import sys\nif 'trial' in sys.orig_argv: {what}")
    outcome = outcome_of()
    assert (outcome.verdict, outcome.is_passing) == ("refused", is_passing)
    assert cause in outcome.cause and outcome.fix


def test_a_model_that_hangs(planted: Path) -> None:
    """In native code, say: it ends with its time, also if nobody waits for it any more."""
    planted.write_text(
        "import sys, threading, inspector.trial\n"
        "if 'trial' in sys.orig_argv: inspector.trial.attempt = lambda *_: threading.Event().wait()"
    )
    began_s = time.monotonic()
    outcome = outcome_of(limit_s=2)
    assert time.monotonic() - began_s < 10  # it ended itself: it would be killed after 12 s
    assert outcome.cause == "its trial takes longer than 2 s" and not outcome.is_passing


def test_it_can_be_cancelled(planted: Path) -> None:
    """From another thread."""
    planted.write_text("import sys, time\nif 'trial' in sys.orig_argv: time.sleep(100)")
    trial = Trial(MODELS, "fp32", 1, Trust())
    threading.Timer(0.1, trial.cancel).start()
    assert "SIGKILL" in trial.outcome().cause


def test_it_gives_way_and_knows_no_secret(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower priority, the first to go where memory is short; no token, and not where images arrive."""
    monkeypatch.setenv("SVCUID", "A0B1C2D3")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "A0B1C2D3")
    monkeypatch.chdir(tmp_path)
    told = tmp_path / "told"
    planted.write_text(
        "import os, sys\n"
        "if 'trial' in sys.orig_argv:\n"
        "    import atexit\n"
        "    from pathlib import Path\n"
        "    def tell():\n"
        "        facts = [os.nice(0), Path('/proc/self/oom_score_adj').read_text(), os.getcwd(), dict(os.environ)]\n"
        f"        Path({str(told)!r}).write_text('\\n'.join(map(str, facts)))\n"
        "    atexit.register(tell)\n"
    )
    assert outcome_of().verdict == "accepted"
    niceness, score, directory, environment = told.read_text().replace("\n\n", "\n").split("\n")
    assert int(niceness) >= min(os.nice(0) + 5, 19)
    assert int(score) == 1000
    assert Path(directory) == SOURCES
    assert "PATH" in environment and "A0B1C2D3" not in environment


def test_the_files_of_the_process_are_closed() -> None:
    """However many trials there were."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert outcome_of(MODELS / "nowhere").verdict == "refused"
    assert len(os.listdir("/proc/self/fd")) <= before
