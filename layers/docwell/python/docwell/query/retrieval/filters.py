"""Conditions that a document must meet: key, title, author, day, tags and metadata. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docwell.attributes import Attributes
from docwell.models import DEFAULT_COLLECTION, collection_of


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on a document. All of them must hold; an empty filter matches every document.

    Attributes:
        prefix: the beginning of the key.
        documents: the keys themselves.
        title: words that the title contains, in any case.
        author: words that the author contains, in any case.
        created_from: the first day ("2026-03-01"), included. A document without a day does not match.
        created_to: the last day, included.
        tags: tags that the document has with these values.
        metadata: metadata that the document has with these values; names in any case.
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

    def matches(self, key: str, attributes: Attributes) -> bool:
        """Return whether a document with this key and these attributes matches."""
        return (
            key.startswith(self.prefix)
            and (not self.documents or key in self.documents)
            and _has_words(self.title, attributes.title)
            and _has_words(self.author, attributes.author)
            and self._in_time(attributes.created)
            and self.tags.items() <= attributes.tags.items()
            # S3 keeps metadata names in lower case.
            and {name.lower(): value for name, value in self.metadata.items()}.items()
            <= attributes.metadata.items()
        )

    def collections(self, among: Sequence[str]) -> tuple[str, ...]:
        """Return the collections in which a key can begin with the prefix."""
        if "/" in self.prefix:
            return tuple(name for name in among if name == collection_of(self.prefix))
        return tuple(name for name in among if name == DEFAULT_COLLECTION or name.startswith(self.prefix))

    def _in_time(self, created: str | None) -> bool:
        if not self.created_from and not self.created_to:
            return True
        # Days in this form sort as text.
        return created is not None and self.created_from <= created <= (self.created_to or created)


ANY = Filter()


def _has_words(words: str, text: str | None) -> bool:
    """Return whether a text contains each of the words."""
    folded = (text or "").casefold()
    return all(word in folded for word in words.casefold().split())
