"""What an exported model says of itself: text by text, as ONNX keeps it."""

import json

from counterpoise.core.audio import Audio
from counterpoise.core.windows import Windows
from counterpoise.inference.classify import Classifier
from counterpoise.release.folder import About


def metadata(classifier: Classifier, about: About | None, commit: str | None) -> dict[str, str]:
    """The entries, each a text; lists and mappings are JSON.

    `labels` is in the order of the outputs. `names` and `prior` are by label. `sample_rate` is in Hz. What is not known
    has no entry: `threshold` without validation clips, `prior`, `arm`, `model`, `seed` and `dataset` without a
    `release.json`, `commit` outside of git.

    Args:
        classifier: which is exported.
        about: of its release, if it has one.
        commit: the workspace's.
    """
    form: Audio = classifier.audio
    entries: dict[str, object] = {
        "labels": classifier.labels,
        "names": classifier.names,
        "sample_rate": form.sample_rate,
        "channels": form.channels,
        "window_seconds": form.seconds,
        "hop_seconds": Windows.of(form.seconds, form.sample_rate).hop / form.sample_rate,
        "threshold": classifier.threshold,
        "commit": commit,
    }
    if about is not None:
        entries |= {
            "prior": about.prior,
            "arm": about.arm,
            "model": about.model,
            "seed": about.seed,
            "dataset": about.dataset,
        }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in entries.items()
        if value is not None
    }
