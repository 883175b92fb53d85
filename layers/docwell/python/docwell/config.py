"""Settings: one typed model for each function, read once. No other module reads the environment.

A variable is the field's name in capitals after `DOCWELL_`. boto3 reads AWS's own variables (region,
credentials, `AWS_ENDPOINT_URL`).
"""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, HttpUrl, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
MIN_SUPPORT = 0.4  # of a sentence, unless the settings or the model's profile say another
EmbedRuntime = Literal["auto", "onnxruntime", "openvino"]
Ocr = Literal["off", "rapidocr"]
ChromaHeader = Literal["Authorization", "X-Chroma-Token"]


def plain(message: str) -> str:
    """Return a message of Pydantic without its words for the exception of a validator."""
    return message.replace("Value error, ", "", 1)


class SettingsError(Exception):
    """A variable is missing or wrong. The message names each variable; `args` has one problem each."""

    def __str__(self) -> str:
        return "; ".join(self.args)


class Settings(BaseSettings):
    """The base of the models: one for each function here, and those of `runtime`."""

    # Empty means unset, as `sam local` writes it. A function reads few of the models: build the others on demand.
    model_config = SettingsConfigDict(
        env_prefix="DOCWELL_", frozen=True, extra="ignore", env_ignore_empty=True, defer_build=True
    )

    @classmethod
    def read(cls, **overrides: object) -> Self:
        """Return this process's settings; arguments override variables.

        Raises `SettingsError` with the name of each wrong variable.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type] # Pydantic checks each field's own type
        except ValidationError as error:
            problems = [
                f"DOCWELL_{'_'.join(map(str, item['loc'] or ['settings'])).upper()}: {plain(item['msg'])}"
                for item in error.errors()
            ]
            raise SettingsError(*problems) from None


class StorageSettings(Settings):
    """Where documents, ledger and vectors are. Every function needs these."""

    bucket: str
    ledger_table: str = "docwell-ledger"
    # One server, or hosted or distributed Chroma.
    chroma_url: Annotated[str, Field(pattern=r"^https?://[^,\s]+$")]
    chroma_tenant: str = "default_tenant"
    chroma_database: str = "default_database"
    # A token, or the ARN of a secret: JSON with `token`, and `certificates` (PEM) if the server has its own.
    chroma_token: str | None = None
    # Authorization sends a Bearer token. X-Chroma-Token means hosted Chroma, whose quotas all requests then keep.
    chroma_header: ChromaHeader = "Authorization"
    # The client has no timeout by default. A write or search takes milliseconds; 10 s allows for a busy server.
    chroma_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0


class ChunkLimits(BaseModel, frozen=True):
    """The limits of chunks. All are part of the pipeline fingerprint, so every function needs the same values."""

    # all-MiniLM-L6-v2 reads 254 tokens of text.
    chunk_tokens: Annotated[int, Field(ge=16, le=8192)] = 200
    # The number of Chroma collections of an index: a question to the whole index is one search in each.
    shards: Annotated[int, Field(ge=1, le=64)] = 4


class EmbedderSettings(Settings, ChunkLimits):
    """Where the embedding model is and how it runs, and the settings of the pipelines."""

    model_dir: Path
    # auto: OpenVINO where it is installed, otherwise onnxruntime.
    embed_runtime: EmbedRuntime = "auto"
    # 0: one thread for each core of the function, rounded, and at least one.
    embed_threads: Annotated[int, Field(ge=0, le=64)] = 0
    # A second pipeline, whose index is built beside the first (`docwell reindex`). 0 and unset: none.
    next_model_dir: Path | None = None
    next_chunk_tokens: Annotated[int, Field(ge=0, le=8192)] = 0
    next_shards: Annotated[int, Field(ge=1, le=64)] | None = None


class IngestLimits(ChunkLimits):
    """The limits that protect an ingest worker from one document."""

    # One child process reads a range; after a worker's death, one range is repeated.
    range_pages: Annotated[int, Field(ge=1, le=1000)] = 50
    # Lambda's /tmp is 512 MB unless the template asks for more (it asks for 2 GB).
    max_document_bytes: Annotated[int, Field(gt=0)] = 512 * MIB
    max_document_characters: Annotated[int, Field(gt=0)] = 100_000_000
    # For each byte of the file. Real files have up to 1.5, a log of equal lines 32, an attack thousands.
    max_characters_per_byte: Annotated[float, Field(gt=0)] = 100.0
    # The processor time for reading a whole document: 20,000 pages of 45 ms.
    document_cpu_s: Annotated[float, Field(gt=0)] = 900.0
    # A minute and this for each MB of the file. Real files take 20 s for each MB, an attack of 14 kB six minutes.
    document_cpu_s_per_mb: Annotated[float, Field(gt=0)] = 100.0
    # Chroma is fastest with 50 to 250 records a call.
    upsert_batch: Annotated[int, Field(ge=1, le=1000)] = 128
    # Longer than the slowest step between two renewals: parse_timeout_s, then embedding and writing one batch.
    lease_s: Annotated[float, Field(ge=1, le=900)] = 90.0
    # A working worker hides its message for this long, repeatedly, so that SQS redelivers it soon after a death.
    visibility_s: Annotated[float, Field(ge=3, le=43_200)] = 60.0
    # A worker stops this long before its deadline; the redelivered message continues.
    stop_before_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    # The least confidence for recognised text: a good scan has 0.95 and more, upside-down text 0.60 to 0.74.
    ocr_min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.75
    # A page takes 6 to 9 s on two processors. The function needs time for a range of the slowest pages (600 s).
    ocr_range_pages: Annotated[int, Field(ge=1, le=100)] = 5
    # Processor time; the slowest page measured takes 18 s.
    ocr_page_cpu_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    # Wall time, see parse_timeout_s.
    ocr_page_timeout_s: Annotated[float, Field(gt=0, le=600)] = 120.0
    # Processor time for a whole document: a day, or about 5,000 pages.
    ocr_document_cpu_s: Annotated[float, Field(gt=0)] = 86_400.0
    max_document_pages: Annotated[int, Field(gt=0)] = 20_000
    # 20 times the densest real page measured, which has 9,149.
    max_page_characters: Annotated[int, Field(gt=0)] = 200_000
    # Processor time of a reader for opening a file, and for each page.
    parse_cpu_s: Annotated[float, Field(gt=0, le=600)] = 6.0
    # Processor time for reading a document other than PDF as a whole. 200,000 cells of a workbook take 2 s.
    opening_cpu_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    # Wall time for the same: a starved reader says nothing about the document, so its message comes again.
    parse_timeout_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    # A page that kills its reader costs two restarts, of 0.3 s each. Then the reader gives up the range.
    max_reader_restarts: Annotated[int, Field(ge=0)] = 10
    # PDFium dies at 4 GB on decompression bombs; 306 hard files stay under 90 MB. Libraries come on top.
    parse_memory_bytes: Annotated[int, Field(gt=0)] = 800 * MIB
    # A page of 2000 by 1415 pixels needs 600 MiB beside the libraries. The text reader is idle meanwhile.
    ocr_memory_bytes: Annotated[int, Field(gt=0)] = 800 * MIB


class IngestSettings(StorageSettings, EmbedderSettings, IngestLimits):
    """The ingest function."""

    queue_url: str
    # The recogniser of pages that are pictures.
    ocr: Ocr = "off"
    # The queue of ranges to recognise, so that no other document waits behind them. None: queue_url.
    ocr_queue_url: str | None = None
    # Messages that killed their workers come from the first queue; once given up, they wait in the second.
    dead_letter_queue_url: str
    parked_queue_url: str
    # The queue's maxReceiveCount: a document that fails at its last receive becomes FAILED.
    max_receives: Annotated[int, Field(ge=1, le=1000)] = 5
    usage_table: str = "docwell-usage"
    audit_table: str | None = None  # None: there is no audit trail


class QueryLimits(BaseModel, frozen=True):
    """Limits of one question that the use case enforces."""

    # Another num_ctx would reload the model on its host, so each request sends this value. Unset, it,
    # thinking_tokens, min_support and top_k are the profile's (docwell/adapters/model_profiles.toml).
    num_ctx: Annotated[int, Field(ge=512, le=1_048_576)] = 16_384
    num_predict: Annotated[int, Field(ge=16, le=32_768)] = 400
    # Room for thinking that cannot be switched off, beside num_predict.
    thinking_tokens: Annotated[int, Field(ge=0, le=32_768)] = 0
    # Cut the passages to their best parts, of about this many tokens in all. None: as many as fit in num_ctx.
    passage_tokens: Annotated[int, Field(ge=100)] | None = None
    # A sentence with less support (`docwell.query.checking.check`) is marked as not supported.
    min_support: Annotated[float, Field(ge=0, le=1)] = MIN_SUPPORT
    # API Gateway's REST API ends a buffered answer at 29 s unless its quota is raised.
    deadline_s: Annotated[float, Field(gt=0, le=900)] = 28.0


class QuerySettings(StorageSettings, EmbedderSettings, QueryLimits):
    """The query function. Every limit bounds the cost of one request."""

    # OpenVINO would save 2 ms a question and add 60 MB to the layer.
    embed_runtime: EmbedRuntime = "onnxruntime"
    # A server of OpenAI's protocol if it ends with /v1, otherwise Ollama.
    ollama_url: HttpUrl
    # A Bearer token, or the ARN of a secret, as chroma_token.
    ollama_token: str | None = None
    model: str = "qwen3:8b"
    # auto: as the model's profile says. off, a level such as low, or default (send nothing) overrule it.
    think: Annotated[str, Field(pattern="^[a-z]+$")] = "auto"
    # How long Ollama keeps an unused model: -1 is for ever.
    keep_alive: Annotated[str, Field(pattern=r"^-?\d+(ms|s|m|h)?$")] = "-1"
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    max_top_k: Annotated[int, Field(ge=1, le=200)] = 20
    # The cross-encoder reads the question with each of the 20 best passages (`make model RERANKER=...`).
    reranker: Literal["off", "cross-encoder"] = "off"
    # The chunks to cache, at about 6 KB each. For these, Chroma returns only ids and distances.
    kept_passages: Annotated[int, Field(ge=0)] = 8_000
    max_question_characters: Annotated[int, Field(ge=1)] = 2_000
    # The prompt of an answer, from the files in docwell/query/prompts. Unset: as the model's profile says.
    prompts: Literal["answer", "answer-short"] = "answer"
    # A follow-up costs one more call of the model, which reads this many turns.
    max_history_turns: Annotated[int, Field(ge=0, le=50)] = 10
    max_history_characters: Annotated[int, Field(ge=0)] = 8_000

    # Model hosts may sleep, and wake within these seconds; streamed questions wait for them. 0: they never sleep.
    wake_s: Annotated[float, Field(ge=0, le=840)] = 0.0
    # Cron expressions that stop and start all hosts, and a time zone: "0 19 * * *;0 7 * * 1-5;Etc/UTC".
    night: str = ""
    # After `breaker_failures` failures in a row the model host rests for `breaker_rest_s` seconds.
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_rest_s: Annotated[float, Field(gt=0)] = 15.0

    principals_table: str = "docwell-principals"
    # A separate table, so that the function's role cannot write grants.
    usage_table: str = "docwell-usage"
    # The model host answers few questions at a time. More from one principal would wait, and delay other callers.
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 16
    # As of AuthorizerSettings: clients of MCP sign in there.
    token_issuer: str | None = None
    # Dead letters wait in the second queue; a redrive sends them to the first.
    queue_url: str
    parked_queue_url: str
    # As in ingest: the console offers to recognise a scan.
    ocr: Ocr = "off"
    # None: store no answers, and keep no audit trail.
    receipts_table: str | None = None
    audit_table: str | None = None
    receipt_days: Annotated[int, Field(ge=1, le=3650)] = 30
    # The time limit of `GET /v1/ready`: monitors ask every few seconds, and wait no longer for an answer.
    ready_timeout_s: Annotated[float, Field(gt=0)] = 2.0
    ready_kept_s: Annotated[float, Field(ge=0)] = 5.0
    # A link to a cited page is for a reader who clicks now, so it expires soon.
    link_s: Annotated[int, Field(ge=1, le=43_200)] = 300
    # An upload form fixes the size, so the bucket rejects a larger file. Equal to ingest's max_document_bytes.
    max_upload_bytes: Annotated[int, Field(gt=0, le=5 * 1024 * MIB)] = 512 * MIB
    # The address at which a browser reaches the bucket's endpoint, such as a gateway. None: the endpoint itself.
    storage_url: HttpUrl | None = None
    # A price file in the format of `docwell/query/prices.json`, which is the default.
    prices: Path | None = None


class RuntimeSettings(Settings):
    """Facts from the Lambda runtime. Users do not set these."""

    memory_mb: int | None = Field(default=None, validation_alias="AWS_LAMBDA_FUNCTION_MEMORY_SIZE")


class AuthorizerSettings(Settings):
    """The authorizer function, and the authorizer of the local gateway."""

    principals_table: str = "docwell-principals"
    audit_table: str | None = None
    # The claim `iss` of valid tokens, with or without a slash at its end. None: API keys alone are valid.
    token_issuer: Annotated[str, Field(pattern=r"^https://[!-~]+$")] | None = None
    # The audiences of valid tokens, separated by commas: ids of app clients, or of an API.
    token_clients: Annotated[str, Field(pattern=r"^[!-+\--~]+(,[!-+\--~]+)*$")] | None = None
    # The issuer's public keys. None: the keys that /.well-known/openid-configuration of the issuer names.
    token_keys_url: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None
    # The claims with the principal and with its groups, such as `oid` and `realm_access.roles`. None: the claim
    # `cognito:groups`, else `groups`.
    principal_claim: Annotated[str, Field(pattern=r"^[!-~]+$")] = "sub"
    groups_claim: Annotated[str, Field(pattern=r"^[!-~]+$")] | None = None
    # The key that counts all requests with tokens in a usage plan.
    token_usage_key: str | None = None

    @model_validator(mode="after")
    def _clients_of_issuer(self) -> Self:
        if (self.token_issuer is None) != (self.token_clients is None):
            raise ValueError("token_issuer and token_clients need each other")
        return self


class CanarySettings(Settings):
    """The canary function. A version is an ARN of the query function with a number or an alias."""

    bucket: str
    # This table stores the last result as a fact.
    ledger_table: str = "docwell-ledger"
    live_version: str
    # The version of the current deployment.
    next_version: str


def _webhook_key(secret: str) -> bytes:
    with suppress(ValueError):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        if secret.startswith("whsec_") and 24 <= len(key) <= 64:  # noqa: PLR2004 - by Standard Webhooks
            return key
    raise ValueError("whsec_ and the base64 of 24 to 64 bytes are expected")


class EventsSettings(Settings):
    """The events function. Without a webhook, events go to EventBridge."""

    bucket: str
    # Used by the stack on one machine.
    webhook_url: HttpUrl | None = None
    # The key that signs events: `whsec_`, then 24 to 64 bytes in base64 (Standard Webhooks).
    webhook_secret: Annotated[bytes, BeforeValidator(_webhook_key)] | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _signs(self) -> Self:
        if self.webhook_url and not self.webhook_secret:
            raise ValueError("DOCWELL_WEBHOOK_URL needs DOCWELL_WEBHOOK_SECRET, to sign events")
        return self


class ReconcileLimits(BaseModel, frozen=True):
    """The limits of a reconcile pass."""

    # A document that is PENDING this long without a worker is stuck: longer than the function's timeout.
    stuck_after_s: Annotated[float, Field(gt=0)] = 1800.0
    # As in ingest: documents with pages that it may recognise are sent to it.
    ocr: Ocr = "off"
    # Scans wait longer: a page takes seconds, so one worker recognises 10,000 a day.
    ocr_stuck_after_s: Annotated[float, Field(gt=0)] = 86_400.0
    # A run stops this long before its deadline; the next run continues.
    stop_before_s: Annotated[float, Field(ge=0, le=300)] = 15.0
    # A pass starts only below this many queued messages: else it would find and send the same documents again.
    begin_below: Annotated[int, Field(ge=1)] = 100
    # A run that sends this many leaves the rest to the next run: SQS keeps a message for four days.
    pause_above: Annotated[int, Field(ge=1)] = 100_000


class ReconcileSettings(StorageSettings, EmbedderSettings, ReconcileLimits):
    """The reconcile function."""

    queue_url: str
