"""The name that config.yml of version 0.1 has for the cache of labelled rays."""

from nerfseg_ns.data.ray_cache import RayCacheConfig as LabelledRaysConfig

__all__ = ["LabelledRaysConfig"]
