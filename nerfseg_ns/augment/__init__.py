"""`nerfseg augment`: the label maps of a trained run as a training set for other networks."""
