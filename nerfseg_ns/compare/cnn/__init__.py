"""The paper's CNN rivals, trained from scratch on the labelled photos."""
