"""How well docwell finds the passage that answers: `make eval-retrieval`."""
