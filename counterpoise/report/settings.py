"""What the page holds: the section `report` of params.yaml."""

from typing import Annotated

from pydantic import Field

from counterpoise.core.settings import Section


class Report(Section):
    """How much there is to listen to: a clip stands with its round trip and everything else that was made of it."""

    clips: Annotated[int, Field(ge=1)]  # training clips of each class
