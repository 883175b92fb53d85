"""The states of a document and the steps between them, as `docs/architecture.md` draws them."""

from __future__ import annotations

from docwell.ingest.steps import Recognise, Refresh, Resume, Settle, Start, Step
from docwell.models import DocumentRecord, Hint, ObjectVersion, Status

# By state: the step once the hint is served, for a plain hint, and for a hint to sweep; None where nothing is left
# to do. A hint to rebuild makes any document Behind.
TABLE: dict[str, tuple[type[Step] | None, type[Step] | None, type[Step] | None]] = {
    "Behind": (Start, Start, Start),
    "Planned": (Resume, Resume, Resume),
    "Waiting": (None, Refresh, Resume),
    "Complete": (Settle, Settle, Settle),
    "Complete, to be recognised": (Recognise, Recognise, Recognise),
    "INDEXED": (None, Refresh, Refresh),
    "EMPTY": (None, Refresh, Refresh),
    "REJECTED": (None, Refresh, Refresh),
    "Gone": (Settle, Settle, Settle),
    "DELETED": (None, Settle, Settle),
}

# The states that a step can lead to.
ENDS: dict[tuple[str, type[Step]], set[str]] = {
    ("Behind", Start): {"Planned", "Complete", "REJECTED"},
    ("Planned", Resume): {"Waiting"},
    ("Waiting", Resume): {"Waiting"},
    ("Waiting", Refresh): {"Waiting"},
    ("Complete", Recognise): {"Planned"},
    ("Complete", Settle): {"INDEXED", "EMPTY", "REJECTED"},
    ("INDEXED", Refresh): {"INDEXED"},
    ("EMPTY", Refresh): {"EMPTY"},
    ("REJECTED", Refresh): {"REJECTED"},
    ("Gone", Settle): {"DELETED"},
}

STEP_EDGES = {(state, end, step.__name__.lower()) for (state, step), ends in ENDS.items() for end in ends}

# The transitions that are not steps of `next_step`.
EVENT_EDGES = {
    ("[*]", "Behind", "first event"),
    ("Any", "Behind", "new version"),
    ("Any", "Behind", "rebuild"),
    ("Any", "Gone", "delete"),
    ("Any", "FAILED", "last receive fails"),
    ("Any", "FAILED", "dead letter"),
    ("Gone", "DELETED", "dead letter"),
    ("Any", "Any", "observe"),
    ("FAILED", "Behind", "redrive"),
    ("Waiting", "Complete", "last range done"),
    ("Waiting", "REJECTED", "range refused"),
    ("Any", "Any", "look again"),
    ("Any", "Any", "lease lost"),
}

_AT_THE_OBJECTS_VERSION = {
    Status.INDEXED: "INDEXED",
    Status.EMPTY: "EMPTY",
    Status.REJECTED: "REJECTED",
    Status.FAILED: "Behind",
    Status.DELETED: "Behind",
}


def state_of(record: DocumentRecord, head: ObjectVersion | None, hint: Hint | None) -> str:
    """The state of a document, as the drawing names it."""
    if head is None:
        return "DELETED" if record.status is Status.DELETED and hint is None else "Gone"
    if record.version != head.version or (hint is not None and hint.rebuild):
        return "Behind"
    if record.status is not Status.PENDING:
        return _AT_THE_OBJECTS_VERSION[record.status]
    if record.ranges is None:
        return "Behind"
    if len(record.ranges_done) == record.ranges:
        return "Complete"
    return "Waiting" if record.dispatched else "Planned"
