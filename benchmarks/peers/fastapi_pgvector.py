"""A service that answers questions about PDFs, as tutorials build it: FastAPI, PostgreSQL with pgvector, Ollama.

Follows https://fastapi.tiangolo.com/tutorial/request-files/, https://github.com/pgvector/pgvector-python#psycopg-3
and https://sbert.net/docs/quickstart.html.
Variables: DATABASE_URL, EMBEDDING_MODEL (a folder), OLLAMA_HOST, LANGUAGE_MODEL.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ollama
import psycopg  # type: ignore[import-not-found]
from fastapi import FastAPI, UploadFile  # type: ignore[import-not-found]
from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found]
from pgvector.psycopg import register_vector  # type: ignore[import-not-found]
from psycopg_pool import ConnectionPool  # type: ignore[import-not-found]
from pydantic import BaseModel
from pypdf import PdfReader
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

PROMPT = "Answer the question from these passages, and cite them.\n\n<passages>\n{}\n</passages>\n\nQuestion: {}"
SCHEMA = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS chunks (
    id bigserial PRIMARY KEY, document text, page int, content text, embedding vector(384)
);
CREATE INDEX IF NOT EXISTS chunks_embedding ON chunks USING hnsw (embedding vector_cosine_ops);
"""

embedder = SentenceTransformer(os.environ["EMBEDDING_MODEL"])
splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
language_model = ollama.Client(host=os.environ["OLLAMA_HOST"])
pool = ConnectionPool(os.environ["DATABASE_URL"], configure=register_vector, open=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(SCHEMA)
    pool.open()
    yield
    pool.close()


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    """The body of a question."""

    question: str


@app.post("/documents")
def upload(file: UploadFile) -> dict[str, int]:
    """Index a PDF."""
    pages = enumerate(PdfReader(file.file).pages, 1)
    chunks = [(number, text) for number, page in pages for text in splitter.split_text(page.extract_text())]
    vectors = embedder.encode([text for _, text in chunks])
    rows = [(file.filename, page, text, vector) for (page, text), vector in zip(chunks, vectors, strict=True)]
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO chunks (document, page, content, embedding) VALUES (%s, %s, %s, %s)", rows)
    return {"chunks": len(rows)}


@app.delete("/documents/{name:path}")
def delete(name: str) -> None:
    with pool.connection() as connection:
        connection.execute("DELETE FROM chunks WHERE document = %s", (name,))


@app.post("/questions")
def ask(body: Question) -> dict[str, Any]:
    """Answer from the five nearest chunks."""
    vector = embedder.encode(body.question)
    with pool.connection() as connection:
        found = connection.execute(
            "SELECT document, page, content FROM chunks ORDER BY embedding <=> %s LIMIT 5", (vector,)
        ).fetchall()
    passages = "\n\n".join(f"[{number}] {text}" for number, (_, _, text) in enumerate(found, 1))
    prompt = PROMPT.format(passages, body.question)
    parts = language_model.chat(
        model=os.environ["LANGUAGE_MODEL"], messages=[{"role": "user", "content": prompt}], stream=True
    )
    answer = "".join(part.message.content or "" for part in parts)
    sources = [{"document": document, "page": page} for document, page, _ in found]
    return {"answer": answer, "sources": sources}
