"""pretrained: the YAMNet that Google trained on AudioSet, where a parameter asks for it, and otherwise nothing."""

from counterpoise.classifiers.settings import Classifier
from counterpoise.core.settings import File
from counterpoise.embeddings import audioset
from counterpoise.embeddings.settings import Yamnet
from counterpoise.filtering.settings import ClassFilterSettings
from stages.base import paths
from stages.base.work import nothing, prune, run, tell


class Params(File):
    class_filter: ClassFilterSettings
    classifier: Classifier
    models: list[str]
    yamnet: Yamnet


def main() -> None:
    p = Params.read()
    if p.class_filter.embedding == "own" and (p.classifier.init == "scratch" or "yamnet" not in p.models):
        return nothing(paths.PRETRAINED.parent, "no parameter asks for AudioSet's weights")
    prune(paths.PRETRAINED.parent, keep=[])
    print(f"converting {p.yamnet.source}", flush=True)
    audioset.convert(p.yamnet.source, paths.PRETRAINED)
    tell(paths.PRETRAINED, "YAMNet with AudioSet's weights")


if __name__ == "__main__":
    run(main)
