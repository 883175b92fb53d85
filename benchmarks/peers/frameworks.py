"""LangChain and LlamaIndex over a Chroma server, as their documentation shows: their defaults or best settings.

LangChain: https://docs.langchain.com/oss/python/langchain/knowledge-base and
https://docs.langchain.com/oss/python/integrations/vectorstores/chroma. LlamaIndex:
https://developers.llamaindex.ai/python/framework/module_guides/loading/ingestion_pipeline/ and
https://developers.llamaindex.ai/python/examples/vector_stores/chromaindexdemo/.

The best documented settings: PyMuPDF reads, OpenVINO encodes batches of 8, a thousand chunks are stored at once.
https://docs.langchain.com/oss/python/integrations/document_loaders/pymupdf,
https://sbert.net/docs/sentence_transformer/usage/efficiency.html and
https://developers.llamaindex.ai/python/examples/embeddings/huggingface.

In: `framework` (langchain or llamaindex), `best` (whether with those settings), `chroma_host`, `chroma_port`,
`chroma_token`, `collection`, `model` (a folder), `threads`, and `pdfs` (paths) to index, or `questions` with `k`.

Out, of questions: `seconds` of each. Out, of PDFs: `seconds` from the first document to the last one stored,
`pages`, `chunks`, `failed` (documents that it cannot read), and `characters`: how many characters of the extracted
text stand in a vector, each counted once. The model reads 256 tokens and ignores the rest of a chunk.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# The fastest of 4, 8, 16, 32 and 64 on two cores; the default, 32, takes 1.3 times as much processor time.
BATCH = 8
# The chunks of many small documents are one call; a server takes at most 5,461 chunks in one.
STORED_AT_ONCE = 1000


class Chunk(NamedTuple):
    """The text that was embedded: `embedded` ends with `text`, which begins at `start` of the source, if known."""

    source: int
    start: int | None
    text: str
    embedded: str


class _Framework(NamedTuple):
    """One framework's steps. `chunks` says what was embedded of some pages and their splits."""

    load: Callable[[str], Sequence[Any]]
    split: Callable[[Sequence[Any]], Sequence[Any]]
    store: Callable[[Sequence[Any]], object]
    chunks: Callable[[Sequence[Any], Sequence[Any]], Iterable[Chunk]]
    embed: Callable[[list[str]], object]
    retrieve: Callable[[str], object]


def langchain(asked: dict[str, Any]) -> _Framework:
    import chromadb
    from langchain_chroma import Chroma  # type: ignore[import-not-found]
    from langchain_community.document_loaders import (  # type: ignore[import-not-found]
        PyMuPDFLoader,
        PyPDFLoader,
    )
    from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found]

    fast = {"backend": "openvino", "model_kwargs": openvino(asked)} if asked["best"] else {}
    batch = {"batch_size": BATCH} if asked["best"] else {}
    embeddings = HuggingFaceEmbeddings(model_name=asked["model"], model_kwargs=fast, encode_kwargs=batch)
    loader = PyMuPDFLoader if asked["best"] else PyPDFLoader
    client = chromadb.HttpClient(
        host=asked["chroma_host"],
        port=asked["chroma_port"],
        headers={"Authorization": f"Bearer {asked['chroma_token']}"},
    )
    store = Chroma(client=client, collection_name=asked["collection"], embedding_function=embeddings)
    # The sizes of its tutorial.
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)

    def chunks(pages: Sequence[Any], splits: Sequence[Any]) -> Iterable[Chunk]:
        numbers = {(page.metadata["source"], page.metadata["page"]): number for number, page in enumerate(pages)}
        for split in splits:
            start, text = split.metadata["start_index"], split.page_content
            number = numbers[split.metadata["source"], split.metadata["page"]]
            yield Chunk(number, None if start < 0 else start, text, text)

    return _Framework(
        load=lambda path: loader(path).load(),
        split=splitter.split_documents,
        store=lambda splits: store.add_documents(documents=splits),
        chunks=chunks,
        embed=embeddings.embed_documents,
        retrieve=store.as_retriever(search_kwargs={"k": asked.get("k", 1)}).invoke,
    )


def llamaindex(asked: dict[str, Any]) -> _Framework:
    import chromadb
    from llama_index.core import VectorStoreIndex
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import MetadataMode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.readers.file import PDFReader, PyMuPDFReader
    from llama_index.vector_stores.chroma import ChromaVectorStore

    client = chromadb.HttpClient(
        host=asked["chroma_host"],
        port=asked["chroma_port"],
        headers={"Authorization": f"Bearer {asked['chroma_token']}"},
    )
    store = ChromaVectorStore(chroma_collection=client.get_or_create_collection(asked["collection"]))
    fast = {"backend": "openvino", "model_kwargs": openvino(asked), "embed_batch_size": BATCH}
    embedding = HuggingFaceEmbedding(model_name=asked["model"], **(fast if asked["best"] else {}))
    # Its pipeline could split too; apart, it shows what was embedded.
    pipeline = IngestionPipeline(transformations=[embedding], vector_store=store)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)

    def load(path: str) -> Any:
        if asked["best"]:
            return PyMuPDFReader().load_data(file_path=path)
        return PDFReader().load_data(file=Path(path))

    def chunks(pages: Sequence[Any], nodes: Sequence[Any]) -> Iterable[Chunk]:
        numbers = {page.id_: number for number, page in enumerate(pages)}
        for node in nodes:
            embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
            yield Chunk(numbers[node.ref_doc_id], node.start_char_idx, node.text, embedded)

    return _Framework(
        load=load,
        split=SentenceSplitter().get_nodes_from_documents,
        store=lambda nodes: pipeline.run(nodes=nodes),
        chunks=chunks,
        embed=embedding.get_text_embedding_batch,
        retrieve=index.as_retriever(similarity_top_k=asked.get("k", 1)).retrieve,
    )


def openvino(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the OpenVINO backend; it chooses the precision by the processor."""
    return {"ov_config": {"INFERENCE_NUM_THREADS": asked["threads"]}}


def read_characters(chunks: Iterable[Chunk], model: str) -> int:
    """Count the source characters in a vector: the union of the parts of chunks that the model reads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_padding()
    longest = json.loads((Path(model) / "sentence_bert_config.json").read_text())["max_seq_length"]
    tokenizer.enable_truncation(longest)
    spans: dict[int, list[tuple[int, int]]] = {}
    total = 0
    for chunk in chunks:
        ends = [end for _, end in tokenizer.encode(chunk.embedded).offsets]
        read = max(0, max(ends) - (len(chunk.embedded) - len(chunk.text)))
        if chunk.start is None:
            total += read
        else:
            spans.setdefault(chunk.source, []).append((chunk.start, chunk.start + read))
    for found in spans.values():
        reached = 0
        for start, end in sorted(found):
            total += max(0, end - max(start, reached))
            reached = max(reached, end)
    return total


def _index(framework: _Framework, asked: dict[str, Any]) -> dict[str, Any]:
    framework.embed(["warm up"] * 8)
    began = time.perf_counter()
    pages: list[Any] = []
    chunks: list[Any] = []
    waiting: list[Any] = []
    failed = []
    for path in asked["pdfs"]:
        try:
            loaded = framework.load(path)
        except Exception as error:  # noqa: BLE001 - a reader raises any exception for a PDF that it cannot read
            failed.append(f"{Path(path).name}: {type(error).__name__}")
            continue
        pages += loaded
        waiting += framework.split(loaded)
        if waiting and (not asked["best"] or len(waiting) >= STORED_AT_ONCE):
            framework.store(waiting)
            chunks, waiting = chunks + waiting, []
    if waiting:
        framework.store(waiting)
    seconds = time.perf_counter() - began
    chunks += waiting
    read = read_characters(framework.chunks(pages, chunks), asked["model"])
    return {"seconds": seconds, "characters": read, "failed": failed, "pages": len(pages), "chunks": len(chunks)}


def _ask(framework: _Framework, asked: dict[str, Any]) -> dict[str, Any]:
    seconds: list[float] = []
    for question in asked["questions"]:
        started = time.perf_counter()
        framework.retrieve(question)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}


def main() -> None:
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    framework = {"langchain": langchain, "llamaindex": llamaindex}[asked["framework"]](asked)
    print(json.dumps((_index if "pdfs" in asked else _ask)(framework, asked)))


if __name__ == "__main__":
    main()
