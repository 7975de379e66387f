"""`nerfseg photos`: from a folder of photos to a scene with poses."""
