"""Which sounds: the section `data` of params.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from counterpoise.core.settings import Fraction, Section, Slug


def _not_zero(level: int) -> int:
    if not level:
        raise ValueError("levels count from 1, or from -1 backwards; 0 is none")
    return level


class Scarce(Section):
    """Classes made rare on purpose, all by one number, so that `dvc exp run --queue` can sweep it."""

    classes: list[Slug]
    limit: PositiveInt | None  # training units of each of them, in `data.limit_unit`; null leaves them whole


class Data(Section):
    """Which sounds, and how much of them trains."""

    dataset: Literal["dogs", "urbansound8k", "esc50", "own"]
    path: str = Field(min_length=1)  # where an existing collection lies; read in place
    unlabelled: str = Field(min_length=1)  # a folder of sounds without labels; read in place
    download: bool  # urbansound8k and esc50: fetch the collection instead of reading `path`
    labels: Literal["folder", "pattern", "table"]  # own only: where a clip's label comes from
    label_level: Annotated[
        int, AfterValidator(_not_zero)
    ]  # own, folder: which folder is the label, 1 the first below `path`, -1 the last
    split_folders: bool  # own: folders called train, val, test are a split, and no classes
    pattern: str | None  # own: regular expression with (?P<label>...) and perhaps (?P<source>...)
    source_pattern: str | None  # own: regular expression with (?P<source>...), the recording
    table: str | None  # own: CSV, TSV, JSON, JSON lines, Audacity's labels or Raven's selections, from `path`
    columns: dict[Literal["file", "label", "source", "fold", "begin", "end"], str]  # own: the table's names for these
    min_seconds: PositiveFloat  # shorter files are rejected
    max_seconds: Annotated[float, Field(gt=0, le=600)]  # longer files are cut
    clip_seconds: PositiveFloat  # into clips of this length, which keep their source
    max_rejected: Fraction  # a larger share of rejected files stops the run
    duplicates: bool  # find equal and nearly equal sounds, and keep them on one side of every split
    folds: Annotated[int, Field(ge=2)]  # for collections without official folds
    scale: PositiveFloat  # dogs only: share of the usual number of recordings
    seed: int  # of the dogs, and of folds that are assigned
    min_recordings: Annotated[int, Field(ge=1)]  # fewer training recordings of a class than this is an error
    limit: dict[Slug, PositiveInt]  # at most so many *training* units of a class
    limit_unit: Literal["recordings", "clips"]
    scarce: Scarce  # goes before `limit`

    def limits(self) -> dict[str, int]:
        """At most so many training units of a class, from `limit` and `scarce`."""
        scarce = {} if self.scarce.limit is None else dict.fromkeys(self.scarce.classes, self.scarce.limit)
        return {**self.limit, **scarce}
