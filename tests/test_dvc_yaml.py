"""dvc.yaml against the code: a stage lists exactly the files that it imports and the sections that it reads."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def body(stage: str) -> dict:
    """The stage itself, without `foreach` around it."""
    return STAGES[stage].get("do", STAGES[stage])


def file_of(module: str) -> Path | None:
    for candidate in (ROOT / (module.replace(".", "/") + ".py"), ROOT / module.replace(".", "/") / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def imported(path: Path) -> set[str]:
    """Our modules that a file names in its imports, wherever in the file they stand."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("counterpoise", "stages") and file_of(name)}


def has_code(path: Path) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def needed(stage: str) -> set[str]:
    """Files of this repository that running the stage imports, transitively, packages' `__init__` included."""
    files, queue = set(), {f"stages.{stage}"}
    while queue:
        name = queue.pop()
        path = file_of(name)
        if path in files:
            continue
        files.add(path)
        parent = name.rpartition(".")[0]
        queue |= imported(path) | ({parent} if parent else set())
    return {path.relative_to(ROOT).as_posix() for path in files if has_code(path)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_exactly_the_code_that_it_imports(stage):
    listed = {dep for dep in body(stage)["deps"] if dep.endswith(".py")}
    assert listed == needed(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_sections_that_it_reads_and_no_others(stage):
    source = (ROOT / "stages" / f"{stage}.py").read_text()
    read = set(re.findall(r"\bp\.(\w+)", source))
    listed = {re.split(r"[.]", key)[0] for key in body(stage)["params"]}
    assert listed == read


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_own_script(stage):
    assert body(stage)["cmd"].split()[:3] == ["python", "-m", f"stages.{stage}"]


def test_the_ground_imports_no_wing():
    wings = {"presets", "datasets", "encoding", "latents", "splits", "balance", "variations", "diffusion"}
    wings |= {"altered", "classifiers", "arms", "augmentation", "assessment", "rehearsal", "compare"}
    ground = [*(ROOT / "counterpoise").glob("*.py"), *(ROOT / "counterpoise/codecs").glob("*.py")]
    for path in ground:
        if path.stem not in wings:
            assert not {name for name in imported(path) if name.split(".")[1:2] and name.split(".")[1] in wings}, path


def test_the_library_knows_nothing_of_the_stages():
    for path in (ROOT / "counterpoise").rglob("*.py"):
        assert not {name for name in imported(path) if name.startswith("stages")}, path
