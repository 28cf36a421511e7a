"""dvc.yaml against the code: a stage lists the code that it imports and the parameters that it reads, and no others."""

import ast
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pipeline
import pytest
import soundfile
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
STAGES, ARTIFACTS = PIPELINE["stages"], PIPELINE["artifacts"]
CODE = ("counterpoise", "stages")
LAZY = re.compile(r"\"(counterpoise(?:\.\w+)+):\w+\"")  # registries name classes as "module:class"


def body(stage: str) -> dict:
    """The stage itself, without `foreach` around it."""
    return STAGES[stage].get("do", STAGES[stage])


def code_deps(stage: str) -> list[str]:
    """The files and folders of code that a stage lists, with every arm in place of `${item.arm}`."""
    arms = sorted(
        path.stem for path in (ROOT / "counterpoise/arms").glob("*.py") if path.stem not in ("__init__", "arm")
    )
    listed = [dep for dep in body(stage)["deps"] if dep.split("/")[0] in CODE]
    return [dep.replace("${item.arm}", arm) for dep in listed for arm in (arms if "${item.arm}" in dep else [""])]


def covers(listed: str, path: str) -> bool:
    return path == listed or path.startswith(f"{listed}/")


def has_code(path: Path) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


# What is imported, by reading


def file_of(module: str) -> Path | None:
    for candidate in (ROOT / (module.replace(".", "/") + ".py"), ROOT / module.replace(".", "/") / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


def imported(path: Path) -> set[str]:
    """Our modules that a file names in its imports, wherever in the file they stand, but for those of types alone."""
    tree = ast.parse(path.read_text())
    types_alone = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set(LAZY.findall(path.read_text()))
    for node in ast.walk(tree):
        if node in types_alone:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in CODE and file_of(name)}


def needed(stage: str) -> set[str]:
    """Files of this repository that running the stage may import, transitively, packages' `__init__` included."""
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
def test_a_stage_lists_the_code_that_it_may_import_and_no_other(stage):
    listed, files = code_deps(stage), needed(stage)
    assert not [file for file in files if not any(covers(dep, file) for dep in listed)]
    arms_alone = [dep for dep in listed if dep.startswith("counterpoise/arms/") and dep != "counterpoise/arms/arm.py"]
    assert not [dep for dep in listed if dep not in arms_alone and not any(covers(dep, file) for file in files)]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_own_script(stage):
    assert body(stage)["cmd"].split()[:3] == ["python", "-m", f"stages.{stage}"]


def test_an_artifact_is_what_stages_leave_and_its_name_is_one_that_dvc_knows():
    from gto.constants import assert_name_is_valid

    outs = [out for stage in STAGES for out in body(stage)["outs"] if isinstance(out, str)]
    assert set(ARTIFACTS) == {"release", "denoisers", "base"}
    for name, artifact in ARTIFACTS.items():
        assert_name_is_valid(name)
        assert any(covers(artifact["path"], out) for out in outs), artifact["path"]


# What is imported and read, while the pipeline runs


class Record:
    """What the stages of two runs imported and read: by stage."""

    def __init__(self, *folders: Path) -> None:
        self.modules, self.read = {}, {}
        for path in [path for folder in folders for path in sorted(folder.glob("*.json"))]:
            one = json.loads(path.read_text())
            self.modules.setdefault(one["stage"], set()).update(one["modules"])
            self.read.setdefault(one["stage"], set()).update(one["read"])


@pytest.fixture(scope="session")
def record(first, contrast, tmp_path_factory) -> Record:
    """Two runs of the whole pipeline, and of single stages whatever else they may read."""
    repo = tmp_path_factory.mktemp("others") / "repo"
    shutil.copytree(first, repo, symlinks=True)
    others = repo.with_suffix(".record")

    def run(stage: str, *arguments: str, fails: bool = False, **sections: object) -> None:
        pipeline.change(repo, sections)
        command = (sys.executable, "-m", f"stages.{stage}", *arguments)
        pipeline.sh(*command, at=repo, fails=fails, record=others)

    table = repo / "data/split/all.csv"  # with four recordings of each class there are intervals to measure
    clips = pd.read_csv(table)
    table.unlink()
    clips.assign(source_id=clips.clip_id).to_csv(table, index=False)
    run("assess")
    run("train_class_filter", arms=["none"])
    shared = {"init": "shared", "base_steps": 2, "augmented": 1}
    run("train_base", diffusion=shared)
    run("train_diffusion", "bark", diffusion=shared)
    nowhere = {"source": "nowhere"}
    run("pretrained", fails=True, classifier={"init": "audioset"}, models=["yamnet"], yamnet=nowhere)
    run("download", fails=True, data={"dataset": "esc50", "path": "nowhere"})
    rng = np.random.default_rng(0)
    for number in range(18):
        path = repo / "data/own" / pipeline.CLASSES[number % 3] / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(8000), 8000)
    soundfile.write(repo / "data/unlabelled/0.wav", 0.1 * rng.standard_normal(8000), 8000)
    run("download", data={"dataset": "own", "path": "data/own", "max_seconds": 0.5, "clip_seconds": 0.5})
    run("download", fails=True, data={"labels": "pattern"})
    run("download", fails=True, data={"labels": "table", "table": "nowhere.csv"})
    (repo / "data/own/labels.csv").write_text("file,label\nbark/0.wav,bark\n")
    run("download", fails=True, data={"table": "labels.csv"})
    return Record(first.with_suffix(".record"), contrast.with_suffix(".record"), others)


def in_section(listed: str, key: str) -> bool:
    return key == listed or key.startswith(f"{listed}.")


def unlisted(stage: str, listed: list[str], record: Record) -> list[str]:
    """Parameters that a stage reads and does not list."""
    return sorted(key for key in record.read[stage] if not any(in_section(one, key) for one in listed))


def missing(deps: list[str], stage: str, record: Record) -> list[str]:
    """Modules that a stage imports and whose folder it does not list."""
    with_code = [file for file in record.modules[stage] if has_code(ROOT / file)]
    return sorted(file for file in with_code if not any(covers(dep, file) for dep in deps))


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "check"])
def test_a_stage_lists_the_parameters_that_it_reads_and_no_others(stage, record):
    listed = body(stage)["params"]
    assert not unlisted(stage, listed, record)
    for planted in listed:
        others = [one for one in listed if one != planted]
        assert unlisted(stage, others, record), f"{planted} is listed, and is never read"


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_folders_that_it_imports(stage, record):
    deps = code_deps(stage)
    assert not missing(deps, stage, record)
    script = f"stages/{stage}.py"
    assert script in missing([dep for dep in deps if dep != script], stage, record)


@pytest.mark.slow
def test_check_lists_every_section():
    assert set(body("check")["params"]) == set(YAML(typ="safe").load((ROOT / "params.yaml").read_text()))


# The house


def test_the_library_knows_nothing_of_the_stages():
    for path in (ROOT / "counterpoise").rglob("*.py"):
        assert not {name for name in imported(path) if name.startswith("stages")}, path


def test_rooms_import_in_one_direction():
    rooms: dict[str, set[str]] = {}
    for path in (ROOT / "counterpoise").rglob("*.py"):
        room = path.relative_to(ROOT / "counterpoise").parts[0]
        named = {name.split(".")[1] for name in imported(path) if name.count(".")}
        rooms.setdefault(room, set()).update(named - {room})
    free = set(rooms)
    while free:
        ground = {room for room in free if not rooms.get(room, set()) & free}
        assert ground, f"these rooms import each other in a circle: {sorted(free)}"
        free -= ground
