"""The phantom benchmark: every method on lesions whose best possible score is known."""
