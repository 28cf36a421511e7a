"""What DVC says of the pipeline: its stages, which need which, which have changed, and their order in dvc.lock."""

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.running import RunError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

PIPELINE = "dvc.yaml"


class Dag:
    """A pipeline, or what some of its stages need. Made by :func:`read`.

    Attributes:
        order: the names of its stages, in the order in which `dvc repro` goes through them.
        needs: the stages of each that come directly before it.
    """

    def __init__(self, repo: "Repo", stages: "list[Stage]", needs: dict[str, set[str]]) -> None:
        self._repo = repo
        self._stages = {stage.addressing: stage for stage in stages}
        self.order = list(self._stages)
        self.needs = needs
        self._left = Left(repo, stages)

    def needed_by(self, name: str) -> list[str]:
        """All stages that cannot run without this one, in order."""
        found = {name}
        for other in self.order:
            if self.needs[other] & found:
                found.add(other)
        return [other for other in self.order if other in found - {name}]

    def before(self, name: str) -> list[str]:
        """All stages that this one needs, however many lie between, in order."""
        found = {name}
        for other in reversed(self.order):
            if other in found:
                found |= self.needs[other]
        return [other for other in self.order if other in found - {name}]

    def waves(self, names: Iterable[str]) -> list[list[str]]:
        """These stages by when they can run: those of one wave need none of each other."""
        wave: dict[str, int] = {}
        for name in self.order:
            if name in set(names):
                wave[name] = 1 + max((wave[other] for other in self.needs[name] if other in wave), default=-1)
        return [[name for name, at in wave.items() if at == n] for n in range(max(wave.values(), default=-1) + 1)]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of DVC off the workspace, which :meth:`changed` asks for."""
        from dvc.repo import lock_repo

        with _told(), lock_repo(self._repo):
            yield

    def changed(self, name: str) -> bool:
        """Whether `dvc repro` would run this stage, as its inputs and outputs are now."""
        return bool(self._stages[name].changed())

    def changed_since(self, name: str) -> bool:
        """Whether what dvc.lock says now of a stage is not what lies here."""
        (stage,) = self._repo.stage.collect(name)
        return bool(stage.changed())

    def uncached(self, name: str) -> tuple[str, ...]:
        """The outputs of a stage that DVC does not keep in its cache, by their paths from its dvc.yaml."""
        return tuple(out.def_path for out in self._stages[name].outs if not out.use_cache)

    def record(self, name: str, entry: dict) -> None:
        """Write into dvc.lock what ran elsewhere."""
        with self.locked():
            self._left.add(self._stages[name], entry)

    def begin(self) -> None:
        """Note the order of dvc.lock before anything runs."""
        self._left.begin()

    def end(self, finished: bool) -> None:
        """Bring what was added to dvc.lock into the order of a serial `dvc repro`.

        Args:
            finished: nothing is left to run. Otherwise the next run goes on with the order noted before this one.
        """
        with self.locked():
            self._left.end(finished)

    @property
    def folder(self) -> Path:
        """For what is remembered between runs. Git ignores it."""
        return self._left.folder


@contextlib.contextmanager
def read(targets: list[str]) -> Iterator[Dag]:
    """Open the workspace's repository.

    Args:
        targets: stages as `dvc repro` takes them, which are run with all that they need; none: all of dvc.yaml.

    Raises:
        RunError: this is no repository of DVC, dvc.yaml has a mistake, or there is no such stage.
    """
    from dvc.repo import Repo, lock_repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with _told(), Repo(_wait_for_lock=True) as repo:
        with lock_repo(repo):
            stages = collect_stages(repo, targets or [PIPELINE])
            graph = get_active_graph(repo.index.graph)
            plan = plan_repro(graph, stages)
            needs = {stage.addressing: {other.addressing for other in graph.successors(stage)} for stage in plan}
        yield Dag(repo, plan, needs)


class Left:
    """The order in which dvc.lock lists stages.

    DVC adds a new stage at the end. Stages that end in another order than serially would therefore leave another file,
    and a run that was killed would, too. So the order before the run is noted, and what comes after is sorted at the
    end.
    """

    def __init__(self, repo: "Repo", stages: "list[Stage]") -> None:
        self.folder = Path(repo.tmp_dir) / "counterpoise"
        self._note = self.folder / "order.json"
        self._root = Path(repo.root_dir)
        self._begun = False
        self._names: dict[str, list[str]] = {}  # of each lock file below the root, as a serial run would add them
        for stage in stages:
            if name := getattr(stage, "name", None):
                lock = Path(stage.path).with_suffix(".lock").relative_to(self._root)
                self._names.setdefault(lock.as_posix(), []).append(name)

    def begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        known = json.loads(self._note.read_text()) if self._note.exists() else {}
        before = {}
        for lock in self._names:
            now, earlier = self._listed(lock), known.get(lock)
            before[lock] = earlier if earlier is not None and now[: len(earlier)] == earlier else now
        self.folder.mkdir(parents=True, exist_ok=True)
        self._note.write_text(json.dumps(before))

    def end(self, finished: bool) -> None:
        if not self._note.exists():
            return
        before = json.loads(self._note.read_text())
        for lock, names in self._names.items():
            added = self._listed(lock)[len(before.get(lock, [])) :]
            wanted = sorted(added, key=lambda name: names.index(name) if name in names else -1)
            if added != wanted:
                with _edited(self._root / lock) as content:
                    for name in wanted:
                        content["stages"].move_to_end(name)
        if finished:
            self._note.unlink()

    def add(self, stage: "Stage", entry: dict) -> None:
        with _edited(Path(stage.path).with_suffix(".lock")) as content:
            if not content:
                content["schema"] = "2.0"
            content.setdefault("stages", {})[getattr(stage, "name", "")] = entry

    def _listed(self, lock: str) -> list[str]:
        from dvc.utils.serialize import load_yaml

        path = self._root / lock
        return list(load_yaml(str(path)).get("stages") or {}) if path.exists() else []


@contextlib.contextmanager
def _edited(lock: Path) -> Iterator[dict]:
    """Change a lock file as DVC does, and never leave half of one where the process is killed."""
    from dvc.utils.serialize import modify_yaml

    beside = lock.with_name(f"{lock.name}.new")
    beside.write_bytes(lock.read_bytes() if lock.exists() else b"")
    with modify_yaml(str(beside)) as content:
        yield content
    os.replace(beside, lock)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """DVC's errors as ours."""
    from dvc.exceptions import DvcException

    try:
        yield
    except DvcException as error:
        raise RunError(f"{error}. `dvc status` may say more.") from error
