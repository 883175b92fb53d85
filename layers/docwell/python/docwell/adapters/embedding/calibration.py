"""The thresholds and the language of an embedding model: a cosine's meaning differs from model to model.

`make model` copies them from layers/embedder/calibration to the model's folder. They are not in the manifest, so a
new threshold needs no new index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from docwell.errors import ModelDamaged

CALIBRATION_FILE = "calibration.json"

Cosine = Annotated[float, Field(ge=-1, le=1)]
# A cosine from -1 to 1, plus or minus the weights of `docwell.query.retrieval.ranking`, rounded up.
Fit = Annotated[float, Field(ge=-2, le=2, strict=True)]


class Threshold(BaseModel, frozen=True, extra="forbid"):
    """The gate's threshold; a model that `make calibrate` has not seen has none."""

    min_fit: Fit | None = None


class ModelCalibration(BaseModel, frozen=True, extra="forbid"):
    """The thresholds of one model. Missing ones keep the defaults, which are those of all-MiniLM-L6-v2.

    `foreign` has the cosines between which a passage in another language supports a sentence from not at all to
    fully; None where the model compares no languages. `language` is the only language that the model knows; None
    for a multilingual model.
    """

    foreign: tuple[Cosine, Cosine] | None = None
    gate: Threshold = Threshold()
    language: Literal["en"] | None = None

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.foreign and self.foreign[0] >= self.foreign[1]:
            raise ValueError("the first cosine of foreign must be under the second")
        return self

    @classmethod
    def read(cls, folder: Path) -> ModelCalibration:
        """Return the thresholds of a model folder; without the file there are none. Raises `ModelDamaged`."""
        path = folder / CALIBRATION_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise ModelDamaged(path, str(error.strerror)) from error
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
            )
            raise ModelDamaged(path, problems) from error
