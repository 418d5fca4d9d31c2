"""What the build puts into a component: an allow-list, reproducibly."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {"inspector": "com.edgeinspector.Inspector", "model": "com.edgeinspector.Model"}
VERSIONS = {
    kind: json.loads((ROOT / directory / "gdk-config.json").read_text("utf-8"))["component"][NAMES[kind]][
        "version"
    ]
    for kind, directory in (("inspector", "."), ("model", "models"))
}


def run_build(
    *arguments: str | Path, tool: Path = ROOT / "tools" / "build.py"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def artifact(output: Path, kind: str) -> Path:
    return output / "artifacts" / NAMES[kind] / VERSIONS[kind] / f"{kind}.zip"


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as members:
        return set(members.namelist())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("build")
    done = run_build("--output", output)
    assert done.returncode == 0, done.stderr
    return output


def test_the_inspector_holds_its_modules_and_the_lock_and_nothing_else(output: Path) -> None:
    modules = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "inspector").rglob("*.py")
    }
    assert names(artifact(output, "inspector")) == {*modules, "requirements.lock"}
    assert artifact(output, "inspector").stat().st_size < 1_000_000


def test_the_model_holds_what_its_manifest_names(output: Path) -> None:
    manifest = json.loads((ROOT / "models" / "manifest.json").read_text("utf-8"))
    golden = {each["image"] for file in manifest["files"] for each in file["golden"]}
    models = {file["name"] for file in manifest["files"]}
    assert names(artifact(output, "model")) == {
        "manifest.json",
        "install.py",
        "startup.py",
        "LICENSE",
        *models,
        *golden,
    }


def test_a_stray_file_stays_out(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    for stray in (
        "inspector/notes.txt",
        "inspector/secret.pem",
        "inspector/__pycache__/x.pyc",
        "edgehost/x.py",
    ):
        (checkout / "src" / stray).parent.mkdir(parents=True, exist_ok=True)
        (checkout / "src" / stray).write_text("stray")
    run_build("inspector", "--output", tmp_path / "out", tool=checkout / "tools" / "build.py")
    assert names(artifact(tmp_path / "out", "inspector")) == {"inspector/__init__.py", "requirements.lock"}


def test_built_twice_it_is_the_same_byte_for_byte(output: Path, tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    for path in (checkout / "src" / "inspector" / "__init__.py", checkout / "requirements.lock"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(checkout, tmp_path / "again", copy_function=shutil.copyfile)
    run_build("inspector", "--output", first, tool=checkout / "tools" / "build.py")
    run_build("inspector", "--output", second, tool=tmp_path / "again" / "tools" / "build.py")
    assert artifact(first, "inspector").read_bytes() == artifact(second, "inspector").read_bytes()
    run_build("--output", tmp_path / "third")
    for kind in NAMES:
        assert artifact(tmp_path / "third", kind).read_bytes() == artifact(output, kind).read_bytes()


@pytest.mark.parametrize("kind", NAMES)
def test_the_recipe_is_filled_in_but_for_the_bucket(output: Path, kind: str) -> None:
    recipe = (output / "recipes" / f"{NAMES[kind]}-{VERSIONS[kind]}.yaml").read_text("utf-8")
    assert f"s3://BUCKET_NAME/{NAMES[kind]}/{VERSIONS[kind]}/{kind}.zip" in recipe
    assert "COMPONENT_NAME" not in recipe
    assert "COMPONENT_VERSION" not in recipe


@pytest.mark.parametrize(("kind", "directory"), [("inspector", "."), ("model", "models")])
def test_gdk_finds_what_it_publishes(tmp_path: Path, kind: str, directory: str) -> None:
    """GDK runs the command beside gdk-config.json, then reads recipes/recipe.yaml and the component's artifacts."""
    checkout = copy_checkout(tmp_path / "check out")
    here = checkout / directory
    config = json.loads((here / "gdk-config.json").read_text("utf-8"))["component"][NAMES[kind]]
    command = config["build"]["custom_build_command"]
    assert config["build"]["build_system"] == "custom"
    subprocess.run([sys.executable, *command[1:]], cwd=here, check=True)
    built = here / "greengrass-build"
    assert f"ComponentName: {NAMES[kind]}" in (built / "recipes" / "recipe.yaml").read_text("utf-8")
    assert artifact(built, kind).is_file()


def test_the_versions_agree() -> None:
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    inspector = json.loads((ROOT / "gdk-config.json").read_text("utf-8"))["component"][NAMES["inspector"]]
    model = json.loads((ROOT / "models" / "gdk-config.json").read_text("utf-8"))["component"][NAMES["model"]]
    manifest = json.loads((ROOT / "models" / "manifest.json").read_text("utf-8"))
    assert project
    assert inspector["version"] == project[1]
    assert model["version"] == manifest["version"]


def test_a_signature_goes_along_and_what_the_manifest_does_not_name_stays_out(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    for name in ("manifest.sig", "private.pem", "golden/notes.txt", "old.onnx", ".package.old/fp32.onnx"):
        (checkout / "models" / name).parent.mkdir(exist_ok=True)
        (checkout / "models" / name).write_text("content")
    unsigned = names_of_model(ROOT, tmp_path / "unsigned")
    assert names_of_model(checkout, tmp_path / "signed") == {*unsigned, "manifest.sig"}


def names_of_model(checkout: Path, output: Path) -> set[str]:
    done = run_build("model", "--output", output, tool=checkout / "tools" / "build.py")
    assert done.returncode == 0, done.stderr
    return names(artifact(output, "model"))


def test_a_package_that_the_device_would_refuse_is_not_built(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    golden = next((checkout / "models" / "golden").iterdir())
    golden.write_bytes(golden.read_bytes() + b"x")
    done = run_build("model", "--output", tmp_path / "out", tool=checkout / "tools" / "build.py")
    assert done.returncode == 1
    assert f"{golden.name} is not as manifest.json says" in done.stderr


def test_a_version_other_than_the_packages_is_not_built(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    config = checkout / "models" / "gdk-config.json"
    version = json.loads((checkout / "models" / "manifest.json").read_text("utf-8"))["version"]
    config.write_text(config.read_text("utf-8").replace(f'"version": "{version}"', '"version": "9.9.9"'))
    done = run_build("model", "--output", tmp_path / "out", tool=checkout / "tools" / "build.py")
    assert done.returncode == 1
    assert f"is of version {version}, gdk-config.json beside it says 9.9.9" in done.stderr


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    (checkout / "models" / "fp32.onnx").unlink()
    done = run_build("model", "--output", tmp_path / "out", tool=checkout / "tools" / "build.py")
    assert done.returncode == 1
    assert re.search(r"fp32\.onnx is missing", done.stderr)


def test_an_unknown_component_is_refused() -> None:
    done = run_build("station")
    assert done.returncode == 2
    assert "there are inspector, model" in done.stderr


def test_a_wheelhouse_holds_the_wheels_of_its_platform_and_installs_nothing_else(tmp_path: Path) -> None:
    """With a lock of one small package: the real one is 100 MB a platform."""
    checkout = copy_checkout(tmp_path / "check out")
    lock = (ROOT / "requirements.lock").read_text("utf-8").replace("\\\n", " ").splitlines()
    msgspec = next(line for line in lock if line.startswith("msgspec=="))
    other_python = msgspec.replace(" ", " ; python_full_version < '3.10' ", 1).replace(
        "msgspec", "no-such-package"
    )
    (checkout / "requirements.lock").write_text(f"{msgspec}\n{other_python}\n", "utf-8")
    arguments = ["inspector", "--wheelhouse", "--platform", "aarch64-3.12", "--output", tmp_path / "out"]
    done = run_build(*arguments, tool=checkout / "tools" / "build.py")
    assert done.returncode == 0, done.stderr
    (wheel,) = [name for name in names(artifact(tmp_path / "out", "inspector")) if "wheelhouse" in name]
    assert re.fullmatch(r"wheelhouse/msgspec-[\d.]+-cp312-cp312-.*aarch64\.whl", wheel)


def test_a_wheel_that_cannot_be_had_fails_the_build(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "check out")
    wrong = "msgspec==0.22.0 --hash=sha256:" + "0" * 64
    (checkout / "requirements.lock").write_text(wrong, "utf-8")
    arguments = ["inspector", "--wheelhouse", "--platform", "x86_64-3.11", "--output", tmp_path / "out"]
    done = run_build(*arguments, tool=checkout / "tools" / "build.py")
    assert done.returncode == 1
    assert "no wheels for Linux x86_64, Python 3.11" in done.stderr
    assert not artifact(tmp_path / "out", "inspector").exists()


def copy_checkout(target: Path) -> Path:
    """As much of the checkout as the build reads, with one module for the whole package."""
    for name in (
        "tools/build.py",
        "gdk-config.json",
        "recipe.yaml",
        "requirements.lock",
        "src/inspector/__init__.py",
    ):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
    shutil.copytree(ROOT / "models", target / "models", ignore=shutil.ignore_patterns("greengrass-build"))
    return target
