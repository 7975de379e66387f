"""The built-in town: procedural geometry, ray-cast into photos, exact labels, depth and poses, in several layouts."""
