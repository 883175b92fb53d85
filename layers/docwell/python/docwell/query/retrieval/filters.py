"""Which documents a question is about, by their key and by what is said of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docwell.attributes import Attributes
from docwell.models import DEFAULT_COLLECTION, collection_of


@dataclass(frozen=True, slots=True)
class Filter:
    """What a document must be; all that is given must hold, and an empty filter fits every document.

    `prefix`: how its key begins. `documents`: its key is one of these. `title`, `author`: each of these words is
    in it, in any case. `created_from`, `created_to`: days ("2026-03-01"), both included; a document without one
    does not fit. `tags`, `metadata`: it has these names with exactly these values.
    """

    prefix: str = ""
    documents: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    created_from: str = ""
    created_to: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != ANY

    def fits(self, key: str, said: Attributes) -> bool:
        """Whether a document with this key, of which this is said, is meant."""
        return (
            key.startswith(self.prefix)
            and (not self.documents or key in self.documents)
            and _has_words(self.title, said.title)
            and _has_words(self.author, said.author)
            and self._in_time(said.created)
            and self.tags.items() <= said.tags.items()
            # S3 keeps the names of metadata in lower case, whatever case they were sent in.
            and {name.lower(): value for name, value in self.metadata.items()}.items() <= said.metadata.items()
        )

    def collections(self, among: Sequence[str]) -> tuple[str, ...]:
        """Those of the collections in which a key can begin with the prefix."""
        if "/" in self.prefix:
            return tuple(name for name in among if name == collection_of(self.prefix))
        return tuple(name for name in among if name == DEFAULT_COLLECTION or name.startswith(self.prefix))

    def _in_time(self, created: str | None) -> bool:
        if not self.created_from and not self.created_to:
            return True
        # Days in this form are in order of time when they are in order of text.
        return created is not None and self.created_from <= created <= (self.created_to or created)


ANY = Filter()


def _has_words(wanted: str, said: str | None) -> bool:
    """Whether each of the wanted words stands in a text.

    >>> _has_words("FLOOD report", "Report on flooding"), _has_words("flood", None), _has_words("", None)
    (True, False, True)
    """
    text = (said or "").casefold()
    return all(word in text for word in wanted.casefold().split())
