"""What a managed knowledge base would cost by its list prices: Amazon Bedrock Knowledge Bases. Pure functions.

With the vectors in OpenSearch Serverless, which is its default and is paid by the hour, or in S3 Vectors, which is
paid by use; Titan Text Embeddings V2; and a hosted model. Its own parser of PDFs is free. No API of one's own
stands before it, nor a firewall, logs or receipts: what docwell pays for those stays in docwell's sums.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.speed.bill import HOURS_IN_MONTH, Measured, Workload
from docwell.query.costs import ListPrice

# With redundancy, an index of any size keeps a half unit twice for writing and twice for reading.
LEAST_COMPUTE_UNITS = 2.0
# Where the vectors lie, and whether they are paid by use.
STORES = {"OpenSearch Serverless": False, "S3 Vectors": True}
# Of Titan's 1,024 dimensions in float32, with the text, as the service stores a chunk of its default 300 tokens.
_CHUNK_GB = (1024 * 4 + 2048) / 1e9
_CHUNK_TOKENS = 300
_FILE = Path(__file__).with_name("managed_prices.json")


class HostedModel(BaseModel):
    """A model that is paid by the token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read: ListPrice
    written: ListPrice

    def question(self, workload: Workload) -> float:
        """What the tokens of one question cost."""
        read, written = workload.prompt_tokens, workload.answer_tokens
        return read * self.read.amount + written * self.written.amount


class ManagedPrices(BaseModel):
    """List prices as docwell's own price file has them, and of the hosted models by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    currency: str
    as_of: date
    services: dict[str, ListPrice]
    models: Annotated[dict[str, HostedModel], Field(min_length=1)]


def load_managed(path: Path = _FILE) -> ManagedPrices:
    """The file of list prices. Raises pydantic's `ValidationError`."""
    return ManagedPrices.model_validate_json(path.read_text("utf-8"))


def search_month(prices: ManagedPrices) -> float:
    """A month of OpenSearch Serverless in which nobody asks."""
    return LEAST_COMPUTE_UNITS * HOURS_IN_MONTH * prices.services["compute_unit"].amount


def vectors_month(prices: ManagedPrices, measured: Measured, pages: int, workload: Workload) -> float:
    """A month of so many pages in S3 Vectors in which nobody asks."""
    return _vectors_gb(measured, pages, workload) * prices.services["vector_storage"].amount


def question(prices: ManagedPrices, model: str, workload: Workload, *, vectors_in_s3: bool) -> float:
    """What one question adds: its embedding, its search where that is paid by use, and the model's tokens."""
    search = prices.services["vector_query"].amount if vectors_in_s3 else 0.0
    embedded = workload.question_tokens * prices.services["embedded_token"].amount
    return embedded + search + prices.models[model].question(workload)


def pages(
    prices: ManagedPrices, measured: Measured, count: int, workload: Workload, *, vectors_in_s3: bool
) -> float:
    """What indexing so many pages adds: their tokens, and where vectors are paid by use their writing."""
    written = (
        _vectors_gb(measured, count, workload) * prices.services["vector_put"].amount if vectors_in_s3 else 0.0
    )
    return _tokens(measured, count, workload) * prices.services["embedded_token"].amount + written


def _tokens(measured: Measured, pages: int, workload: Workload) -> float:
    return pages * measured.characters_a_page / workload.characters_a_token


def _vectors_gb(measured: Measured, pages: int, workload: Workload) -> float:
    return _tokens(measured, pages, workload) / _CHUNK_TOKENS * _CHUNK_GB
