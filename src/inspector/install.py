"""Make the virtual environment that the inspector runs in, from the locked requirements.

Greengrass runs this at every deployment and every start of the nucleus, with the system's python3, before any
requirement is there. So it uses the standard library only, imports nothing of the package, and parses on
Pythons too old to run the inspector, so that it can say so.

``--venv WORK/venv`` becomes a symbolic link to ``WORK/venv-<key>``, where the key stands for the lock and the
Python version. A complete environment with the key is used again; the one before stays for a rollback.
"""

import argparse
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

SUPPORTED = ((3, 10), (3, 13))
COMPLETE = "complete"  # written into an environment last; one without it is made anew

MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC = (2, 28)

UNREACHABLE = (
    "the package index could not be reached, and the artifact holds no wheelhouse. Give the device a network "
    "(HTTPS_PROXY and PIP_INDEX_URL set a proxy and a private index), or deploy an artifact that holds the "
    "packages (make build WHEELHOUSE=1)"
)
WHEEL_MISSING = (
    "the artifact's wheelhouse lacks a wheel for this machine and Python. Build it for them, or for every "
    "platform (make build WHEELHOUSE=1), and deploy again"
)
ADVICE = (
    (
        "DO NOT MATCH THE HASHES",
        "a package is not the one that was locked. Find out who served it: index or proxy",
    ),
    ("No space left", "the disk is full. Free about 700 MB and deploy again"),
    ("from versions: ", "the package index lacks that version. Let it mirror what requirements.lock names"),
)


class InstallError(Exception):
    """Why there is no environment, and what to do."""


def check_python(version: "tuple[int, int]") -> None:
    """Raise where the Python that runs this cannot run the inspector."""
    oldest, newest = SUPPORTED
    if not oldest <= version <= newest:
        raise InstallError(
            "{} is Python {}.{}, and the inspector needs 3.10 to 3.13. Install one of them and make it the "
            "python3 that the component's user finds".format(sys.executable, *version)
        )


def check_machine(machine: str, libc: "tuple[str, str]") -> None:
    """Raise where no wheels are published for the machine, as ``platform.libc_ver`` tells its C library."""
    name, version = libc
    recent = name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_GLIBC
    if machine not in MACHINES or not recent:
        raise InstallError(
            f"this machine is {machine} with {name or 'an unknown C library'} {version}. The packages need "
            "Linux on x86_64 or aarch64 with glibc 2.28 or newer (Debian 10, Ubuntu 20.04, Amazon Linux 2023)"
        )


def check_venv_module() -> None:
    """Raise where the distribution packages ``venv`` apart and it is missing."""
    if importlib.util.find_spec("ensurepip") is None:
        raise InstallError(
            f"{sys.executable} cannot make virtual environments: its ensurepip module is missing. "
            "On Debian and Ubuntu: apt install python3-venv"
        )


def environment_key(lock: bytes, version: "tuple[int, int]") -> str:
    """Twelve hexadecimal digits that change with the locked requirements and the Python version."""
    return hashlib.sha256(lock + b"\0" + "{}.{}".format(*version).encode()).hexdigest()[:12]


def install(requirements: Path, link: Path) -> Path:
    """Make or reuse the environment for ``requirements``, point ``link`` at it and return where it is."""
    check_python(sys.version_info[:2])
    key = environment_key(requirements.read_bytes(), sys.version_info[:2])
    environment = link.with_name(f"{link.name}-{key}")
    if is_complete(environment):
        say(f"using {environment}")
    else:
        check_machine(platform.machine(), platform.libc_ver())
        check_venv_module()
        make(environment, requirements)
    os.utime(environment / COMPLETE)
    point(link, environment)
    remove_unused(link, environment)
    return environment


def is_complete(environment: Path) -> bool:
    """Whether it was finished, and the Python that it was made from is still there."""
    return (environment / COMPLETE).is_file() and (environment / "bin" / "python").exists()


def make(environment: Path, requirements: Path) -> None:
    """Make the environment and mark it complete, or leave nothing of it."""
    say(f"making {environment}")
    started = time.monotonic()
    try:
        venv.create(environment, clear=True, with_pip=True)
        run_pip(environment, requirements)
        os.sync()  # a power cut must not leave the mark without the files
        (environment / COMPLETE).touch()
    except BaseException:
        shutil.rmtree(environment, ignore_errors=True)
        raise
    say(f"made {environment} in {time.monotonic() - started:.0f} s")


def run_pip(environment: Path, requirements: Path) -> None:
    """Install the requirements: from the wheelhouse beside them, or else from pip's configured index."""
    wheelhouse = requirements.with_name("wheelhouse")
    command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--quiet", "--progress-bar", "off", "--require-hashes", "--only-binary", ":all:"]
    command += ["--requirement", str(requirements)]
    if wheelhouse.is_dir():
        command += ["--no-index", "--find-links", str(wheelhouse)]
    if "PIP_CACHE_DIR" not in os.environ:
        command += ["--no-cache-dir"]  # it would take the device's disk and serve once
    pip = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if pip.returncode != 0:
        say(pip.stdout.rstrip())
        raise InstallError(
            f"pip could not install {requirements}: {explain(pip.stdout, wheelhouse.is_dir())}"
        )


def explain(output: str, offline: bool) -> str:
    """The likely cause behind pip's output, and what to do."""
    if "from versions: none" in output:
        return WHEEL_MISSING if offline else UNREACHABLE
    matching = (advice for needle, advice in ADVICE if needle in output)
    return next(matching, "pip says above why")


def point(link: Path, environment: Path) -> None:
    """Let ``link`` lead to the environment; whoever looks finds the old one or the new one, never none."""
    if link.exists() and not link.is_symlink():
        raise InstallError(f"{link} is in the way: it should be a symbolic link. Remove it and deploy again")
    fresh = link.with_name(f".{link.name}.new")
    if fresh.is_symlink():
        fresh.unlink()
    fresh.symlink_to(environment.name)
    fresh.replace(link)


def remove_unused(link: Path, current: Path) -> None:
    """Remove the environments but the current one and the one used before it, which a rollback needs."""
    others = [path for path in link.parent.glob(f"{link.name}-*") if path != current]
    complete = sorted(filter(is_complete, others), key=lambda path: (path / COMPLETE).stat().st_mtime)
    for path in others:
        if path not in complete[-1:]:
            say(f"removing {path}, unused")
            shutil.rmtree(path, ignore_errors=True)


def say(text: str) -> None:
    sys.stdout.write(f"install: {text}\n")
    sys.stdout.flush()


def main(argv: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(
        description="Make the inspector's virtual environment from its locked requirements.",
        epilog="example:\n  python3 install.py --requirements requirements.lock --venv work/venv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--requirements", type=Path, required=True, metavar="FILE", help="pinned, with hashes"
    )
    parser.add_argument("--venv", type=Path, required=True, metavar="LINK", help="link to the environment")
    arguments = parser.parse_args(argv)
    try:
        install(arguments.requirements, arguments.venv)
    except (InstallError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"install: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
