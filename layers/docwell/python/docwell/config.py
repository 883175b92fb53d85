"""Settings: one typed model for each function, read once. Nothing else in docwell reads the environment.

A variable is the field's name in capitals with `DOCWELL_` before it. AWS's own variables (region,
credentials, `AWS_ENDPOINT_URL`) are boto3's to read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, HttpUrl, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
EmbedRuntime = Literal["auto", "onnxruntime", "openvino"]

Ocr = Literal["off", "rapidocr"]


class SettingsError(Exception):
    """A variable is missing or wrong; the message names each of them, and `args` has one problem each."""

    def __str__(self) -> str:
        return "; ".join(self.args)


class _Settings(BaseSettings):
    # `sam local` gives a variable whose value it cannot resolve as an empty one: as if it were not there.
    model_config = SettingsConfigDict(env_prefix="DOCWELL_", frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def read(cls, **given: Any) -> Self:  # noqa: ANN401 - each field has its own type, which is checked
        """The settings of this process; what is given counts before its variables.

        Raises `SettingsError` with each variable's name.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            problems = [
                f"DOCWELL_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
                for item in error.errors()
            ]
            raise SettingsError(*problems) from None


class StorageSettings(_Settings):
    """Where documents, ledger and vectors are: every function needs these."""

    bucket: str
    ledger_table: str = "docwell-ledger"
    chroma_url: HttpUrl
    chroma_tenant: str = "default_tenant"
    chroma_database: str = "default_database"
    chroma_token: str | None = None
    # The stock client waits without limit. A write or search takes milliseconds; 10 s is for a busy server.
    chroma_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0


class EmbedderSettings(_Settings):
    """Where the embedding model is and how it runs."""

    model_dir: Path
    # What runs it; auto is OpenVINO where it is installed.
    embed_runtime: EmbedRuntime = "auto"
    # 0: as many as the function has cores, rounded, and one at least.
    embed_threads: Annotated[int, Field(ge=0, le=64)] = 0
    # Part of the pipeline fingerprint, so ingest and query must agree. all-MiniLM-L6-v2 reads 254 tokens of text.
    chunk_tokens: Annotated[int, Field(ge=16, le=8192)] = 200
    # What recognises pages that are pictures, and the confidence from which its text is taken: a good scan has
    # 0.95 and more, text on its head 0.60 to 0.74. Part of the fingerprint too; ingest alone has the program.
    ocr: Ocr = "off"
    ocr_min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.75


class NextPipelineSettings(_Settings):
    """A second pipeline beside the first, while its index is built (`docwell reindex`); 0 and unset: none."""

    next_model_dir: Path | None = None
    next_chunk_tokens: Annotated[int, Field(ge=0, le=8192)] = 0
    next_ocr: Ocr | None = None


class IngestSettings(StorageSettings, EmbedderSettings, NextPipelineSettings):
    """The ingest function. Every limit protects the worker from one document."""

    queue_url: str

    # A range is what one child process reads and what a killed worker has to do again.
    range_pages: Annotated[int, Field(ge=1, le=1000)] = 50
    # Lambda's /tmp is 512 MB unless the template asks for more (it asks for 2 GB).
    max_document_bytes: Annotated[int, Field(gt=0)] = 512 * MIB
    max_document_pages: Annotated[int, Field(gt=0)] = 20_000
    # 20 times the densest of the real pages looked at, which has 9,149.
    max_page_characters: Annotated[int, Field(gt=0)] = 200_000
    max_document_characters: Annotated[int, Field(gt=0)] = 100_000_000
    # What a refused document costs at most: opening it takes up to 0.3 of this, its first range 0.65. PDFium takes
    # about 2 ms a page, pypdf about 30: a range has over ten times what pypdf needs.
    parse_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    # PDFium dies at 4 GB on decompression bombs; the 306 hard files stay under 90 MB. With the 128 MiB that
    # Python and a library map by themselves, a reader stays under 1 GB.
    parse_memory_bytes: Annotated[int, Field(gt=0)] = 800 * MIB
    # Ranges that are recognised go here, so that no other document waits behind them; None: to queue_url.
    ocr_queue_url: str | None = None
    # A page takes 6 to 9 s on two processors. All pages of a range at their limit, which here is 450 s, must be
    # done within the function's time.
    ocr_range_pages: Annotated[int, Field(ge=1, le=100)] = 5
    ocr_page_timeout_s: Annotated[float, Field(gt=0, le=600)] = 90.0
    # What the recogniser may write to, besides 128 MiB for Python: 500 MiB are too few for a page of 2000 by 1415
    # pixels, 600 enough. It runs when the reader of text is idle.
    ocr_memory_bytes: Annotated[int, Field(gt=0)] = 800 * MIB
    # 50-250 records a call are fastest with Chroma.
    upsert_batch: Annotated[int, Field(ge=1, le=1000)] = 128
    # Longer than the slowest step between two renewals: parse_timeout_s, then one batch to embed and write.
    lease_s: Annotated[float, Field(ge=1, le=900)] = 90.0
    # The queue's maxReceiveCount: at the last receive a document that still fails becomes FAILED.
    max_receives: Annotated[int, Field(ge=1, le=1000)] = 5
    # A worker stops this long before its deadline and leaves the rest to redelivery.
    stop_before_s: Annotated[float, Field(ge=0, le=300)] = 10.0


class QueryLimits(BaseModel, frozen=True):
    """Limits of one question that the use case enforces. The two thresholds belong to the embedding model."""

    # Another num_ctx reloads the model on its host, so each request sends this one value.
    num_ctx: Annotated[int, Field(ge=512, le=1_048_576)] = 4096
    num_predict: Annotated[int, Field(ge=16, le=32_768)] = 400
    # If no passage has this cosine similarity, as a whole or in its best part, nothing is relevant, and the model
    # is not asked. With all-MiniLM-L6-v2 one of 612 questions that a document answers was under it.
    min_score: Annotated[float, Field(ge=-1, le=1)] = 0.35
    # The same for the sum of a passage's similarity and half the share of the question's words that it has
    # (make bench-gates).
    min_relevance: Annotated[float, Field(ge=-1, le=2)] = 0.57
    # A sentence with less support (`docwell.query.checking.support`) is marked as not supported.
    min_support: Annotated[float, Field(ge=0, le=1)] = 0.5
    # API Gateway's REST API ends a buffered answer at 29 s unless its quota is raised.
    deadline_s: Annotated[float, Field(gt=0, le=900)] = 28.0


class QuerySettings(StorageSettings, EmbedderSettings, NextPipelineSettings, QueryLimits):
    """The query function. Every limit bounds the cost of one request."""

    # For one question at a time OpenVINO saves 2 ms, and takes 60 MB of the layer.
    embed_runtime: EmbedRuntime = "onnxruntime"
    ollama_url: HttpUrl
    model: str = "qwen2.5-coder:1.5b"
    keep_alive: str = "30m"
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    max_top_k: Annotated[int, Field(ge=1, le=200)] = 20
    # Chunks stay in memory once read, at about 5 KB each with their words. Chroma then returns ids and distances
    # only, and nothing is decoded.
    kept_passages: Annotated[int, Field(ge=0)] = 8_000
    max_question_characters: Annotated[int, Field(ge=1)] = 2_000
    # Prompts by name with their shares, in the files of docwell/query/prompts: "answer:9,answer-short:1".
    prompts: str = "answer"
    # A conversation costs one more call of the model, which reads this much.
    max_history_turns: Annotated[int, Field(ge=0, le=50)] = 10
    max_history_characters: Annotated[int, Field(ge=0)] = 8_000

    # The model host rests for so many seconds after so many failures in a row.
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_rest_s: Annotated[float, Field(gt=0)] = 15.0

    principals_table: str = "docwell-principals"
    # None: keep no answer.
    receipts_table: str | None = None
    receipt_days: Annotated[int, Field(ge=1, le=3650)] = 30
    # A link to a cited page is for a reader who clicks now, not for passing on.
    link_s: Annotated[int, Field(ge=1, le=43_200)] = 300
    # A price file as `docwell/query/prices.json`; None: that one.
    prices: Path | None = None


class RuntimeSettings(_Settings):
    """What the Lambda runtime says of itself; nobody sets these."""

    # Set by docwell.http.streaming_runtime.
    can_stream: bool = False
    memory_mb: int | None = Field(default=None, validation_alias="AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    # Set by `sam local`, which calls no authorizer and knows no API keys.
    sam_local: bool = Field(default=False, validation_alias="AWS_SAM_LOCAL")


class ReconcileSettings(StorageSettings, EmbedderSettings, NextPipelineSettings):
    """The reconcile function."""

    queue_url: str
    # A document that is PENDING this long with nobody working on it is stuck: longer than the function's time-out.
    stuck_after_s: Annotated[float, Field(gt=0)] = 1800.0
    # One whose scans are being recognised may wait for its turn: a page takes seconds, 10,000 of them a day.
    ocr_stuck_after_s: Annotated[float, Field(gt=0)] = 86_400.0
    # Stop this long before the deadline; the next run goes on where this one stopped.
    stop_before_s: Annotated[float, Field(ge=0, le=300)] = 15.0
    # A pass begins only while fewer messages than this wait: what waits would be found, and sent, again.
    begin_below: Annotated[int, Field(ge=1)] = 100
    # A run that finds more than this leaves the rest to the next: SQS keeps a message for four days.
    pause_above: Annotated[int, Field(ge=1)] = 100_000
