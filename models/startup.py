"""Wait until the inspector on this device has accepted the model package that this file came with, or refused it.

Greengrass runs this after ``install``, with the system's python3: standard library only. Exit status 1, where the
package is refused, makes Greengrass roll the deployment back; so does an inspector that runs and does not say, for a
deployment that succeeds is to mean that the model judges. Where no inspector runs there is nobody to ask: status 0.

On the way back to an earlier version Greengrass need not run ``install`` again, so where ``current`` leads elsewhere
that is done here.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from install import PackageError, identify, install

STATUS = "model-status.json"  # written by the inspector; docs/schema/model-status.json
LOCK = "lock"  # held by the inspector that works in the directory
WAIT_S = 240.0
POLL_S = 0.2


def ask(inspector: Path, work: Path, identity: str) -> "tuple[bool, str] | None":
    """What the inspector says of the package, and whether that lets it stay; None where it has not decided yet."""
    try:
        if not is_held(inspector / LOCK):
            return True, f"no inspector works in {inspector}: it will try the model when it starts"
        status = read_status(inspector)
    except PermissionError as error:
        return True, f"the inspector cannot be asked ({error}): see in its log whether it takes the model"
    if status is None:
        return None
    current = work / "current"
    if not is_same_place(status["model_directory"], current):
        return True, f"the inspector takes its model from {status['model_directory']}, not from {current}"
    deployed, in_use = status["deployed"], status["in_use"]
    if status["link"] != link_of(current) or not deployed:
        return None
    outcome = deployed["outcome"]
    if outcome["verdict"] == "refused":
        return None if outcome.get("is_passing") else (False, refusal(outcome))
    if in_use and in_use["package"] == deployed["package"] == identity:
        return True, "the inspector judges with it, {}".format(outcome["precision"])
    return None


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock. It is tried for a moment, shared, and not waited for."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def read_status(inspector: Path) -> "dict[str, Any] | None":
    """What the inspector has written, if it is all there."""
    try:
        status: dict[str, Any] = json.loads((inspector / STATUS).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    known = {"model_directory", "link", "deployed", "in_use"}
    return status if isinstance(status, dict) and known <= set(status) else None


def refusal(outcome: "dict[str, Any]") -> str:
    """Why, and what to do."""
    return "the inspector refuses the model: {}; {}".format(outcome.get("cause"), outcome.get("fix"))


def leads_to(link: Path, identity: str) -> bool:
    """Whether it leads to this package."""
    try:
        return identify(link) == identity
    except OSError:
        return False


def link_of(link: Path) -> str:
    """What tells that a link was moved, as the inspector writes it."""
    status = link.lstat()
    return f"{status.st_ino}:{status.st_ctime_ns}"


def is_same_place(place: str, link: Path) -> bool:
    """Whether a path is that of the link itself, whatever either leads to."""
    directory, name = os.path.split(place)
    return name == link.name and os.path.realpath(directory) == os.path.realpath(link.parent)


def wait(inspector: Path, work: Path, identity: str, seconds: float) -> "tuple[bool, str]":
    """The inspector's answer, within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask(inspector, work, identity)
        if answer is not None:
            return answer
        time.sleep(POLL_S)
    said = read_status(inspector)
    outcome = said["deployed"]["outcome"] if said and said["deployed"] else {}
    if outcome.get("is_passing"):
        return False, f"for {seconds:g} s {refusal(outcome)}"
    return False, (
        f"the inspector in {inspector} has not said within {seconds:g} s whether it takes the model; see its status "
        "and its log. An older inspector never says: update it first"
    )


def main(argv: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(
        description="Wait until the inspector has accepted the model package that this file came with.",
        epilog="example:\n  python3 models/startup.py --work /greengrass/v2/work/com.edgeinspector.Model "
        "--inspector /greengrass/v2/work/com.edgeinspector.Inspector",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="this component's work directory"
    )
    parser.add_argument("--inspector", type=Path, required=True, metavar="DIR", help="the inspector's")
    parser.add_argument(
        "--seconds", type=float, default=WAIT_S, help="how long to wait (default: %(default)g)"
    )
    arguments = parser.parse_args(argv)
    package = Path(__file__).resolve().parent
    try:
        identity = identify(package)
        if not leads_to(arguments.work / "current", identity):
            install(package, arguments.work, arguments.inspector)
        may_stay, reason = wait(arguments.inspector, arguments.work, identity, arguments.seconds)
    except PackageError as error:
        may_stay, reason = False, str(error)
    except OSError as error:
        may_stay, reason = False, f"{error}; deploy com.edgeinspector.Model again"
    except KeyboardInterrupt:
        return 130
    (sys.stdout if may_stay else sys.stderr).write(f"startup: {reason}\n")
    return 0 if may_stay else 1


if __name__ == "__main__":
    sys.exit(main())
