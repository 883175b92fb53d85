"""The fault suite: real Chroma, moto and the real handlers under everything that can go wrong at once.

``python -m benchmarks.faults [--short] [--seed N] [--row NAME]``; see docs/faults.md.
"""
