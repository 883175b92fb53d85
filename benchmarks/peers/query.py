"""Find passages for questions with LangChain's or LlamaIndex's retriever, over a filled Chroma collection.

Follows https://docs.langchain.com/oss/python/langchain/knowledge-base#4-retrievers and
https://developers.llamaindex.ai/python/examples/vector_stores/chromaindexdemo/.

In: `framework` (langchain or llamaindex), `chroma_host`, `chroma_port`, `collection`, `model` (a folder),
`threads`, `questions`, `k`, `warm_up` (how many questions run once before, uncounted).
Out: `seconds` of each question.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def langchain(asked: dict[str, Any]) -> Any:
    """Return LangChain's retriever, as a function."""
    import chromadb
    from langchain_chroma import Chroma  # type: ignore[import-not-found]
    from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]

    store = Chroma(
        client=chromadb.HttpClient(host=asked["chroma_host"], port=asked["chroma_port"]),
        collection_name=asked["collection"],
        embedding_function=HuggingFaceEmbeddings(model_name=asked["model"]),
    )
    return store.as_retriever(search_type="similarity", search_kwargs={"k": asked["k"]}).invoke


def llamaindex(asked: dict[str, Any]) -> Any:
    """Return LlamaIndex's retriever, as a function."""
    import chromadb
    from llama_index.core import VectorStoreIndex  # type: ignore[import-not-found]
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding  # type: ignore[import-not-found]
    from llama_index.vector_stores.chroma import ChromaVectorStore  # type: ignore[import-not-found]

    client = chromadb.HttpClient(host=asked["chroma_host"], port=asked["chroma_port"])
    store = ChromaVectorStore(chroma_collection=client.get_or_create_collection(asked["collection"]))
    index = VectorStoreIndex.from_vector_store(store, embed_model=HuggingFaceEmbedding(model_name=asked["model"]))
    return index.as_retriever(similarity_top_k=asked["k"]).retrieve


def main() -> None:
    """Ask what the argument says."""
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    retrieve = {"langchain": langchain, "llamaindex": llamaindex}[asked["framework"]](asked)
    seconds: list[float] = []
    for question in asked["questions"][: asked["warm_up"]] + asked["questions"]:
        started = time.perf_counter()
        list(retrieve(question))
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds[asked["warm_up"] :]}))


if __name__ == "__main__":
    main()
