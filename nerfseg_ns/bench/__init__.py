"""`nerfseg bench`: time, memory and time-to-quality of the methods, against the paper's computation."""
