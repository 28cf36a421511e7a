"""pretrained: the YAMNet that Google trained on AudioSet, where a parameter asks for it, and otherwise nothing."""

from counterpoise import params
from counterpoise.classifiers import audioset
from stages import PRETRAINED, nothing, prune, run


def main() -> None:
    p = params.load()
    if p.judge.embedding == "own" and (p.classifier.init == "scratch" or "yamnet" not in p.models):
        return nothing(PRETRAINED.parent, "no parameter asks for AudioSet's weights")
    prune(PRETRAINED.parent, keep=[])
    print(f"converting {p.yamnet.source}", flush=True)
    audioset.convert(p.yamnet.source, PRETRAINED)


if __name__ == "__main__":
    run(main)
