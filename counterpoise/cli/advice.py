"""What to look at before a run: each advice says what is so, why it matters, and what to set. None stops anything."""

import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from counterpoise.cli.params import Params
from counterpoise.cli.proposals import ENCODEC, round_up
from counterpoise.codecs.settings import NEAR, CodecSettings
from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.naming import printable
from counterpoise.datasets import intake, summary, survey
from counterpoise.datasets.duplicates import Duplicates
from counterpoise.datasets.listing import Remark
from counterpoise.datasets.survey import Survey
from counterpoise.splits import balance, split

NAMED = 3  # files that an advice names
LOST = 0.05  # a larger share of all sound that denoisers do not hear is worth an advice
AT_ONCE = 0.5  # and so is it where a window holds less of all sound, or of a class's
PADDED = 0.5  # a larger share of padding is
LONGEST = 60.0  # s, the largest audio.seconds
WIDER = 32000  # Hz, the rate that is advised where classes may differ above what is heard


@dataclass(frozen=True)
class Advice(Remark):
    """One thing to look at.

    Attributes:
        stops: the stage that will stop for it; None where the run goes on.
    """

    stops: str | None = None


def partitioned(p: Params, found: Survey) -> tuple[pd.DataFrame, list[Advice]]:
    """Who would train and who would be held out, as far as headers tell.

    Returns:
        The clips, columns `tables.SPLIT`; every `partition` is "" where the stages would stop before they say it. And
        advice on where they would stop.
    """
    clips = found.admitted.clips
    nothing = clips.assign(partition="")
    if clips.empty:
        return nothing, []
    try:
        intake.check_classes(found.files, clips, found.admitted.rejected)
    except CounterpoiseError as error:
        return nothing, [_stop("vanished", error, "download", "The stage download would stop.")]
    try:
        clips = survey.deal(clips, p.data)
    except CounterpoiseError as error:
        return nothing, [_stop("folds", error, "download", "The stage download would stop.")]
    try:
        clips = clips.assign(partition=split.partition(clips, p.split, p.data))
        split.check_folds(clips.fold, p.split)
    except CounterpoiseError as error:
        return nothing, [_stop("folds", error, "split", "The stage split would stop.")]
    try:
        split.check_amounts(clips, clips.partition, list(p.classes), p.data.min_recordings, p.split)
    except CounterpoiseError as error:
        settings = split.way_out(clips, list(p.classes), p.data.min_recordings, p.split)[1]
        return clips, [replace(_stop("amounts", error, "split", "The stage split would stop."), settings=settings)]
    return clips, []


def rare(p: Params, clips: pd.DataFrame) -> list[str]:
    """The rare classes by the rule of :mod:`counterpoise.splits.balance`: of training clips where these are known.

    Args:
        clips: as of :func:`partitioned`.
    """
    training = clips[clips.partition.isin(["train", ""])]
    amounts = training.label.value_counts()
    return balance.rare_classes({label: int(amounts.get(label, 0)) for label in p.classes}, p.data.scarce.classes)


def advise(p: Params, found: Survey, clips: pd.DataFrame, stops: list[Advice]) -> list[Advice]:
    """All else that is worth a look.

    Args:
        clips, stops: as of :func:`partitioned`; of classes for which a stage will stop nothing less is said.
    """
    short = {line.partition(":")[0] for one in stops for line in one.details}
    advice = [*_intake(p, found), *_not_in_table(found), *_overlaps(found), *_unlabelled(p, found)]
    for one in found.listed.remarks:
        settings = {} if _is_set(p, one.settings) else one.settings
        if settings or not one.settings:
            advice.append(Advice(one.about, one.what, one.why, one.do, one.details, settings))
    if found.listed.others:
        there = ", ".join(printable(name) for name in found.listed.others)
        advice.append(
            Advice(
                "left_out",
                f"{len(found.listed.others)} class(es) of {p.data.path} are not in params.yaml: {there}.",
                "Their files are passed over.",
                "`make use PRESET=own` writes all classes into params.yaml, or leave it so.",
            )
        )
    if not clips.empty:
        advice += [*_lengths(p, clips), *_middles(p, clips)]
        advice += [*_low_rates(p, clips), *_narrow_codec(p), *_channels(p, clips)]
        advice += [*_recordings(p, found), *_folds(p, clips, short), *_classes(p, clips, short)]
        advice += _narrow_hearing(p, clips)
    return advice


def codec_top(codec: CodecSettings) -> float | None:
    """The highest frequency that a codec keeps, in Hz; None where its name does not tell."""
    if codec.name == "mel":
        return min(codec.mel.f_max, codec.mel.sample_rate / 2)
    rate = ENCODEC.get(codec.name)
    return rate / 2 if rate else None


def codec_channels(codec: CodecSettings) -> int:
    """How many channels a codec keeps."""
    return 2 if codec.name == "encodec_48khz" else 1


def command(settings: dict[str, object]) -> list[str]:
    """The words of the command that runs the pipeline with these values: `dvc exp run`, `-S key=value`, ..."""
    return ["dvc exp run", *(f"-S {_override(key, value)}" for key, value in settings.items())]


def _override(key: str, value: object) -> str:
    """One value as `dvc exp run -S` takes it, quoted for a shell where it has to be."""
    if isinstance(value, str) and not re.fullmatch(r"[\w./-]+", value):
        inner = value.replace("\\", "\\\\").replace("'", "\\'") if "'" in value else value
        return shlex.quote(f"{key}='{inner}'")
    return f"{key}={'null' if value is None else value}"


def _is_set(p: Params, settings: dict[str, object]) -> bool:
    """Whether params.yaml has these values already."""
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if getattr(getattr(p, section), name) != value:
            return False
    return bool(settings)


def _stop(about: str, error: CounterpoiseError, stage: str, why: str) -> Advice:
    """What a stage would say when it stops: its first line, those that follow, and what to do."""
    first, *details = str(error).splitlines()
    if details:
        do = details.pop()
    else:
        first, _, do = first.rpartition(". ")
        first += "."
    do = do.removesuffix("; then run `dvc repro`.").rstrip(".") + "."
    lines = tuple(line.strip() for line in details)
    return Advice(about, first.removesuffix(" Reasons:").rstrip(":.") + ".", why, do, lines, stops=stage)


# Which files


def _intake(p: Params, found: Survey) -> Iterator[Advice]:
    for where, admitted, total in (
        ("path", found.admitted, len(found.files)),
        ("unlabelled", found.added, found.added_files),
    ):
        rejected = admitted.rejected
        if rejected.empty:
            continue
        try:
            intake.check_share(rejected.to_dict("records"), total, p.data.max_rejected, where)
        except CounterpoiseError as error:
            yield _stop("rejected", error, "download", "The stage download would stop.")
            continue
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in rejected.kind.value_counts().items())
        root = printable(getattr(p.data, where).rstrip("/")) + "/"
        lines = [f"{row.path.removeprefix(root)}: {row.reason}" for row in rejected.head(NAMED).itertuples()]
        more = [f"and {len(rejected) - NAMED:,} more"] if len(rejected) > NAMED else []
        yield Advice(
            "rejected",
            f"{len(rejected):,} of {total:,} files below data.{where} cannot be used: {kinds}.",
            "The run goes on without them, and names them in data/rejected.csv.",
            "Mend them, or leave it so.",
            (*lines, *more),
        )


def _not_in_table(found: Survey) -> Iterator[Advice]:
    passed_over = found.listed.passed_over
    unlisted = passed_over[passed_over.reason.str.startswith("not in the table")]
    if len(unlisted):
        yield Advice(
            "not_in_table",
            f"{len(unlisted):,} sound files are in no row of data.table.",
            "They are passed over, and data/rejected.csv names them.",
            "Add rows for them, or leave it so.",
            tuple(unlisted.path.head(NAMED)),
        )


def _overlaps(found: Survey) -> Iterator[Advice]:
    if len(noted := found.listed.noted):
        yield Advice(
            "overlaps",
            f"In {len(noted):,} files events of different classes overlap.",
            "Each such clip holds sound of the other class, too.",
            "Leave such rows out, or leave it so.",
            tuple(f"{row.path}: {row.note}" for row in noted.head(NAMED).itertuples()),
        )


def _unlabelled(p: Params, found: Survey) -> Iterator[Advice]:
    if len(found.added.clips) and p.diffusion.mode == "per_class" and p.diffusion.init == "scratch":
        yield Advice(
            "unlabelled",
            f"data.unlabelled holds {found.added_files:,} sound files, and diffusion.init is scratch.",
            "Only the shared base learns from them, and there is none then.",
            "Set diffusion.init to shared.",
            settings={"diffusion.init": "shared"},
        )


# Who is held out


def _recordings(p: Params, found: Survey) -> Iterator[Advice]:
    if not found.alone or any(one.about in ("groups", "source") for one in found.listed.remarks):
        return
    total = len(found.files)
    which = "Every file counts" if found.alone == total else f"{found.alone:,} of {total:,} files count"
    yield Advice(
        "recordings",
        f"{which} as its own recording." if found.alone == total else f"{which} as their own recordings.",
        "If several were cut from one, they may train and be tested at once, and scores come out too high.",
        "If so, name recordings by data.source_pattern, data.pattern's group `source`, or a column of data.table.",
    )


def _folds(p: Params, clips: pd.DataFrame, short: set[str]) -> Iterator[Advice]:
    if not (clips.partition != "").all():
        return
    held_out = clips[clips.partition == "val"]
    if held_out.empty:
        yield Advice(
            "validation",
            "No clip is held out for validation.",
            "Then `none` is released, no denoiser stops early, and systems with denoisers are left out.",
            "Set split.val_fold to a fold, or hold out some recordings.",
            settings={"split.val_fold": None, "split.val_fraction": 0.1},
        )
    elif without := [label for label in p.classes if label not in {*held_out.label, *short}]:
        yield Advice(
            "validation",
            f"No validation clip of {_some(without)}.",
            "Nothing then says when their denoisers are good enough, nor which network knows them best.",
            f"{'Raise split.val_fraction' if p.split.val_fold is None else 'Choose another split.val_fold'}, or add "
            "recordings.",
        )


def _classes(p: Params, clips: pd.DataFrame, short: set[str]) -> Iterator[Advice]:
    if not (clips.partition != "").all():
        return
    none = (tables.table([], columns) for columns in (tables.REJECTED, tables.MENDED, tables.DUPLICATES, tables.SPLIT))
    rejected, mended, pairs, without = none
    numbers = summary.describe(clips, clips.partition, rejected, mended, Duplicates(pairs), without)
    doubts = [line for line in numbers["warnings"] if line.partition(":")[0] not in short]
    if doubts:
        yield Advice(
            "doubts",
            f"Scores of {_some(list(dict.fromkeys(line.partition(':')[0] for line in doubts)))} will be doubtful.",
            "metrics/data.json will say so, too.",
            "Add recordings, or take a class out of `classes`.",
            tuple(doubts),
        )
    if not rare(p, clips):
        yield Advice(
            "balance",
            "No class is rare: each has at least half of the largest one's training clips.",
            "There is little to balance, and nothing for the headlines about rare classes.",
            "To make some rare, name them in data.scarce.classes and set data.scarce.limit.",
        )


# What is heard of a clip


def _lengths(p: Params, clips: pd.DataFrame) -> Iterator[Advice]:
    window = p.audio.seconds
    every = survey.lengths(clips.seconds, window)
    if every is None:
        return
    of_class = [(label, survey.lengths(own.seconds, window)) for label, own in clips.groupby("label")]
    partly = [(label, one) for label, one in of_class if one is not None and one.at_once < AT_ONCE]
    partly.sort(key=lambda item: item[1].at_once)
    if every.at_once < AT_ONCE or partly:
        most = max([every.most, *(one.most for _, one in partly)])
        more = [(label, one) for label, one in partly if one.at_once < every.at_once - LOST]
        value = min(LONGEST, round_up(most))
        yield Advice(
            "length",
            f"{_of(every.longer, clips)} longer than audio.seconds ({window:g}): a window holds {every.at_once:.0%} of "
            "all sound.",
            "Nothing is lost: training draws windows at random, and a score is the mean over all windows of a clip. "
            "But a window may miss what a label is about.",
            f"If that can be so, set audio.seconds to {value:g}, "
            + ("which holds 95% of the clips whole" if value >= most else "the most that is allowed")
            + f"; classifiers train {value / window:.2g} times as long then.",
            tuple(f"{label}: a window holds {one.at_once:.0%} of its sound" for label, one in more[:NAMED]),
            {"audio.seconds": value},
        )
    elif every.padding > PADDED and (value := round_up(every.most)) < window:
        yield Advice(
            "padding",
            f"{every.padding:.0%} of what classifiers hear is padding: the median clip has {every.median:.3g} s, and "
            f"audio.seconds is {window:g}.",
            "Silence costs as much time as sound.",
            f"Set audio.seconds to {value:g}, which holds 95% of the clips whole.",
            settings={"audio.seconds": value},
        )


def _middles(p: Params, clips: pd.DataFrame) -> Iterator[Advice]:
    classifier = p.diffusion_classifier
    heard = None if classifier.seconds is None else survey.lengths(clips.seconds, classifier.seconds)
    if classifier.denoisers != "none" and heard is not None and 1 - heard.at_once > LOST:
        yield Advice(
            "denoiser_seconds",
            f"{_of(heard.longer, clips)} longer than diffusion_classifier.seconds ({classifier.seconds:g}): denoisers "
            f"hear {heard.at_once:.0%} of all sound.",
            "They hear the middle of a clip, and classifiers hear all of it.",
            "Set diffusion_classifier.seconds to null; scoring takes longer then.",
            settings={"diffusion_classifier.seconds": None},
        )


def _low_rates(p: Params, clips: pd.DataFrame) -> Iterator[Advice]:
    top, name = codec_top(p.codec), p.codec.name
    if top is None:
        return
    low = clips[clips.sample_rate / 2 < NEAR * top]
    if low.empty:
        return
    rates = survey.counts(low.sample_rate)
    settings: dict[str, object] = {}
    do = f"Use recordings of {2 * top:,.0f} Hz or more where there are some, or leave it so."
    if len(low) > len(clips) / 2:
        rate = next(iter(rates))
        if name == "mel" and rate / 2 > p.codec.mel.f_min:
            settings, do = {"codec.mel.f_max": rate / 2}, f"Set codec.mel.f_max to {rate / 2:g}, half of {rate:,} Hz."
        elif name == "encodec_48khz" and rate <= NEAR * ENCODEC["encodec_48khz"]:
            settings, do = {"codec.name": "encodec_24khz"}, "Set codec.name to encodec_24khz."
        if settings and rate < NEAR * p.audio.sample_rate and rate >= 8000:
            settings["audio.sample_rate"] = rate
            do += f" And audio.sample_rate to {rate}: classifiers are given no more, either."
    yield Advice(
        "low_rate",
        f"{_of(len(low), clips)} of a lower rate than the codec {name} is made for: {_rates(rates)}.",
        f"It keeps sounds up to {top:,.0f} Hz. Above half its rate a clip is empty, and denoisers learn that, too.",
        do,
        settings=settings,
    )


def _narrow_codec(p: Params) -> Iterator[Advice]:
    top, heard = codec_top(p.codec), p.audio.sample_rate / 2
    if top is None or top >= NEAR * heard:
        return
    settings: dict[str, object] = {"audio.sample_rate": max(8000, round(2 * top))}
    do = f"Let classifiers hear no more: set audio.sample_rate to {settings['audio.sample_rate']}."
    if p.codec.name == "mel":
        settings = mel_at(p, p.audio.sample_rate)
        do = f"Let the codec keep as much: {p.audio.sample_rate:,} Hz, with frames as long as now."
    yield Advice(
        "narrow_codec",
        f"The codec {p.codec.name} keeps sounds up to {top:,.0f} Hz, and classifiers hear up to {heard:,.0f} Hz.",
        "Made clips have nothing in between, so classifiers can tell them from real ones by that.",
        do,
        settings=settings,
    )


def _narrow_hearing(p: Params, clips: pd.DataFrame) -> Iterator[Advice]:
    heard = p.audio.sample_rate / 2
    wide = clips[NEAR * clips.sample_rate / 2 > heard]
    if len(wide) <= len(clips) / 2 or p.audio.sample_rate >= NEAR * WIDER:
        return
    rate = min(WIDER, next(iter(survey.counts(wide.sample_rate))))
    if NEAR * rate <= p.audio.sample_rate:
        return
    times = rate / p.audio.sample_rate
    settings: dict[str, object] = {
        "audio.sample_rate": rate,
        "features.n_fft": _power_of_two(p.features.n_fft * times),
        "features.hop": round(p.features.hop * times),
    }
    top = codec_top(p.codec)
    if p.codec.name == "mel" and top is not None and top < NEAR * rate / 2:
        settings |= mel_at(p, rate)
    elif p.codec.name == "encodec_24khz":
        settings["codec.name"] = "encodec_48khz"
    yield Advice(
        "narrow_hearing",
        f"{_of(len(wide), clips)} recorded above {heard:,.0f} Hz, too, where classifiers end.",
        "Most sounds can do without; some, as of insects, differ only there.",
        f"If yours do, go up to {rate / 2:,.0f} Hz, in about {times:.2g} times the time.",
        settings=settings,
    )


def mel_at(p: Params, rate: int) -> dict[str, object]:
    """The mel codec at another rate in Hz, with frames that last as long as now."""
    mel = p.codec.mel
    if mel.sample_rate >= NEAR * rate:
        return {"codec.mel.f_max": mel.sample_rate / 2}
    times = rate / mel.sample_rate
    hop, window = round(mel.hop * times), round(mel.window * times)
    window = max(window, 2 * hop)
    return {
        "codec.mel.sample_rate": rate,
        "codec.mel.f_max": rate / 2,
        "codec.mel.n_fft": _power_of_two(max(window, mel.n_fft * times)),
        "codec.mel.window": window,
        "codec.mel.hop": hop,
    }


def _power_of_two(samples: float) -> int:
    return 2 ** math.ceil(math.log2(samples))


def _channels(p: Params, clips: pd.DataFrame) -> Iterator[Advice]:
    if p.audio.channels == 2 and codec_channels(p.codec) == 1:
        yield Advice(
            "channels",
            f"audio.channels is 2, and the codec {p.codec.name} keeps one channel.",
            "Made clips have the same sound on both, so classifiers can tell them from real ones by that.",
            "Set audio.channels to 1, or codec.name to encodec_48khz.",
            settings={"audio.channels": 1},
        )
    elif p.audio.channels == 2 and (clips.channels == 1).all():
        yield Advice(
            "channels",
            "audio.channels is 2, and all clips have one channel.",
            "Classifiers are given each sound twice, which takes longer and tells nothing.",
            "Set audio.channels to 1.",
            settings={"audio.channels": 1},
        )


# Words


def _of(some: int, clips: pd.DataFrame) -> str:
    if some == len(clips):
        return f"All {some:,} clips are"
    return f"{some:,} of {len(clips):,} clips {'is' if some == 1 else 'are'}"


def _rates(rates: dict[int, int]) -> str:
    shown = [f"{rate:,} Hz ({n:,})" for rate, n in list(rates.items())[:NAMED]]
    return ", ".join([*shown, *([f"{len(rates) - NAMED} more rates"] if len(rates) > NAMED else [])])


def _some(names: list[str]) -> str:
    many = 8
    return ", ".join(names[:many]) + (f" and {len(names) - many} more" if len(names) > many else "")
