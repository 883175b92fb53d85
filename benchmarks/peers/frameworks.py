"""LangChain and LlamaIndex over a Chroma server, as their documentation shows, with their defaults.

LangChain: https://docs.langchain.com/oss/python/langchain/knowledge-base and
https://docs.langchain.com/oss/python/integrations/vectorstores/chroma. LlamaIndex:
https://developers.llamaindex.ai/python/framework/module_guides/loading/ingestion_pipeline/ and
https://developers.llamaindex.ai/python/examples/vector_stores/chromaindexdemo/.

In: `framework` (langchain or llamaindex), `chroma_host`, `chroma_port`, `chroma_token`, `collection`, `model`
(a folder), `threads`, and `pdfs` (paths) to index. Out: `seconds` from the first document to the last one stored,
`pages`, `chunks`, `failed` (documents that it cannot read), and `characters`: how many characters of the extracted
text stand in a vector, each counted once. The model reads 256 tokens and ignores the rest of a chunk.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


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


def langchain(asked: dict[str, Any]) -> _Framework:
    import chromadb
    from langchain_chroma import Chroma  # type: ignore[import-not-found]
    from langchain_community.document_loaders import PyPDFLoader  # type: ignore[import-not-found]
    from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]
    from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found]

    embeddings = HuggingFaceEmbeddings(model_name=asked["model"])
    client = chromadb.HttpClient(
        host=asked["chroma_host"],
        port=asked["chroma_port"],
        headers={"Authorization": f"Bearer {asked['chroma_token']}"},
    )
    store = Chroma(client=client, collection_name=asked["collection"], embedding_function=embeddings)
    # The sizes of its tutorial.
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200, add_start_index=True)

    def chunks(pages: Sequence[Any], splits: Sequence[Any]) -> Iterable[Chunk]:
        numbers = {page.metadata["page"]: number for number, page in enumerate(pages)}
        for split in splits:
            start, text = split.metadata["start_index"], split.page_content
            yield Chunk(numbers[split.metadata["page"]], None if start < 0 else start, text, text)

    return _Framework(
        load=lambda path: PyPDFLoader(path).load(),
        split=splitter.split_documents,
        store=lambda splits: store.add_documents(documents=splits),
        chunks=chunks,
        embed=embeddings.embed_documents,
    )


def llamaindex(asked: dict[str, Any]) -> _Framework:
    import chromadb
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import MetadataMode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.readers.file import PDFReader
    from llama_index.vector_stores.chroma import ChromaVectorStore

    client = chromadb.HttpClient(
        host=asked["chroma_host"],
        port=asked["chroma_port"],
        headers={"Authorization": f"Bearer {asked['chroma_token']}"},
    )
    store = ChromaVectorStore(chroma_collection=client.get_or_create_collection(asked["collection"]))
    embedding = HuggingFaceEmbedding(model_name=asked["model"])
    # Its pipeline could split too; apart, it shows what was embedded.
    pipeline = IngestionPipeline(transformations=[embedding], vector_store=store)

    def chunks(pages: Sequence[Any], nodes: Sequence[Any]) -> Iterable[Chunk]:
        numbers = {page.id_: number for number, page in enumerate(pages)}
        for node in nodes:
            embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
            yield Chunk(numbers[node.ref_doc_id], node.start_char_idx, node.text, embedded)

    return _Framework(
        load=lambda path: PDFReader().load_data(file=Path(path)),
        split=SentenceSplitter().get_nodes_from_documents,
        store=lambda nodes: pipeline.run(nodes=nodes),
        chunks=chunks,
        embed=embedding.get_text_embedding_batch,
    )


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
    everything: list[tuple[Sequence[Any], Sequence[Any]]] = []
    failed = []
    for path in asked["pdfs"]:
        try:
            pages = framework.load(path)
        except Exception as error:  # noqa: BLE001 - pypdf raises any exception for a PDF that it cannot read
            failed.append(f"{Path(path).name}: {type(error).__name__}")
            continue
        chunks = framework.split(pages)
        if chunks:
            framework.store(chunks)
        everything.append((pages, chunks))
    seconds = time.perf_counter() - began
    read = sum(read_characters(framework.chunks(pages, chunks), asked["model"]) for pages, chunks in everything)
    counts = {
        "pages": sum(len(pages) for pages, _ in everything),
        "chunks": sum(len(each) for _, each in everything),
    }
    return {"seconds": seconds, "characters": read, "failed": failed, **counts}


def main() -> None:
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    framework = {"langchain": langchain, "llamaindex": llamaindex}[asked["framework"]](asked)
    print(json.dumps(_index(framework, asked)))


if __name__ == "__main__":
    main()
