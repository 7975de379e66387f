"""CNN rivals: the paper's, trained from scratch on the labelled photos, and one with a trained encoder."""
