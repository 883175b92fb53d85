"""``python -m benchmarks.retrieval`` (`make eval-retrieval`): how well docwell finds the passage that answers.

Documents go through docwell's own reading, chunking, embedding and writing, questions through its retrieval. All
sets share one Chroma server, whose data stays in `build/retrieval-cache` for the next run. `--without` leaves out
each part of the ranking in turn on two small sets, asks the router questions whose mode is known, and writes
docs/generated/ranking.md.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, Self
from unittest.mock import patch

import numpy as np

import docwell.models
from benchmarks.doors import chroma_server
from benchmarks.guard import UNTOUCHED, load, passage
from benchmarks.reading import default_reader
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.documents.document_reader import RecognisingReader
from docwell.adapters.embedding.model_manifest import ModelCalibration
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener
from docwell.answers import Mode
from docwell.config import IngestLimits, QuerySettings
from docwell.errors import ModelDamaged
from docwell.identity import Principal
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ranges import Span
from docwell.models import Attributes, Generation, Passage, collection_of
from docwell.ports import LiveDocument, Places
from docwell.query.ask import Searched
from docwell.query.document_names import named, written
from docwell.query.modes import Router
from docwell.query.prompting import shorten
from docwell.query.retrieval import ranking
from docwell.query.retrieval.retrieval import RankedHits, Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.text.naming import file_words
from infra.local.names import HOST
from infra.local.stack import MODEL_DIR
from infra.measuring import interval_of_difference, interval_of_mean
from infra.progress import CONSOLE, bar
from infra.report import EVALUATION, ROOT, Report, machine

# The scopes of a question, as reports name them: the set's collection, the document with its answer, the PDFs of
# all sets; without an answer, one other set, or all others.
POOLED, DOCUMENT, MIXED = "", ", in the document", ", in the mixed collection"
ANOTHER, OTHERS = UNRELATED = ", unrelated, in another set", ", unrelated, in all other sets"
# Questions of either set are about companies like those of the other.
_AKIN = frozenset({"financebench", "filings2"})
_PLACES = ("page1", "best_page1")  # the fields with the page of a piece of evidence


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and the document `key` that answers it.

    `evidence` has the pages (key, 1-based page) of each part of the answer: one page of each part is enough.
    """

    text: str
    key: str
    evidence: tuple[frozenset[tuple[str, int]], ...] = ()

    @property
    def pages(self) -> frozenset[tuple[str, int]]:
        """The pages of all parts."""
        return frozenset().union(*self.evidence)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions, and the files of their documents by key, all in one collection.

    `judged` is where the questions judge parts of the ranking.
    """

    name: str
    title: str
    files: Mapping[str, Path]
    questions: tuple[Question, ...]
    judged: tuple[str, ...] = ()

    def sample(self, count: int | None) -> Self:
        """Return about `count` of the questions, spread evenly, over all documents."""
        if count is None or count >= len(self.questions):
            return self
        step = len(self.questions) / count
        return replace(self, questions=tuple(self.questions[int(i * step)] for i in range(count)))


def filings(name: str, title: str, file: str) -> EvaluationSet:
    """Load questions on company filings, with the pages of the evidence."""
    questions = list[Question]()
    for row in load(f"{name}/{file}"):
        places = [[(f"{name}/{part['doc']}.pdf", part[at]) for at in _PLACES] for part in row["evidence"]]
        questions.append(Question(row["question"], f"{name}/{row['doc']}.pdf", tuple(map(frozenset, places))))
    return EvaluationSet(name, title, _pdfs(name), tuple(questions), judged=(POOLED, DOCUMENT))


def mmlongbench() -> EvaluationSet:
    """Load the questions on PDFs of many kinds that the text or a table answers, with the pages of the evidence.

    Many do not name their document, so they judge retrieval within it.
    """
    questions = tuple(
        Question(row["question"], key, tuple(frozenset({(key, page)}) for page in row["evidence_pages"]))
        for row in load("mmlongbench/questions_dev.json")
        if row["text_or_table_only"] and not row["unanswerable"]
        for key in (f"mmlongbench/{row['doc']}",)
    )
    return EvaluationSet("mmlongbench", "MMLongBench", _pdfs("mmlongbench"), questions, judged=(DOCUMENT,))


def pages(name: str, title: str, file: str, judged: tuple[str, ...]) -> EvaluationSet:
    """Load questions with the pages that answer."""
    questions = tuple(
        Question(row["question"], key, (frozenset((key, page) for page in row.get("pages") or [row["page"]]),))
        for row in load(f"{name}/{file}")
        for key in (f"{name}/{row['doc']}",)
    )
    return EvaluationSet(name, title, _pdfs(name), questions, judged=judged)


SETS: Mapping[str, Callable[[], EvaluationSet]] = {
    "financebench": partial(filings, "financebench", "FinanceBench", "questions_dev.json"),
    "filings2": partial(filings, "filings2", "other filings", "questions_dev2.json"),
    "mmlongbench": mmlongbench,
    # English articles, among translations of some into eight languages.
    "xquad": partial(pages, "xquad", "XQuAD", "questions_en_dev.json", (POOLED, MIXED)),
    # The handbooks of a made-up company.
    "northwind": partial(pages, "northwind", "Northwind", "questions.json", (POOLED,)),
}


def _pdfs(name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in sorted((EVALUATION / name / "pdf").glob("*.pdf"))}


CACHE = ROOT / "build" / "retrieval-cache"
# The modules of these folders, and the libraries, decide the index's content.
_CODE = ("", "adapters/documents", "adapters/embedding", "ingest", "text")
_LIBRARIES = ROOT / "requirements" / "dev.txt"
_VERSION = "v1"


@dataclass(frozen=True)
class Indexed:
    """A filled index, the embedder of questions, and the number of chunks of each document by its key."""

    index: ChromaIndex
    embedder: OnnxEmbedder
    chunks: Mapping[str, int]

    def described(self, keys: Sequence[str]) -> dict[str, LiveDocument]:
        """Return the indexed ones of these documents, all live, as the query's catalogue does."""
        fingerprint, indexed_keys = self.embedder.manifest.fingerprint, [key for key in keys if key in self.chunks]
        return {key: LiveDocument(_generation(key, fingerprint).id, Attributes()) for key in indexed_keys}


@contextmanager
def indexed(files: Mapping[str, Path], model: Path, *, recognises: bool = False) -> Iterator[Indexed]:
    """Run a Chroma server during the block; index the files that no earlier run of this code has indexed.

    With `recognises`, pages that are pictures are read too. Delete `CACHE` when a file of the evaluation material
    changes.
    """
    embedder, limits = OnnxEmbedder(model), IngestLimits()
    folder = CACHE / (_stamp(embedder.manifest.fingerprint) + "-ocr" * recognises)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / "chunks.json"
    chunks: dict[str, int] = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    server, port = chroma_server(folder / "chroma")
    try:
        server.start()
        layout = Layout(embedder.manifest.fingerprint, limits.shards)
        kept_passages = int(QuerySettings.model_fields["kept_passages"].default)
        index = ChromaIndex(ChromaServer(f"http://{HOST}:{port}", timeout_s=60), layout, kept_passages)
        no_store: Any = None  # nothing is downloaded: the files are local
        reader = default_reader()
        recogniser = RecognisingReader(reader, limits) if recognises else None
        indexer = RangeIndexer(no_store, index, embedder, reader, limits, recogniser)
        with bar("indexing", len(files)) as step:
            for key, path in files.items():
                step.say(key)
                if key not in chunks:
                    chunks[key] = _index(indexer, _generation(key, embedder.manifest.fingerprint), path)
                    ledger.write_text(json.dumps(chunks), encoding="utf-8")
                step()
        asking = OnnxEmbedder(model, 0, session_opener("onnxruntime"), for_questions=True)
        yield Indexed(index, asking, chunks)
    finally:
        server.kill()


def _index(indexer: RangeIndexer, generation: Generation, path: Path) -> int:
    """Index all ranges of a file and return the number of its chunks."""
    size, pages = indexer.limits.range_pages, indexer.reader.inspect(path).page_count
    recognise = indexer.recogniser is not None
    spans = [Span(first, min(first + size - 1, pages), recognise) for first in range(1, pages + 1, size)]
    return sum(
        indexer.run(generation, path, number, span, lambda: None).chunks for number, span in enumerate(spans)
    )


def _generation(key: str, fingerprint: str) -> Generation:
    return Generation.of("evaluation", key, _VERSION, fingerprint)


def _stamp(fingerprint: str) -> str:
    package = Path(docwell.models.__file__).parent
    modules = [path for folder in _CODE for path in sorted((package / folder).glob("*.py"))]
    contents = b"".join(sha256(path.read_bytes()).digest() for path in (_LIBRARIES, *modules))
    return sha256(fingerprint.encode() + contents).hexdigest()[:16]


HITS = (1, 3, 5, 10)
# Tokens of a prompt's passages, and the passages that a model with such a context gets.
BUDGETS = {350: 5, 2_000: 8, 12_000: 20}
TOP_K = max(BUDGETS.values())
_EVERYBODY = Principal("key:benchmark", collections=None)
DEFAULT, NEAREST = "ranked", "nearest"
# The weights of the parts of the ranking, named for readers: 0 switches a part off.
PARTS = {
    "UNIT_WEIGHT": "the nearest unit",
    "WORDS_WEIGHT": "the words",
    "NAME_WEIGHT": "the words of the file name",
}
# A value for each question, by variant and scope, then by measure.
Scores = dict[tuple[str, str], dict[str, list[float]]]


class Asker:
    """Asks the questions of the sets `mixed` in one index; the gate has the threshold `min_fit`."""

    def __init__(self, indexed: Any, mixed: Sequence[str], min_fit: float | None) -> None:
        self._mixed, self._min_fit = mixed, min_fit
        self._indexed = indexed
        self._retrieval = Retrieval(indexed, indexed.index)

    def ask(self, material: EvaluationSet, variants: Collection[str] = ()) -> Scores:
        """Return the scores of docwell and of `variants`.

        The `variants` are asked in the scopes that judge, and get ranks only. docwell also gets the evidence, and
        the questions that its gate refuses.
        """
        scores: Scores = {}
        scopes = [POOLED, DOCUMENT, *([MIXED] if self._mixed[1:] else [])]
        scopes += UNRELATED if self._others(material.name) else ()
        searches = [(scope, DEFAULT) for scope in scopes]
        searches += [(scope, variant) for scope in scopes if scope in material.judged for variant in variants]
        vectors = self._indexed.embedder.embed_queries([question.text for question in material.questions])
        with bar(f"{material.title}: asking", len(vectors)) as step:
            for question, vector in zip(material.questions, vectors.tolist(), strict=True):
                for scope, variant in searches:
                    hits = self._search(variant, question, vector, scope)
                    values = {} if scope in UNRELATED else of_ranks(question, hits.passages)
                    if variant == DEFAULT and scope not in UNRELATED:
                        values |= of_evidence(question, hits.passages)
                    if variant == DEFAULT and scope != DOCUMENT:  # no gate
                        values["refused before the model"] = 100.0 * ((hits.fit or 0.0) < (self._min_fit or 0.0))
                    for measure, value in values.items():
                        scores.setdefault((variant, scope), {}).setdefault(measure, []).append(value)
                step()
        return scores

    def _others(self, name: str) -> list[str]:
        """Return the sets that have no answer to the questions of a set."""
        return sorted(set(self._mixed) - (_AKIN if name in _AKIN else {name}))

    def _places(self, question: Question, scope: str) -> Places:
        """Return the collections and documents of a scope."""
        collection = collection_of(question.key)
        others = self._others(collection)
        # Choose by the question, so that all sets have their turn.
        another = others[len(question.text) % max(len(others), 1) :][:1]
        places: dict[str, Places] = {
            POOLED: {collection: None},
            DOCUMENT: {collection: (question.key,)},
            MIXED: dict.fromkeys(self._mixed),
            ANOTHER: dict.fromkeys(another),
            OTHERS: dict.fromkeys(others),
        }
        return places[scope]

    def _search(self, variant: str, question: Question, vector: Sequence[float], scope: str) -> RankedHits:
        text = "" if variant == NEAREST else question.text
        where = Scope(_EVERYBODY, self._places(question, scope))
        with patch.object(ranking, variant, 0.0) if variant in PARTS else nullcontext():
            return self._retrieval.search(where, vector, TOP_K, text)


def of_ranks(question: Question, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether one of the first 1, 3, 5, 10 passages is on a page that answers, 0 or 100 each."""
    right = [(passage.document, passage.chunk.page) in question.pages for passage in passages]
    return {f"hit@{k}": 100.0 * any(right[:k]) for k in HITS}


def of_evidence(question: Question, passages: Sequence[Passage]) -> dict[str, float]:
    """Return whether the prompt of each budget has a page of each part of the answer, 0 or 100 each."""
    measures = {}
    for tokens, count in BUDGETS.items():
        parts = shorten(passages[:count], question.text, tokens)
        shown = {(part.document, part.chunk.page) for part in parts}
        is_whole = all(not pages.isdisjoint(shown) for pages in question.evidence)
        measures[f"all evidence in {tokens:,} tokens"] = 100.0 * is_whole
    return measures


TABLE = ROOT / "docs" / "generated" / "ranking.md"
_MEASURES, _TOP_K = ("hit@1", "hit@5"), 5
_YEAR = re.compile(r"\b(?:FY ?|fiscal year |fiscal )?20\d\d\b")
_HEAD = """# What each part of the ranking is worth

`make eval-retrieval ARGS="{arguments}"`, on
{machine}.
Points that a measure loses without a part, with the 95 % interval, on a set that no part was chosen on. "All of
them" ranks by the vectors of chunks alone, and joins no neighbours. The last rows are the questions of each mode
that the router gets right, and questions with and without a rule about file names: for the latest filing and for
four companies, with a passage of its file name for each document; for a figure of a company, with tables.

| row | value | unit |
| --- | ---: | --- |
"""


def add_parts(report: Report, material: EvaluationSet, scores: Scores) -> None:
    """Add each measure with all parts, and its loss without each of them: the mean over the judged scopes."""
    for measure in _MEASURES:
        values = {
            variant: np.mean([scores[variant, scope][measure] for scope in material.judged], axis=0).tolist()
            for variant in (DEFAULT, *PARTS, NEAREST)
        }
        count = len(material.questions)
        report.add(f"{material.title}, {count} questions: {measure}", fmean(values[DEFAULT]), "%")
        for variant, part in {**PARTS, NEAREST: "all of them"}.items():
            loss, low, high = interval_of_difference(values[DEFAULT], values[variant])
            report.add(f"{measure} without {part}: loss [{low:+.1f}, {high:+.1f}]", loss, "points")


def add_verdicts(report: Report) -> None:
    """Add how often the router, and the rules about file names, are right."""
    embedder = OnnxEmbedder(MODEL_DIR, 0, session_opener("onnxruntime"), for_questions=True)
    right: dict[str, list[bool]] = {}
    for name, is_right in chain(_routes(embedder), _names(embedder)):
        right.setdefault(name, []).append(is_right)
    for name, verdicts in right.items():
        report.add(f"{name}, {sum(verdicts)} of {len(verdicts)} right", 100 * fmean(verdicts), "%")


def _routes(embedder: OnnxEmbedder) -> Iterator[tuple[str, bool]]:
    """Yield a row of the table, and whether the router is right, for each question whose mode is known."""
    router = Router(embedder, language=ModelCalibration.read(MODEL_DIR).language)
    for row in load("claims/routes_own_dev.jsonl"):
        searched = _searched(embedder, row["question"], _by_name(row["documents"]))
        names = written(searched.text, searched.documents)
        name = names[0] if len({name.key for name in names}) == 1 else None
        mode = router.mode(replace(searched, passages=searched.passages[:_TOP_K]), name) or Mode.PASSAGES
        for route in (row["route"], "all"):
            yield f"routes: {route}", mode.value == row["route"]


def _names(embedder: OnnxEmbedder) -> Iterator[tuple[str, bool]]:
    """Yield a row of the table, and whether a question gets its documents, with and without each rule."""
    names = _by_name(files := [*_pdfs("filings2")])
    # A question that names the year of a company's newest filing asks for the latest year instead.
    for question in SETS["filings2"]().questions:
        text = _YEAR.sub("the latest year", question.text)
        if text != question.text and question.key in ranking.newest(files):
            searched = _searched(embedder, text, names)
            for part in _with_and_without("newest", lambda _: frozenset[str]()):
                yield f"the latest filing{part}", _shown(searched)[0] == question.key
    companies = sorted({_company(key) for key in files})
    for four in zip(*(companies[at:] for at in range(4)), strict=False):
        searched = _searched(embedder, f"What was the revenue of {' and '.join(four)}?", names)
        for part in _with_and_without("with_named", lambda _, passages, __: passages):
            yield f"four companies, a place for each{part}", {*map(_company, _shown(searched))} >= {*four}
    cases = [case for case in UNTOUCHED["cells of tables"]() if case.right]
    tables = [*{shown.chunk.text: shown for case in cases for shown in case.passages}.values()]
    for case in cases:
        key = case.passages[0].document
        searched = _searched(embedder, f"{_company(key)}: {case.question}", tables)
        for part in _with_and_without("NAME_WEIGHT", 0.0):
            yield f"a figure of a company, its filing first{part}", _shown(searched)[0] == key


def _with_and_without(rule: str, without: object) -> Iterator[str]:
    """Yield the end of a row's name, with a rule of the ranking and without it."""
    yield ""
    with patch.object(ranking, rule, without):
        yield ", without the rule"


def _company(key: str) -> str:
    return file_words(key).split()[0].title()


def _by_name(documents: Sequence[str]) -> list[Passage]:
    """Return a passage for each document: its file name."""
    return [passage(file_words(document), number, document) for number, document in enumerate(documents)]


def _shown(searched: Searched) -> list[str]:
    """Return the documents of the passages for the prompt, best first."""
    ranked = [ranked for ranked, _ in ranking.rank(searched.text, searched.vector, searched.passages)]
    places = ranking.with_named(named(searched.text, searched.documents), ranked[:_TOP_K], ranked)
    return [place.document for place in places]


def _searched(embedder: OnnxEmbedder, question: str, passages: Sequence[Passage]) -> Searched:
    """Return the question after a search that brings these passages."""
    (vector,) = embedder.embed_queries([question])
    scores = (embedder.embed_passages([passage.chunk.text for passage in passages]) @ vector).tolist()
    nearest = sorted(map(Passage.scored, passages, scores), key=lambda passage: -passage.score)
    documents = tuple(dict.fromkeys(passage.document for passage in passages))
    return Searched(Mode.AUTO, question, Scope(_EVERYBODY), vector.tolist(), tuple(nearest), documents, _TOP_K)


# A small set that no weight was chosen on: minutes in place of an hour.
QUICK = ("northwind",)
# Goals by set and scope, then by measure; used when all questions are asked.
GOALS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("financebench", POOLED): {"hit@1": 45, "hit@5": 75, "hit@10": 85},
    ("financebench", DOCUMENT): {"hit@1": 55, "hit@5": 85, "hit@10": 92},
    ("mmlongbench", DOCUMENT): {"hit@1": 62, "hit@5": 90, "hit@10": 95},
    ("xquad", POOLED): {"hit@1": 97, "hit@5": 99.5},
    ("xquad", MIXED): {"hit@1": 96.5, "hit@5": 99},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--n", type=int, help="a sample of each set's questions (default: all)")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS))
    parser.add_argument("--without", action="store_true", help="the loss without each part, on one set")
    parser.add_argument("--ocr", action="store_true", help="read scanned pages too; install it with `make ocr`")
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="a folder that `make model` wrote")
    options = parser.parse_args()
    names = tuple(options.sets or (QUICK if options.without else SETS))
    try:
        sets = [SETS[name]().sample(options.n) for name in names]
        files = {key: path for material in sets for key, path in material.files.items()}
        with indexed(files, options.model, recognises=options.ocr) as documents:
            asker = Asker(documents, names, ModelCalibration.read(options.model).gate.min_fit)
            return (_without if options.without else _measure)(asker, sets, options)
    except ModelDamaged as error:
        CONSOLE.print(error.detail, style="red")
    return 2


def _measure(asker: Asker, sets: Sequence[EvaluationSet], options: argparse.Namespace) -> int:
    """Add a row for each set, scope and measure, with the goals where all questions are asked."""
    report = Report("retrieval")
    for material in sets:
        for (_, scope), measures in asker.ask(material).items():
            goals = {} if options.n else GOALS.get((material.name, scope), {})
            for measure, values in measures.items():
                text = f">= {goals[measure]:g}" if measure in goals else None
                low, high = interval_of_mean(values)
                report.add(f"{material.title}: {measure}{scope} [{low:.1f}, {high:.1f}]", fmean(values), "%", text)
    return report.finish()


def _without(asker: Asker, sets: Sequence[EvaluationSet], _: argparse.Namespace) -> int:
    """Measure what each part of the ranking, and the router, is worth; write the table."""
    report = Report("retrieval-without")
    for material in sets:
        add_parts(report, material, asker.ask(material, [*PARTS, NEAREST]))
    add_verdicts(report)
    rows = "".join(f"| {row.metric} | {row.value:.2f} | {row.unit} |\n" for row in report.rows)
    head = _HEAD.format(arguments=" ".join(sys.argv[1:]), machine=machine())
    TABLE.write_text(head + rows, encoding="utf-8")
    CONSOLE.print(f"written: {TABLE}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
