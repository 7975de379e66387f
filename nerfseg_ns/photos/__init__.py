"""`nerfseg photos`: from a folder of photos to a scene with poses."""

# Before pycolmap: once that is loaded, a Pillow loaded later dies at the first PNG it writes (pycolmap 4.2.1, Pillow
# 13.0.0: two zlibs in one process).
import PIL.Image  # noqa: F401
