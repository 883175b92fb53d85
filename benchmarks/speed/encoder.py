"""A side of `make bench-compare`: encode the same texts whenever a line comes, and print the seconds.

It runs in the work tree of any commit, and imports that tree's docwell. The first line has the texts, as JSON.
"""

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder, session_opener, threads_for

texts = json.loads(sys.stdin.readline())
runtime = session_opener("openvino" if find_spec("openvino") else "onnxruntime")
embedder = OnnxEmbedder(Path("layers/embedder/model").absolute(), threads_for(None), runtime)
for _ in sys.stdin:
    started = time.perf_counter()
    embedder.embed_passages(texts)
    print(time.perf_counter() - started, flush=True)
