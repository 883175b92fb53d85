"""The query function as people write it, with sentence-transformers, Chroma and Ollama.

It loads everything on import, as
https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html#python-best-practices advises.
Variables: CHROMA_HOST, CHROMA_PORT, CHROMA_TOKEN, COLLECTION, EMBEDDING_MODEL (a folder), OLLAMA_HOST,
LANGUAGE_MODEL.
"""

import json
import os
from typing import Any

import chromadb
import ollama
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

PROMPT = "Answer the question from these passages, and cite them.\n\n<passages>\n{}\n</passages>\n\nQuestion: {}"

embedder = SentenceTransformer(os.environ["EMBEDDING_MODEL"])
chroma = chromadb.HttpClient(
    host=os.environ["CHROMA_HOST"],
    port=int(os.environ["CHROMA_PORT"]),
    headers={"Authorization": f"Bearer {os.environ['CHROMA_TOKEN']}"},
)
collection = chroma.get_collection(os.environ["COLLECTION"])
language_model = ollama.Client(host=os.environ["OLLAMA_HOST"])


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    question = json.loads(event["body"])["question"]
    vector = embedder.encode(question).tolist()
    found = collection.query(query_embeddings=[vector], n_results=5)
    texts = (found["documents"] or [[]])[0]
    passages = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, 1))
    parts = language_model.chat(
        model=os.environ["LANGUAGE_MODEL"],
        messages=[{"role": "user", "content": PROMPT.format(passages, question)}],
        stream=True,
    )
    answer = "".join(part.message.content or "" for part in parts)
    body = {"answer": answer, "sources": (found["metadatas"] or [[]])[0]}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}
