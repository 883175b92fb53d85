"""The ingest function as people write it, with pypdf, sentence-transformers and Chroma.

It loads everything on import, as `handler_sentence_transformers` does.
Variables: CHROMA_HOST, CHROMA_PORT, CHROMA_TOKEN, COLLECTION, EMBEDDING_MODEL (a folder), and those of AWS.
"""

import io
import json
import os
from typing import Any
from urllib.parse import unquote_plus

import boto3
import chromadb
from langchain_text_splitters import RecursiveCharacterTextSplitter  # type: ignore[import-not-found]
from pypdf import PdfReader
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

embedder = SentenceTransformer(os.environ["EMBEDDING_MODEL"])
chroma = chromadb.HttpClient(
    host=os.environ["CHROMA_HOST"],
    port=int(os.environ["CHROMA_PORT"]),
    headers={"Authorization": f"Bearer {os.environ['CHROMA_TOKEN']}"},
)
collection = chroma.get_or_create_collection(os.environ["COLLECTION"])
splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
s3 = boto3.client("s3")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Index the documents of S3 notifications that come through SQS."""
    for message in event["Records"]:
        for record in json.loads(message["body"])["Records"]:
            index(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
    return {"batchItemFailures": []}


def index(bucket: str, key: str) -> None:
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    pages = enumerate(PdfReader(io.BytesIO(content)).pages, 1)
    chunks = [(number, text) for number, page in pages for text in splitter.split_text(page.extract_text())]
    vectors = embedder.encode([text for _, text in chunks])
    collection.upsert(
        ids=[f"{key}#{number}" for number in range(len(chunks))],
        embeddings=vectors.tolist(),
        documents=[text for _, text in chunks],
        metadatas=[{"document": key, "page": page} for page, _ in chunks],
    )
