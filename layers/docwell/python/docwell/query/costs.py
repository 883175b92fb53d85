"""The cost of one request: the time of the model host and of the function, by a price file.

A self-hosted model costs money by the hour, so tokens cost the seconds that they take. docs/use/answers.md
lists the costs outside this sum.
"""

from __future__ import annotations

import math
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from docwell.answers import Cost
from docwell.config import SettingsError, plain

_MB_IN_GB = 1024  # as Lambda counts
_SECONDS_IN_HOUR = 3600
_DIGITS = 9  # decimals of an amount: one request costs 0.0000037 USD
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class ModelHostPrice(BaseModel, frozen=True, extra="forbid"):
    """The machine of the language model. `parallel` requests share it while it is busy."""

    instance: Name
    per_hour: Price
    parallel: Annotated[int, Field(ge=1)] = 1


class FunctionPrice(BaseModel, frozen=True, extra="forbid"):
    """The query function. `memory_mb` applies where the runtime does not state the memory."""

    memory_mb: Annotated[int, Field(ge=128, le=10_240)]  # Lambda's limits
    architecture: Name
    per_gb_second: Price
    per_request: Price


class Prices(BaseModel, frozen=True, extra="forbid"):
    """A price file: prices in `currency` on the day `as_of`, from the pages in `source`.

    The cost of an answer is that of its model host, its function and its call of the API. No code reads
    `services`: they are prices of the rest of the system, for estimates.
    """

    name: Name
    currency: Name
    as_of: date
    source: tuple[Name, ...]
    model_host: ModelHostPrice
    function: FunctionPrice
    api_request: Price
    services: dict[Name, Any] = Field(default_factory=dict)


def load_prices(path: Path | None = None) -> Prices:
    """Return the price file at `path`, else docwell's own. Raises `SettingsError` with each wrong field."""
    name = f"price file {path}" if path else "price file docwell/query/prices.json"
    try:
        text = (path or files("docwell.query") / "prices.json").read_text("utf-8")
        return Prices.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} cannot be read: {error}") from None
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'content'}: {item['msg']}" for item in error.errors())
        raise SettingsError(f"{name}: {'; '.join(map(plain, problems))}") from None


def cost(prices: Prices, model_host_s: float, function_s: float, memory_mb: int | None = None) -> Cost:
    """Return the cost of a request, from the seconds of the model host and of the function.

    `memory_mb` is the function's memory; None takes the price file's. The amount is rounded to 1e-9. Lambda bills
    whole milliseconds, rounded up (https://aws.amazon.com/lambda/pricing/).
    """
    host, function = prices.model_host, prices.function
    billed_s = math.ceil(round(function_s * 1000, 3)) / 1000
    gigabytes = (memory_mb or function.memory_mb) / _MB_IN_GB
    amount = (
        model_host_s * host.per_hour / _SECONDS_IN_HOUR / host.parallel
        + billed_s * gigabytes * function.per_gb_second
        + function.per_request
        + prices.api_request
    )
    return Cost(
        amount=round(amount, _DIGITS),
        currency=prices.currency,
        model_host_s=round(model_host_s, 3),
        function_s=round(function_s, 3),
        prices=prices.name,
    )
