"""Where bits come from is written beside a model, gathered, and compared with this machine."""

import json

import pytest
import torch
from ruamel.yaml import YAML
from settings import settings_of

from counterpoise.core import origin
from counterpoise.core.runtime import Runtime
from counterpoise.trust import command

CPU = torch.device("cpu")


def test_a_description_is_the_same_every_time_and_names_what_numbers_depend_on(tmp_path):
    settings = settings_of(Runtime, precision="fp32", threads=1)
    for name in ("a", "b"):
        origin.write(tmp_path / name, settings, CPU)
    assert (tmp_path / "a/machine.json").read_bytes() == (tmp_path / "b/machine.json").read_bytes()
    about = json.loads((tmp_path / "a/machine.json").read_text())
    assert about["torch"] == torch.__version__.partition("+")[0] or about["torch"] == torch.__version__
    assert about["denoisers"] == about["classifiers"] == "fp32" and about["threads"] == 1


@pytest.mark.parametrize("tiles", [True, False])
def test_amx_changes_the_precision_of_denoisers_alone(monkeypatch, tiles):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_tile": tiles})
    about = origin.describe(settings_of(Runtime, precision="auto"), CPU)
    assert about["denoisers"] == ("bf16" if tiles else "fp32") and about["classifiers"] == "fp32"
    assert ("AMX" in about["processor"]) == tiles


def test_models_are_gathered_by_what_made_them_and_told_where_it_was_not_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_of(Runtime, device="cpu")
    YAML().dump({"runtime": settings.model_dump()}, tmp_path / "params.yaml")
    for name in ("base", "bark", "howl"):
        origin.write(tmp_path / name, settings, CPU)
    elsewhere = json.loads((tmp_path / "howl/machine.json").read_text()) | {"processor": "Z80"}
    (tmp_path / "howl/machine.json").write_text(json.dumps(elsewhere))
    folders = {name: tmp_path / name for name in ("base", "bark", "howl", "nowhere")}
    machines = origin.collect(folders)
    assert [machine["made"] for machine in machines] == [["base", "bark"], ["howl"]]
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/machine.json").write_text(json.dumps(machines))
    (line,) = command.elsewhere()
    assert line.startswith("made elsewhere: 1 model (howl …): processor Z80 there, ")
