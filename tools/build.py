#!/usr/bin/env python3
"""Build the Greengrass components: for each, its recipe and one artifact, made from an allow-list of files.

Built twice, an artifact is the same byte for byte: members are sorted, their times and permissions fixed.
Standard library only, so that it runs with any Python from 3.10 on, within GDK or without.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIRECTORIES = {"inspector": ROOT, "model": ROOT / "models"}
RECIPE_LIMIT_BYTES = 8_000  # Greengrass Lite refuses a recipe above 8,196
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
PLATFORMS = tuple(f"{m}-{p}" for m in ("x86_64", "aarch64") for p in ("3.10", "3.11", "3.12", "3.13"))
GLIBC_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014")

EXAMPLES = """examples:
  python3 tools/build.py                                   both components into greengrass-build/
  python3 tools/build.py inspector --wheelhouse            with every wheel, for devices without internet
  python3 tools/build.py inspector --wheelhouse --platform aarch64-3.11
"""


class BuildError(Exception):
    """What kept a component from being built, and what to do."""


@dataclass(frozen=True)
class Component:
    """A component's name and version, from its ``gdk-config.json``, and the directory of that file."""

    kind: str
    name: str
    version: str
    directory: Path

    def recipe(self) -> str:
        """The recipe with name and version filled in; ``BUCKET_NAME`` is left to whoever publishes."""
        source = self.directory / "recipe.yaml"
        text = source.read_text(encoding="utf-8")
        text = text.replace("COMPONENT_NAME", self.name).replace("COMPONENT_VERSION", self.version)
        if len(text.encode()) > RECIPE_LIMIT_BYTES:
            raise BuildError(f"{source} is {len(text.encode())} bytes; shorten it to {RECIPE_LIMIT_BYTES}")
        return text


def load_component(kind: str) -> Component:
    if kind not in DIRECTORIES:
        raise argparse.ArgumentTypeError(f"no component {kind!r}; there are {', '.join(DIRECTORIES)}")
    config_file = DIRECTORIES[kind] / "gdk-config.json"
    ((name, config),) = json.loads(config_file.read_text(encoding="utf-8"))["component"].items()
    return Component(kind, name, config["version"], config_file.parent)


def inspector_members() -> dict[str, Path]:
    """Name in the archive -> file: the package's modules and the locked requirements, and nothing else."""
    modules = (ROOT / "src" / "inspector").rglob("*.py")
    members = {path.relative_to(ROOT / "src").as_posix(): path for path in modules}
    return {**members, "requirements.lock": ROOT / "requirements.lock"}


def model_members(component: Component) -> dict[str, Path]:
    """Name in the archive -> file: the manifest, its signature if any, what it names, the scripts, the licence."""
    directory = component.directory
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    if manifest["version"] != component.version:
        raise BuildError(
            f"{directory / 'manifest.json'} is of version {manifest['version']}, gdk-config.json beside it says "
            f"{component.version}; set the manifest's there"
        )
    named = {file["name"]: file["sha256"] for file in manifest["files"]}
    named |= {golden["image"]: golden["sha256"] for file in manifest["files"] for golden in file["golden"]}
    for name, sha256 in named.items():
        path = directory / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise BuildError(
                f"{path} is not as manifest.json says; package the model again (modelkit package)"
            )
    names = {"manifest.json", "install.py", "startup.py", "LICENSE", *named}
    if (directory / "manifest.sig").exists():
        names.add("manifest.sig")
    return {name: directory / name for name in names}


def wheelhouse_members(directory: Path, platforms: Iterable[str]) -> dict[str, Path]:
    """Name in the archive -> wheel, for every platform, downloaded into ``directory``."""
    for platform in platforms:
        download_wheels(directory, *platform.split("-"))
    return {f"wheelhouse/{wheel.name}": wheel for wheel in directory.glob("*.whl")}


def download_wheels(directory: Path, machine: str, python: str) -> None:
    say(f"fetching wheels for Linux {machine}, Python {python}")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(requirements_for(python))
        requirements.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--require-hashes", "--requirement", requirements.name, "--dest", str(directory)]
        command += ["--implementation", "cp", "--python-version", python]
        command += [argument for tag in GLIBC_TAGS for argument in ("--platform", f"{tag}_{machine}")]
        if subprocess.run(command, check=False).returncode != 0:
            raise BuildError(f"no wheels for Linux {machine}, Python {python}; pip says why above")


def requirements_for(python: str) -> str:
    """The lines of the lock that hold for Linux and this Python, without their markers.

    pip judges markers by the Python it runs on, even when told to download for another.
    """
    from pip._vendor.packaging.markers import Marker

    target = {"python_version": python, "python_full_version": f"{python}.99", "sys_platform": "linux"}
    kept = []
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        requirement, _, hashes = line.partition(" --hash")
        pin, _, marker = requirement.partition(";")
        if hashes and (not marker or Marker(marker.strip()).evaluate(target)):
            kept.append(f"{pin} --hash{hashes}\n")
    return "".join(kept)


def write_archive(target: Path, members: dict[str, Path]) -> None:
    """Write a zip that depends on names and contents alone.

    Members are stored: every zlib deflates differently, and of the models' 12 MB it would save a twelfth.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, path in sorted(members.items()):
            if not path.is_file():
                raise BuildError(f"{path} is missing, which {target.name} must hold")
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.create_system = 3  # Unix, whatever this runs on: the permissions below mean that
            info.external_attr = 0o100644 << 16
            archive.writestr(info, path.read_bytes())


def build(component: Component, output: Path, platforms: tuple[str, ...], recipe_name: str) -> None:
    """Write ``recipes/<recipe_name>`` and ``artifacts/<name>/<version>/<kind>.zip`` below ``output``."""
    artifact = output / "artifacts" / component.name / component.version / f"{component.kind}.zip"
    with tempfile.TemporaryDirectory() as wheels:
        if component.kind == "inspector":
            members = {**inspector_members(), **wheelhouse_members(Path(wheels), platforms)}
        else:
            members = model_members(component)
        write_archive(artifact, members)
    recipe = output / "recipes" / recipe_name
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(component.recipe(), encoding="utf-8")
    say(f"{artifact} ({artifact.stat().st_size:,} bytes), {recipe}")


def say(text: str) -> None:
    sys.stdout.write(f"build: {text}\n")
    sys.stdout.flush()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "components", nargs="*", type=load_component, metavar="inspector|model", help="default: both"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "greengrass-build", metavar="DIR")
    parser.add_argument(
        "--wheelhouse", action="store_true", help="put the device's wheels into the inspector's artifact"
    )
    parser.add_argument(
        "--platform",
        action="append",
        choices=PLATFORMS,
        metavar="MACHINE-PYTHON",
        help=f"wheels for this one only, of {', '.join(PLATFORMS)}; repeatable",
    )
    parser.add_argument(
        "--gdk",
        action="store_true",
        help="lay out as `gdk component publish` reads it, beside gdk-config.json",
    )
    arguments = parser.parse_args(argv)
    if arguments.platform and not arguments.wheelhouse:
        parser.error("--platform chooses wheels, so it needs --wheelhouse")
    return arguments


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    platforms = tuple(arguments.platform or PLATFORMS) if arguments.wheelhouse else ()
    try:
        for component in arguments.components or map(load_component, DIRECTORIES):
            if arguments.gdk:
                build(component, component.directory / "greengrass-build", platforms, "recipe.yaml")
            else:
                build(component, arguments.output, platforms, f"{component.name}-{component.version}.yaml")
    except BuildError as error:
        sys.stderr.write(f"build: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
