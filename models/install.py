"""Check the model package that this file came with, and make it the current one.

Greengrass runs this at every deployment and every start of the nucleus, with the system's python3: standard
library only. ``--work DIR`` gets a copy of the package at ``DIR/<version>-<hash>``, and ``DIR/current``, a symbolic
link, leads to it from one moment to the next: whoever looks finds the old package or the new one, whole. The
package used before stays for a rollback, and so does what the inspector of ``--inspector DIR`` judges with.
"""

import argparse
import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"  # optional; the inspector verifies it, who has the key
STATUS = "model-status.json"  # written by the inspector; docs/schema/model-status.json


class PackageError(Exception):
    """Why the package was not installed, and what to do."""


def read_manifest(package: Path) -> "dict[str, Any]":
    """The manifest, its shape checked as far as this file relies on it."""
    path = package / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        list_files(manifest)
        str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(
            f"model package {package} refused: {MANIFEST} cannot be read ({error!r}); "
            "build it again (make build) and redeploy com.edgeinspector.Model"
        ) from error
    return manifest


def list_files(manifest: "dict[str, Any]") -> "dict[str, str]":
    """Each file that the manifest names -> its SHA-256."""
    models = {file["name"]: file["sha256"] for file in manifest["files"]}
    pictures = {golden["image"]: golden["sha256"] for file in manifest["files"] for golden in file["golden"]}
    return {**models, **pictures}


def identify(package: Path) -> str:
    """SHA-256 over manifest and signature: what a package is, as the inspector reckons it."""
    hashes = [hash_file(package / MANIFEST)]
    signature = package / SIGNATURE
    hashes.append(hash_file(signature) if signature.is_file() else hashlib.sha256().hexdigest())
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def find_fault(package: Path, manifest: "dict[str, Any]") -> "str | None":
    """What is wrong with the first file that is not as the manifest says; None where all are."""
    for name, expected in list_files(manifest).items():
        path = package / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            return f"{name} lies outside the package"
        if path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        if hash_file(path) != expected:
            return f"{name} has SHA-256 {hash_file(path)}, {MANIFEST} says {expected}"
    return None


def hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def install(package: Path, work: Path, inspector: "Path | None" = None) -> Path:
    """Copy the package into ``work`` unless it is there, make it current, and return where it is.

    The link is made anew each time, by which the inspector tells that it is asked again.
    """
    manifest = read_manifest(package)
    fault = find_fault(package, manifest)
    if fault:
        raise PackageError(
            f"model package {package} refused: {fault}; redeploy com.edgeinspector.Model. "
            "The model in use goes on"
        )
    identity = identify(package)
    target = work / "{}-{}".format(manifest["version"], identity[:12])
    if not is_installed(target, identity, manifest):
        signature = [SIGNATURE] if (package / SIGNATURE).exists() else []
        copy(package, [MANIFEST, *signature, *list_files(manifest)], target)
    os.utime(target)  # tells, later, which package was used last
    point(work / "current", target)
    in_use = list_used(inspector) if inspector else set()
    if in_use is not None:
        remove_unused(work, target, in_use)
    return target


def is_installed(target: Path, identity: str, manifest: "dict[str, Any]") -> bool:
    """Whether ``target`` holds the package of that identity, whole and undamaged."""
    try:
        return identify(target) == identity and find_fault(target, manifest) is None
    except FileNotFoundError:
        return False


def copy(package: Path, names: "list[str]", target: Path) -> None:
    """Copy beside ``target``, flush it to the disk, then rename: a target that is there is whole."""
    partial = target.with_name(f".{target.name}.partial")
    for stale in target.parent.glob(".*.partial"):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        check_room(target.parent, sum((package / name).stat().st_size for name in names))
        for name in names:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package / name, partial / name)
        os.sync()
        shutil.rmtree(target, ignore_errors=True)  # only a damaged one can be there
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_room(work: Path, needed: int) -> None:
    """Raise, as writing would, where the disk has not so many bytes left."""
    if shutil.disk_usage(work).free < needed:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed / 1e6:.1f} MB are needed", str(work)
        )


def point(link: Path, target: Path) -> None:
    """Let ``link`` lead to ``target``, in one step."""
    if link.exists() and not link.is_symlink():
        raise PackageError(f"{link} is in the way: it should be a symbolic link. Remove it and deploy again")
    fresh = link.with_name(f".{link.name}.new")
    if fresh.is_symlink():
        fresh.unlink()
    fresh.symlink_to(target.name)
    fresh.replace(link)


def list_used(inspector: Path) -> "set[str] | None":
    """Names of the packages that an inspector judges with, or goes back to; None where that cannot be told."""
    try:
        status = json.loads((inspector / STATUS).read_bytes())
        used = (status[name] for name in ("in_use", "before"))
        return {Path(tried["path"]).name for tried in used if tried is not None}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"removing nothing: {inspector / STATUS} does not tell what is in use ({error!r})")
        return None


def remove_unused(work: Path, current: Path, used: "set[str]") -> None:
    """Remove the packages but the current one, those in use and the one that was current before it."""
    packages = [found.parent for found in work.glob(f"*/{MANIFEST}") if not found.parent.is_symlink()]
    others = sorted((path for path in packages if path != current), key=lambda path: path.stat().st_mtime_ns)
    for path in others[:-1]:
        if path.name not in used:
            say(f"removing {path}, unused")
            shutil.rmtree(path, ignore_errors=True)


def say(text: str) -> None:
    sys.stdout.write(f"install: {text}\n")
    sys.stdout.flush()


def main(argv: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(
        description="Check the model package that this file came with, and make it the current one.",
        epilog="example:\n  python3 models/install.py --work /greengrass/v2/work/com.edgeinspector.Model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="the component's work directory"
    )
    parser.add_argument(
        "--inspector", type=Path, metavar="DIR", help="the inspector's: what it judges with is not removed"
    )
    arguments = parser.parse_args(argv)
    package = Path(__file__).resolve().parent
    try:
        target = install(package, arguments.work, arguments.inspector)
    except PackageError as error:
        sys.stderr.write(f"install: {error}\n")
        return 1
    except OSError as error:
        fix = "make room and" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend that and"
        sys.stderr.write(
            f"install: model package {package} not installed: {error}; {fix} redeploy com.edgeinspector.Model. "
            "The model in use goes on\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"current is {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
