"""Ollama's HTTP protocol: what requests mean and how answers are written. Pure: no model, no network.

Follows Ollama's source of August 2026 (api/types.go, server/routes.go), with its texts of errors.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BUSY = "server busy, please try again.  maximum pending requests exceeded"
# Ollama keeps a model for 292 years (2^63 ns) when told to keep it for ever.
_FOREVER = timedelta(days=106_751)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


class RequestError(Exception):
    """A request that ends with an error: `status` is that of HTTP, the text is what the client reads."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Options:
    """`options` of a request with Ollama's defaults; None takes the server's own."""

    num_ctx: int | None = None
    num_predict: int = -1
    num_keep: int = 4
    seed: int = -1
    top_k: int = 40
    repeat_last_n: int = 64
    temperature: float = 0.8
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """A request for text, from /api/chat or /api/generate.

    `prompt` is set for a raw prompt, otherwise `messages` go through the model's template. Without
    either the model is only loaded, or unloaded with `keep_alive` 0. `keep_alive` is in seconds,
    infinite for ever, None to leave it as it is.
    """

    chat: bool
    model: str
    messages: tuple[dict[str, str], ...]
    prompt: str | None
    stream: bool
    truncate: bool
    shift: bool
    keep_alive: float | None
    format: str | dict[str, Any] | None
    options: Options

    @property
    def empty(self) -> bool:
        """Nothing to answer: a request to load or to unload."""
        return not self.messages and not self.prompt


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises `RequestError` 400."""
    if not body.strip():
        raise RequestError(400, "missing request body")
    try:
        value = json.loads(body)
    except ValueError:
        # The parser's own message can quote the body, which may hold a question.
        raise RequestError(400, "invalid JSON in the request body") from None
    if not isinstance(value, dict):
        raise RequestError(400, "the request body must be a JSON object")
    return value


def parse_chat(body: Mapping[str, Any]) -> Generation:
    """A /api/chat request. Raises `RequestError` 400."""
    messages = []
    for item in _typed(body, "messages", list, []):
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            raise RequestError(400, "each message must be an object with a role")
        content = item.get("content")
        if not isinstance(content, str | None):
            raise RequestError(400, "the content of a message must be a string")
        if item.get("images"):
            raise RequestError(400, "this model does not support images")
        messages.append({"role": item["role"].lower(), "content": content or ""})
    return _generation(body, chat=True, messages=tuple(messages), prompt=None)


def parse_generate(body: Mapping[str, Any]) -> Generation:
    """A /api/generate request. Raises `RequestError` 400."""
    prompt = _typed(body, "prompt", str, "")
    if body.get("images") or body.get("suffix"):
        raise RequestError(400, "this model does not support images or insert")
    if _typed(body, "raw", bool, default=False):
        return _generation(body, chat=False, messages=(), prompt=prompt)
    system = _typed(body, "system", str, "")
    messages = [{"role": "system", "content": system}] if system and prompt else []
    messages += [{"role": "user", "content": prompt}] if prompt else []
    return _generation(body, chat=False, messages=tuple(messages), prompt=None)


def _generation(
    body: Mapping[str, Any], *, chat: bool, messages: tuple[dict[str, str], ...], prompt: str | None
) -> Generation:
    model = model_of(body)
    for feature in ("tools", "think"):
        if body.get(feature):
            raise RequestError(400, f'"{model}" does not support {feature}')
    output = body.get("format") or None
    if not (output is None or output == "json" or isinstance(output, dict)):
        raise RequestError(400, 'invalid format: expected "json" or a JSON schema')
    return Generation(
        chat=chat,
        model=model,
        messages=messages,
        prompt=prompt,
        stream=_typed(body, "stream", bool, default=True),
        truncate=_typed(body, "truncate", bool, default=True),
        shift=_typed(body, "shift", bool, default=True),
        keep_alive=parse_keep_alive(body.get("keep_alive")),
        format=output,
        options=parse_options(_typed(body, "options", dict, {})),
    )


def model_of(body: Mapping[str, Any]) -> str:
    """The model that a request names, also under the older key `name`. Raises `RequestError` 400."""
    name: str = _typed(body, "model", str, "") or _typed(body, "name", str, "")
    if not name:
        raise RequestError(400, "model is required")
    return name


def full_name(name: str) -> str:
    """A model's name with its tag: `latest` is implied, and case does not matter.

    >>> full_name("SmolLM2"), full_name("qwen2.5-coder:1.5b")
    ('smollm2:latest', 'qwen2.5-coder:1.5b')
    """
    name = name.lower()
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def parse_options(raw: Mapping[str, Any]) -> Options:
    """Options with defaults; unknown ones are ignored, as Ollama does. Raises `RequestError` 400."""
    chosen: dict[str, Any] = {}
    for field in fields(Options):
        value = raw.get(field.name)
        if value is None:
            continue
        if field.name == "stop":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise RequestError(400, 'option "stop" must be an array of strings')
            chosen["stop"] = tuple(value)
            continue
        # Ollama reads 5.9 as the integer 5 and takes no numbers written as strings.
        number = str(field.type).startswith("int")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            kind = "integer" if number else "float32"
            raise RequestError(400, f'option "{field.name}" must be of type {kind}')
        chosen[field.name] = int(value) if number else float(value)
    return Options(**chosen)


def parse_keep_alive(value: object) -> float | None:
    """Seconds to keep a model; infinite for ever, None when not said. Raises `RequestError` 400.

    >>> parse_keep_alive("1h30m"), parse_keep_alive(0), parse_keep_alive(-1), parse_keep_alive(None)
    (5400.0, 0.0, inf, None)
    """
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.inf if value < 0 else float(value)
    if not isinstance(value, str):
        raise RequestError(400, "keep_alive must be a number of seconds or a duration")
    text = value.removeprefix("-").removeprefix("+")
    parts = _DURATION.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise RequestError(400, 'time: invalid duration in keep_alive: use 300, "5m" or "1h30m"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return math.inf if value.startswith("-") and seconds else seconds


def expiry(now: datetime, keep_alive: float) -> datetime:
    """When a model that is kept for so many seconds goes."""
    return now + min(_FOREVER, timedelta(seconds=min(keep_alive, _FOREVER.total_seconds())))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as Ollama writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def reply(generation: Generation, text: str, last: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One object of an answer. `last` holds what the final one adds; figures of zero are left out."""
    line: dict[str, Any] = {"model": generation.model, "created_at": timestamp(datetime.now(UTC))}
    if generation.chat:
        line["message"] = {"role": "assistant", "content": text}
    else:
        line["response"] = text
    line["done"] = last is not None
    line |= {key: value for key, value in (last or {}).items() if value}
    return line


def _typed(body: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise RequestError(400, f"{key} must be of type {kind.__name__}")
    return value
