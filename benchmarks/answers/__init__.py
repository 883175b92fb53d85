"""How good the answers are, to questions that the documents answer and to others: `make eval-answers`."""
