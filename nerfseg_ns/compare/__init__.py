"""`nerfseg compare`: the method beside its rivals, on the same photos and labels, with one score."""
