"""pretrained: the YAMNet that Google trained on AudioSet, where a parameter asks for it; otherwise an empty folder."""

from counterpoise import params
from counterpoise.classifiers import audioset
from stages import PRETRAINED, prune, run


def main() -> None:
    p = params.load()
    PRETRAINED.parent.mkdir(parents=True, exist_ok=True)
    prune(PRETRAINED.parent, keep=[])
    if p.judge.embedding == "audioset" or (p.classifier.init == "audioset" and "yamnet" in p.models):
        print(f"converting {p.yamnet.source}", flush=True)
        audioset.convert(p.yamnet.source, PRETRAINED)
    else:
        print("no parameter asks for AudioSet's weights")


if __name__ == "__main__":
    run(main)
