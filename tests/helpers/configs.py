"""Configs for tests of trainings."""

from __future__ import annotations

import copy


def small_config(method: str):
    """A method's config with networks that step in milliseconds."""
    from nerfseg_ns.geometry.nerfpp import NeRFPPGeometryConfig
    from nerfseg_ns.geometry.nerfpp_field import NeRFPPFieldConfig
    from nerfseg_ns.method_configs.nerfseg import nerfseg
    from nerfseg_ns.method_configs.nerfseg_fast import nerfseg_fast

    if method == "nerfseg-fast":
        config = copy.deepcopy(nerfseg_fast.config)
        config.pipeline.model.geometry.resolutions = (16, 32)
        config.pipeline.model.eye.backbone = "none"
    else:
        config = copy.deepcopy(nerfseg.config)
        networks = NeRFPPFieldConfig(num_layers=2, layer_width=16, view_width=8)
        config.pipeline.model.geometry = NeRFPPGeometryConfig(
            num_coarse_samples=8, num_importance_samples=8, networks=networks
        )
        config.pipeline.model.semantics.hidden_dim = config.pipeline.model.semantics.feature_dim = 16
    config.pipeline.datamanager.train_num_rays_per_batch = 128
    return config
