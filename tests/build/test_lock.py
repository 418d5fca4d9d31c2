"""The locked requirements can be installed, from wheels alone, on every platform that is promised."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")

Pins = dict[str, set[str]]


def resolve(lock: Path, platform: str, python: str) -> Pins:
    """What a device of this platform would install, with the hashes that the index gives."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        str(lock),
        "--only-binary",
        ":all:",
    ]
    command += ["--python-platform", platform, "--python-version", python]
    command += ["--python", sys.executable, "--no-python-downloads"]  # runs uv's part; looks for no other
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
    cache = {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **cache}, check=False)
    if done.returncode:
        raise LookupError(done.stderr)
    return parse(done.stdout)


def parse(lock: str) -> Pins:
    lines = [line for line in lock.replace("\\\n", " ").splitlines() if "==" in line]
    return {re.split(r"[ ;]", line)[0]: set(re.findall(r"sha256:\w+", line)) for line in lines}


def missing(lock: Path, platform: str, python: str) -> list[str]:
    """What a device would need and the lock lacks."""
    locked = parse(lock.read_text("utf-8"))
    resolved = resolve(lock, platform, python)
    return [pin for pin, hashes in resolved.items() if not hashes or not hashes <= locked.get(pin, set())]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_holds_every_wheel_with_its_hash(machine: str, python: str) -> None:
    assert missing(LOCK, f"{machine}-manylinux_2_28", python) == []
    assert any(pin.startswith("onnxruntime==") for pin in resolve(LOCK, f"{machine}-manylinux_2_28", python))


def test_a_platform_without_wheels_would_be_noticed() -> None:
    with pytest.raises(LookupError, match="no wheels"):
        resolve(LOCK, "aarch64-unknown-linux-musl", "3.11")


@pytest.mark.parametrize("dropped", ["flatbuffers", "numpy"])
def test_a_requirement_missing_from_the_lock_would_be_noticed(tmp_path: Path, dropped: str) -> None:
    lines = LOCK.read_text("utf-8").replace("\\\n", " ").splitlines()
    lock = tmp_path / "requirements.lock"
    lock.write_text("\n".join(line for line in lines if not line.startswith(dropped)), "utf-8")
    assert [pin.split("==")[0] for pin in missing(lock, "x86_64-manylinux_2_28", "3.11")] == [dropped]


def test_a_hash_missing_from_the_lock_would_be_noticed(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    text, changed = re.subn(
        r"(imagesize==\S+ \\\n\s+--hash=sha256:)\w{64}", r"\g<1>" + "0" * 64, LOCK.read_text("utf-8")
    )
    assert changed == 1
    lock.write_text(text, "utf-8")
    assert [pin.split("==")[0] for pin in missing(lock, "x86_64-manylinux_2_28", "3.11")] == ["imagesize"]
