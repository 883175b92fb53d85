"""Passages for questions by LangChain's or LlamaIndex's retriever over a Chroma collection that is filled already.

As https://docs.langchain.com/oss/python/langchain/knowledge-base#4-retrievers and
https://developers.llamaindex.ai/python/examples/vector_stores/chromaindexdemo/ show.

In: `framework` (langchain or llamaindex), `chroma_host`, `chroma_port`, `collection`, `model` (a folder),
`threads`, `questions`, `k`, `warm_up` (how many of the questions are asked once before, not counted).
Out: `seconds` of each question.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Retriever = Callable[[str], Sequence[Any]]


def langchain(asked: dict[str, Any]) -> Callable[[], Retriever]:
    """LangChain, imported; call it to load its model and open the index."""
    import chromadb
    from langchain_chroma import Chroma  # type: ignore[import-not-found]
    from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]

    def make() -> Retriever:
        store = Chroma(
            client=chromadb.HttpClient(host=asked["chroma_host"], port=asked["chroma_port"]),
            collection_name=asked["collection"],
            embedding_function=HuggingFaceEmbeddings(model_name=asked["model"]),
        )
        retriever = store.as_retriever(search_type="similarity", search_kwargs={"k": asked["k"]})
        return lambda question: list(retriever.invoke(question))

    return make


def llamaindex(asked: dict[str, Any]) -> Callable[[], Retriever]:
    """LlamaIndex, likewise."""
    import chromadb
    from llama_index.core import VectorStoreIndex  # type: ignore[import-not-found]
    from llama_index.embeddings.huggingface import (  # type: ignore[import-not-found]
        HuggingFaceEmbedding,
    )
    from llama_index.vector_stores.chroma import ChromaVectorStore  # type: ignore[import-not-found]

    def make() -> Retriever:
        client = chromadb.HttpClient(host=asked["chroma_host"], port=asked["chroma_port"])
        store = ChromaVectorStore(chroma_collection=client.get_or_create_collection(asked["collection"]))
        embedding = HuggingFaceEmbedding(model_name=asked["model"])
        index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
        retriever = index.as_retriever(similarity_top_k=asked["k"])
        return lambda question: list(retriever.retrieve(question))

    return make


def main() -> None:
    """Ask what the argument says."""
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    retrieve = {"langchain": langchain, "llamaindex": llamaindex}[asked["framework"]](asked)()
    for question in asked["questions"][: asked["warm_up"]]:
        retrieve(question)
    seconds: list[float] = []
    for question in asked["questions"]:
        started = time.perf_counter()
        retrieve(question)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
