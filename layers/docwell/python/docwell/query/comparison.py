"""The mode `compare`: which documents to compare, and their passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docwell.answers import Mode
from docwell.errors import BadInput
from docwell.ports import LanguageModel
from docwell.query.document_names import named, names
from docwell.query.modes import Basis, Rows, Searched
from docwell.query.prompting import Prompt
from docwell.query.retrieval.retrieval import Retrieval

FEWEST_DOCUMENTS, MOST_DOCUMENTS = 2, 8
# Deleted documents keep their rows.
_FEW_ROWS = 4 * MOST_DOCUMENTS

TWO_TO_EIGHT = (
    f"a comparison is of {FEWEST_DOCUMENTS} to {MOST_DOCUMENTS} documents: "
    "name them in the question or as `filter.documents`"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Finds the documents and their passages; `model` writes the rows."""

    retrieval: Retrieval
    prompt: Prompt
    model: LanguageModel

    def basis(self, searched: Searched) -> Basis | None:
        """Return up to `top_k` passages of each document, None if no document has any.

        Raises `BadInput` for fewer than two documents, and for more than eight.
        """
        titles = self._documents(searched)
        if not FEWEST_DOCUMENTS <= len(titles) <= MOST_DOCUMENTS:
            raise BadInput(TWO_TO_EIGHT)
        passages = tuple(
            passage
            for key in titles
            for passage in self.retrieval.search(
                searched.scope.only(key), searched.vector, searched.top_k, searched.text
            ).passages
        )
        rows = Rows(names(titles, searched.text), self.model)
        return Basis(Mode.COMPARE, passages, self.prompt, rows) if passages else None

    def _documents(self, searched: Searched) -> Mapping[str, str]:
        """Return the titles of the documents to compare, by key, in the order of the rows.

        They are those that the question names. If it names none or too many, and the caller wants a comparison:
        all that match if they are up to eight, else those of the passages. A filter by documents goes first.
        """
        scope, catalogue = searched.scope, self.retrieval.catalogue
        meant: Sequence[str] = sorted(named(searched.text, searched.documents))
        suits = searched.mode is Mode.AUTO or FEWEST_DOCUMENTS <= len(meant) <= MOST_DOCUMENTS
        if not suits or (scope.filter.documents and searched.mode is Mode.COMPARE):
            live, complete = scope.documents(catalogue, _FEW_ROWS)
            if complete and (scope.filter.documents or len(live) <= MOST_DOCUMENTS):
                return {key: live[key].attributes.title or "" for key in sorted(live)}
            meant = list(dict.fromkeys(one.document for one in searched.passages))[:MOST_DOCUMENTS]
        live = catalogue.described(meant)
        return {key: live[key].attributes.title or "" for key in meant if key in live}
