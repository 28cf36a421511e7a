"""The documents against the repository: links lead somewhere; what is said of parameters, stages and rooms is so."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
PARAMETERS = ROOT / "docs/parameters.md"
PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
# The user names the keys below these.
FREE = ("classes", "data.limit", "data.columns", "aug.per_class", "ensembles.systems")
FILES = (".py", ".yaml", ".json", ".csv", ".md", ".lock", ".toml", ".safetensors", ".txt", ".png")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its blocks of code, which hold no links."""
    return re.sub(r"(?ms)^```.*?^```$", "", text(page))


def ids(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: list[str] = []
    for heading in re.findall(r"(?m)^#+ +(.+?)\s*$", prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = (c for c in plain if c in "-_ " or unicodedata.category(c)[0] in "LN")
        found.append("".join(kept).replace(" ", "-"))
    return {name if not found[:i].count(name) else f"{name}-{found[:i].count(name)}" for i, name in enumerate(found)}


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures, within the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def broken(page: Path, target: str) -> str | None:
    """What is wrong with a link, or None."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: there is no {path}"
    if anchor and anchor not in anchors(file):
        return f"{target}: {file.name} has no such heading; there are {', '.join(sorted(anchors(file)))}"
    return None


def leaves(values: object, key: str = "") -> Iterator[str]:
    """The dotted keys of all values."""
    if isinstance(values, dict) and key not in FREE:
        for name, value in values.items():
            yield from leaves(value, f"{key}.{name}" if key else name)
    else:
        yield key


def exists(key: str) -> bool:
    """Whether params.yaml has this key, a section or a value; below the user's own mappings, all may be there."""
    if any(key.startswith(f"{free}.") for free in FREE):
        return True
    return any(leaf == key or leaf.startswith(f"{key}.") for leaf in leaves(PARAMS))


def named_keys(page: Path) -> set[str]:
    """Dotted keys of params.yaml that a page names in backticks, also in `key: value` and `-S key=value`."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    blocks = re.findall(r"(?ms)^```.*?^```$", text(page))
    words = [re.match(r"'?([a-z_0-9.]+)", span) for span in spans]
    found = {word[1] for word in words if word and word[1].partition(".")[0] in PARAMS}
    for block in [*spans, *blocks]:
        found |= set(re.findall(r"(?:-S |--x |[ '\[])((?:[a-z_0-9]+\.)+[a-z_0-9]+)(?==)", block))
        found |= set(re.findall(r"--x ([a-z_0-9.]+)", block))
    keys = {key for key in found if "." in key and key.partition(".")[0] in PARAMS}
    return {key for key in keys if not key.endswith(FILES)}


def readers() -> dict[str, set[str]]:
    """By leaf of params.yaml: the stages of dvc.yaml that read it, but for `check`, which reads all."""
    bodies = {stage: body.get("do", body) for stage, body in STAGES.items() if stage != "check"}
    return {
        leaf: {
            stage
            for stage, body in bodies.items()
            if any(leaf == key or leaf.startswith(f"{key}.") for key in body["params"])
        }
        for leaf in leaves(PARAMS)
    }


def documented_readers() -> dict[str, set[str]]:
    """The same, as docs/parameters.md has it in lines such as "- `aug.factor` → `balance`"."""
    lines = re.findall(r"(?m)^- ((?:.+\n)(?:  .+\n)*)", text(PARAMETERS))
    rules: list[tuple[str, set[str]]] = []
    for line in (line for line in lines if "→" in line):
        keys, _, stages = line.partition("→")
        rules += [(key, set(re.findall(r"`([^`]+)`", stages))) for key in re.findall(r"`([^`]+)`", keys)]
    found = {}
    for leaf in leaves(PARAMS):
        fitting = [(key, stages) for key, stages in rules if leaf == key or leaf.startswith(f"{key}.")]
        found[leaf] = max(fitting, key=lambda rule: len(rule[0]), default=("", set()))[1]
    return found


def test_there_are_pages():
    assert len(PAGES) >= 9
    assert sum(len(links(page)) for page in PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_between_pages_lead_somewhere(page):
    assert not [problem for target in links(page) if (problem := broken(page, target))]


def test_a_broken_link_is_told():
    page = ROOT / "README.md"
    assert broken(page, "docs/nowhere.md")
    assert broken(page, "docs/data.md#nowhere")
    assert broken(page, "#nowhere")
    assert not broken(page, "docs/data.md#duplicates")


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_parameters_that_a_page_names_exist(page):
    assert not sorted(key for key in named_keys(page) if not exists(key))


def test_every_parameter_is_described():
    described = set(re.findall(r"(?m)^\| `([a-z_0-9.]+)` \|", text(PARAMETERS)))
    headed = set(re.findall(r"(?m)^## ([a-z_0-9]+)$", text(PARAMETERS)))
    assert headed >= set(PARAMS)
    assert described == {leaf for leaf in leaves(PARAMS) if "." in leaf}


def test_every_section_says_who_reads_it():
    said, true = documented_readers(), readers()
    assert {leaf: sorted(stages) for leaf, stages in said.items()} == {
        leaf: sorted(stages) for leaf, stages in true.items()
    }


def test_every_stage_has_its_row():
    table = text(ROOT / "docs/how-it-works.md").partition("## Stages")[2].partition("\n## ")[0]
    assert re.findall(r"(?m)^\| `(\w+)", table) == list(STAGES)
    drawing = text(ROOT / "docs/architecture.md").partition("## The stages")[2].partition("\n## ")[0]
    assert not [stage for stage in STAGES if not re.search(rf"\b{stage}\b", drawing)]


def test_every_arm_has_its_row():
    table = text(ROOT / "docs/how-it-works.md").partition("## Arms")[2].partition("\n## ")[0]
    arms = {path.stem for path in (ROOT / "counterpoise/arms").glob("*.py")} - {"__init__", "arm"}
    assert set(re.findall(r"(?m)^\| `(\w+)`", table)) == arms


def test_every_room_has_its_row():
    table = text(ROOT / "docs/architecture.md").partition("## The rooms")[2].partition("\n## ")[0]
    rooms = {path.parent.name for path in (ROOT / "counterpoise").glob("*/__init__.py")}
    assert set(re.findall(r"(?m)^\| `(\w+)/`", table)) == rooms


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_of_the_repository_that_a_page_names_exist(page):
    if page.name == "CHANGELOG.md":  # names what was
        return
    named = re.findall(r"`((?:counterpoise|stages|tests|presets|benchmarks|docs)/[\w./-]*)`", prose(page))
    assert not [name for name in named if not (ROOT / name).exists()]
    modules = re.findall(r"python -m (benchmarks\.\w+)", text(page))
    assert not [name for name in modules if not (ROOT / (name.replace(".", "/") + ".py")).exists()]


def test_where_is_what_names_files_and_names_that_exist():
    table = text(ROOT / "README.md").partition("## Where is what")[2].partition("\n## ")[0]
    spans = re.findall(r"`([^`]+)`", table)
    assert len(spans) > 30
    paths = [span for span in spans if "/" in span]
    assert not [path for path in paths if not (ROOT / path).exists()]
    modules = {path.name: path for path in (ROOT / "counterpoise").rglob("*.py")}
    assert not [span for span in spans if re.fullmatch(r"\w+\.py", span) and span not in modules]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "counterpoise").rglob("*.py"))
    constants = [span for span in spans if re.fullmatch(r"[A-Z_]+", span)]
    assert not [name for name in constants if not re.search(rf"(?m)^{name}\b.*=", code)]
