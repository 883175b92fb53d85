"""Names that the parts of the runtime share."""

from __future__ import annotations

from pathlib import Path

# The folder of `runtime` and `functions`.
ROOT = Path(__file__).resolve().parents[1]

# Handler processes talk to this process only.
HOST = "127.0.0.1"
# Values of `DOCWELL_HOST` that only this machine reaches.
LOOPBACK = (HOST, "localhost", "::1")
# Used in an invocation's ARN, which docwell only logs. Both are moto's defaults.
REGION = "us-east-1"
ACCOUNT = "123456789012"

# Equal to infra/data.yaml: after this many receives SQS itself parks a dead letter that ingest cannot give up.
MAX_DEAD_RECEIVES = 1000
