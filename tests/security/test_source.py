"""What ships evaluates nothing, unpickles nothing, and starts nothing but pip and itself, by a list of arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "inspector"
MODELS = SOURCE.parents[1] / "models"
MODULES = sorted({*SOURCE.rglob("*.py"), *MODELS.glob("*.py")})
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "yaml",
    "code",
    "pty",
    "ctypes",
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    "system", "popen", "Pickler", "Unpickler", "register_custom_ops_library",
    "load_library", "spawnl", "spawnv", "spawnlp", "spawnvp", "getoutput",
    "getstatusoutput", "create_subprocess_shell",
}  # fmt: skip
MAY_START_PROGRAMS = {SOURCE / "install.py", SOURCE / "shell" / "trial_process.py"}
MAY_CALL_C = {SOURCE / "shell" / "memory.py"}
"""One function of the C library, by a name that stands there."""


def faults(source: str, *, may_start_programs: bool = False) -> list[str]:
    """Every line that does what must not be done."""
    return [
        f"line {node.lineno}: {fault}"
        for node in ast.walk(ast.parse(source))
        if (fault := _fault(node, may_start_programs))
    ]


def _fault(node: ast.AST, may_start_programs: bool) -> str | None:
    match node:
        case ast.Import(names=names):
            return _imported([each.name for each in names], may_start_programs)
        case ast.ImportFrom(module=str(module), names=names):
            return _imported([module, *(f"{module}.{each.name}" for each in names)], may_start_programs)
        case ast.Name(id=name) if name in FORBIDDEN_NAMES:
            return name
        case ast.Attribute(attr=name) if name in FORBIDDEN_ATTRIBUTES:
            return name
        case ast.keyword(arg="allow_pickle" | "shell" as name):
            return name
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="load" | "loads" as name)):
            return f"np.{name}"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="subprocess")), args=[first, *_]):
            return None if isinstance(first, ast.Name | ast.List) else "a program that is no list"
    return None


def _imported(modules: list[str], may_start_programs: bool) -> str | None:
    for module in modules:
        root = module.partition(".")[0]
        if root in FORBIDDEN_MODULES or (
            root in ("subprocess", "multiprocessing") and not may_start_programs
        ):
            return module
        if module in ("os.system", "os.popen", "numpy.load"):
            return module
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE.parents[1]).as_posix())
def test_nothing_of_the_kind_ships(path: Path) -> None:
    """Not pickle, marshal, yaml, eval or exec; no shell; a custom operator's library neither."""
    found = faults(path.read_text(), may_start_programs=path in MAY_START_PROGRAMS)
    assert [each for each in found if path not in MAY_CALL_C or not each.endswith(": ctypes")] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "import subprocess",
        "from multiprocessing import Pool",
        "eval(x)",
        "exec(x)",
        "import os; os.system(x)",
        "from os import system",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "run(x, shell=True)",
        "options.register_custom_ops_library(path)",
        "__import__(name)",
    ],
)
def test_the_test_finds_it(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize(
    "source", ["subprocess.run('ls ' + x)", "subprocess.run(f'{x}')", "subprocess.run(x, shell=True)"]
)
def test_the_test_finds_a_shell_in_an_installer(source: str) -> None:
    assert faults("import subprocess\n" + source, may_start_programs=True)
    assert not faults("import subprocess\nsubprocess.run(['ls', x])", may_start_programs=True)
