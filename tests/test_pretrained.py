"""The stage that converts AudioSet's weights, and the folder that DVC's cache gives others."""

import shutil
from pathlib import Path

import pytest
import random_yamnet
from ruamel.yaml import YAML

from counterpoise.embeddings.yamnet import AudioSetError, load_audioset
from stages import pretrained
from stages.base import paths

ROOT = Path(__file__).parent.parent


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Runs the stage in a folder of its own, with these values in params.yaml."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(**sections: dict) -> list[str]:
        yaml = YAML()
        params = yaml.load(tmp_path / "params.yaml")
        for name, values in sections.items():
            params[name] = values if isinstance(values, list) else {**params[name], **values}
        yaml.dump(params, tmp_path / "params.yaml")
        pretrained.main()
        return [path.name for path in (tmp_path / "models/pretrained").iterdir()]

    return run


def test_without_need_the_folder_says_so_and_no_source_is_looked_for(workspace):
    assert workspace(yamnet={"source": "nowhere"}) == ["nothing.txt"]
    assert workspace(classifier={"init": "audioset"}, models=["cnn"]) == ["nothing.txt"]


@pytest.mark.parametrize(
    "needs",
    [{"classifier": {"init": "audioset"}, "models": ["cnn", "yamnet"]}, {"class_filter": {"embedding": "audioset"}}],
)
def test_weights_are_converted_where_a_parameter_asks_for_them(workspace, tmp_path, needs):
    source = random_yamnet.write(tmp_path / "converted.safetensors")
    assert workspace(yamnet={"source": str(source)}, **needs) == ["yamnet.safetensors"]
    load_audioset(paths.PRETRAINED)
    # Nothing stale is left
    assert workspace(class_filter={"embedding": "own"}, classifier={"init": "scratch"}) == ["nothing.txt"]


def test_a_missing_source_stops_the_stage(workspace):
    with pytest.raises(AudioSetError, match="nowhere does not exist; yamnet.source is an address"):
        workspace(yamnet={"source": "nowhere"}, class_filter={"embedding": "audioset"})
