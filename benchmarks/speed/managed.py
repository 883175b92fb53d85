"""The list price of a managed knowledge base: Amazon Bedrock Knowledge Bases. Pure functions.

It embeds with Titan Text Embeddings V2 and answers with a hosted model. Its vectors lie in OpenSearch Serverless,
which is paid by the hour, or in S3 Vectors, which is paid by use. Its PDF parser is free. It has no API, firewall,
logs or receipts of the user's; docwell's sums include those.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.speed.bill import HOURS_IN_MONTH, Measured, Workload
from docwell.query.costs import ListPrice

# With redundancy, an index of any size keeps half a unit twice for writing and twice for reading.
LEAST_COMPUTE_UNITS = 2.0
# Where the vectors lie, and whether they are paid by use.
STORES = {"OpenSearch Serverless": False, "S3 Vectors": True}
# 1,024 dimensions in float32 with the text of a chunk of the default 300 tokens.
_CHUNK_GB = (1024 * 4 + 2048) / 1e9
_CHUNK_TOKENS = 300
_FILE = Path(__file__).with_name("managed_prices.json")


class HostedModel(BaseModel):
    """A model that is paid by the token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: ListPrice
    written: ListPrice

    def question(self, workload: Workload) -> float:
        """Return the price of one question's tokens."""
        return workload.prompt_tokens * self.read.amount + workload.answer_tokens * self.written.amount


class ManagedPrices(BaseModel):
    """List prices in the form of docwell's price file, and the hosted models by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    currency: str
    as_of: date
    services: dict[str, ListPrice]
    models: Annotated[dict[str, HostedModel], Field(min_length=1)]

    @classmethod
    def load(cls, path: Path = _FILE) -> ManagedPrices:
        """Read the file of list prices. Raises pydantic's `ValidationError`."""
        return cls.model_validate_json(path.read_text("utf-8"))

    def search_month(self) -> float:
        """Return the price of a month of OpenSearch Serverless without questions."""
        return LEAST_COMPUTE_UNITS * HOURS_IN_MONTH * self.services["compute_unit"].amount

    def vectors_month(self, measured: Measured, pages: int, workload: Workload) -> float:
        """Return the price of a month of pages in S3 Vectors without questions."""
        return _vectors_gb(measured, pages, workload) * self.services["vector_storage"].amount

    def question(self, model: str, workload: Workload, *, vectors_in_s3: bool) -> float:
        """Return what one question adds: its embedding, its search where that is paid by use, and its tokens."""
        search = self.services["vector_query"].amount if vectors_in_s3 else 0.0
        embedded = workload.question_tokens * self.services["embedded_token"].amount
        return embedded + search + self.models[model].question(workload)

    def pages(self, measured: Measured, count: int, workload: Workload, *, vectors_in_s3: bool) -> float:
        """Return what indexing pages adds: their tokens, and the writing of vectors that are paid by use."""
        embedded = _tokens(measured, count, workload) * self.services["embedded_token"].amount
        stored = _vectors_gb(measured, count, workload) * self.services["vector_put"].amount
        return embedded + (stored if vectors_in_s3 else 0.0)


def _tokens(measured: Measured, pages: int, workload: Workload) -> float:
    return pages * measured.characters_a_page / workload.characters_a_token


def _vectors_gb(measured: Measured, pages: int, workload: Workload) -> float:
    return _tokens(measured, pages, workload) / _CHUNK_TOKENS * _CHUNK_GB
