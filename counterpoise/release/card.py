"""The model card of a release, `README.md`: what the network is, how good, of what it was made, how it is used."""

from collections.abc import Sequence

import pandas as pd

from counterpoise.arms.arm import Arm
from counterpoise.core.audio import Audio
from counterpoise.datasets import esc50, urbansound8k
from counterpoise.evaluation.metrics import OF_CLASS, known, title
from counterpoise.release.choice import REACHED, Choice
from counterpoise.release.folder import About

UNDECIDED = "Whether it binds a network that learned from them is not decided here."
PARTITIONS = ("train", "val", "test")
SOURCES = {  # by `data.dataset`
    "dogs": "`dogs`: synthesised by small physical models of counterpoise. They are no recordings.",
    "own": f"`own`: sounds of whoever ran the pipeline. Their licence is yours to state. {UNDECIDED}",
    **{
        name: f"{archive.name} ({archive.homepage}). Licence: {archive.licence}. {UNDECIDED} "
        f"Please cite: {archive.citation}."
        for name, archive in (
            ("urbansound8k", urbansound8k.COLLECTION.archive),
            ("esc50", esc50.COLLECTION.archive),
        )
    },
}


def card(
    about: About,
    choice: Choice,
    how: Arm,
    audio: Audio,
    clips: pd.DataFrame,
    examples: pd.DataFrame,
    answer: dict,
    seeds: int,
    audioset: bool,
) -> str:
    """The text, in Markdown.

    Args:
        about: of the release.
        choice: why it is this network.
        how: its arm.
        audio: the form in which it hears.
        clips: the whole collection, `tables.SPLIT`.
        examples: what it learned from, `tables.EXAMPLES`.
        answer: `metrics/answer.json`.
        seeds: how many networks of this arm and model were trained.
        audioset: its body started from AudioSet's YAMNet.
    """
    names = ", ".join(about.labels.values())
    parts = [
        f"# {about.arm}-{about.model}\n",
        f"This network tells {len(about.labels)} kinds of sounds apart: {names}. counterpoise trained it. It is a "
        f"`{about.model}`, trained by the arm `{about.arm}` ({how.about}), with seed {about.seed}.\n",
        "## Use it\n",
        "```sh\ncounterpoise classify --from THIS_FOLDER sound.wav\ncounterpoise classify --help\n```\n",
        f"It hears {audio.seconds:g} s at {audio.sample_rate} Hz, {'mono' if audio.channels == 1 else 'stereo'}. The "
        "command brings other sounds into this form: it mixes channels, resamples, and pads short sounds with silence. "
        "It hears long sounds a window at a time.\n",
        _threshold(choice),
        "## Files\n",
        _rows(
            ("file", "what it holds"),
            [
                ("`model.safetensors`", "the weights"),
                ("`config.json`", "the network, its classes, the form of audio, the spectrogram"),
                ("`release.json`", "display names, training prior, threshold"),
            ],
        ),
        "The training prior is how frequent the network takes each class to be. To divide it out, divide each "
        "probability by its class's prior, then scale them so that they add up to 1.\n",
        _rows(
            ("class", "training prior"), [(about.labels[slug], f"{share:.3f}") for slug, share in about.prior.items()]
        ),
        "## What it learned from\n",
        SOURCES[about.dataset] + "\n",
        _origin(about, examples, audioset),
        _collection(about, clips, examples),
        "No recording is in two of the parts train, val and test.\n",
        "## How it was chosen\n",
        _choice(choice),
        "## How good it is\n",
        _scores(about, answer, seeds),
        "## Limits\n",
        *_limits(about, clips, choice),
    ]
    return "\n".join(parts)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _threshold(choice: Choice) -> str:
    if choice.threshold is None:
        return "There were no validation clips, so no threshold is known for sounds of none of the classes.\n"
    return (
        f"A sound whose largest probability is below {choice.threshold:.4f} may be none of the classes. {REACHED} % of "
        f"{choice.clips} validation clips reach this threshold. `--threshold` sets another, `--threshold none` takes "
        "it away.\n"
    )


def _origin(about: About, examples: pd.DataFrame, audioset: bool) -> str:
    made = int(examples.synthetic.sum())
    text = f"It trained on {len(examples) - made} real clips and {made} clips that were made from them.\n"
    if audioset:
        text += (
            "\nIts body started from Google's YAMNet, trained on AudioSet. Code and weights of that are under the "
            "Apache License 2.0.\n"
        )
    return text


def _collection(about: About, clips: pd.DataFrame, examples: pd.DataFrame) -> str:
    rows = []
    for slug, name in about.labels.items():
        own = clips[clips.label == slug]
        cells = []
        for part in PARTITIONS:
            inside = own[own.partition == part]
            cells.append(f"{len(inside)} / {inside.source_id.nunique()}")
        trained = examples[examples.label == slug]
        rows.append((name, *cells, str(int((~trained.synthetic).sum())), str(int(trained.synthetic.sum()))))
    head = ("class", *(f"{part}: clips / recordings" for part in PARTITIONS), "real in training", "made in training")
    return _rows(head, rows)


def _choice(choice: Choice) -> str:
    if choice.mean_ap is None:
        return (
            "There were no validation clips, so nothing was known of the networks when this one was taken. The rule "
            "for this case: the arm `none`, or the first arm without it; the first model; the first seed.\n"
        )
    return (
        "Validation clips alone decided. The arm and the model have the highest mean average precision (AP) over "
        "their seeds, then the highest macro-F1, then the first name. The seed is the best of these by the same "
        f"numbers. On {choice.clips} validation clips this seed has a mean AP of {choice.mean_ap:.3f} and a macro-F1 "
        f"of {choice.macro_f1:.3f}. These two numbers flatter, because they decided.\n"
    )


def _scores(about: About, answer: dict, seeds: int) -> str:
    scores = answer["scores"][about.model][about.arm]
    wide = f"{answer['level']:.0%}".replace("%", " %")
    of_all = known(rare="rare_ap" in scores)
    rows = [(title(name), _interval(scores[name])) for name in of_all if name in scores]
    classes = [
        (name, *(_interval(scores[f"{kind}/{slug}"]) for kind in OF_CLASS)) for slug, name in about.labels.items()
    ]
    return (
        f"On test clips, which had no say in training or choice: the mean of {seeds} seed(s) of `{about.arm}-"
        f"{about.model}`, with the {wide} interval. This network is one of them.\n\n"
        + _rows(("score", f"mean [{wide} interval]"), rows)
        + "\n"
        + _rows(("class", *(metric.title for metric in OF_CLASS.values())), classes)
    )


def _interval(score: list[float | None]) -> str:
    mean, low, high = ("?" if number is None else f"{number:.3f}" for number in score)
    return f"{mean} [{low}, {high}]"


def _limits(about: About, clips: pd.DataFrame, choice: Choice) -> list[str]:
    tested = clips[clips.partition == "test"]
    counts = {slug: int(tested[tested.label == slug].source_id.nunique()) for slug in about.labels}
    least = min(counts, key=lambda slug: counts[slug])
    lines = [
        "- It knows its classes and nothing else. It gives every sound the probabilities of these, speech and silence "
        "too.",
        "- The threshold was measured on sounds of the classes. How many other sounds stay below it was not measured.",
        "- Test recordings are of the same collection. Other microphones, rooms and places may be harder.",
        f"- The class with the fewest test recordings is {about.labels[least]}, with {counts[least]}.",
        "- A window with two sounds gets one answer.",
        "- Probabilities are those of the training prior, and may be too sure.",
    ]
    if about.dataset == "dogs":
        lines.append("- It has heard no real dog.")
    if choice.threshold is None:
        del lines[1]
    return [line + "\n" if line is lines[-1] else line for line in lines]
