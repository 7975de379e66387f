"""Dataparser of own photos: a nerfstudio scene (`transforms.json`) or a COLMAP model, with labels for some photos.

    SCENE/transforms.json   SCENE/images/STEM.jpg   SCENE/labels/STEM.png   SCENE/classes.json

Beyond nerfstudio's own dataparsers: the labels, checks of everything before the training, a split that never loses a
label, an upright ground plane for photos that look straight down, cameras inside the unit sphere, the georeference, and
sparse points read without open3d (which needs a system library).
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import Nerfstudio
from nerfstudio.utils.io import load_from_json
from torch import Tensor

from nerfseg_ns.dataparsers.labelled_colmap import LabelledColmap
from nerfseg_ns.dataparsers.labelled_scene import LabelledSceneMixin, LabelledSceneOptions
from nerfseg_ns.errors import UserError


@dataclass
class LabelledPhotosDataParserConfig(LabelledSceneOptions):
    """Own photos (transforms.json or a COLMAP model) with labels for some of them"""

    _target: type = field(default_factory=lambda: LabelledPhotos)

    def setup(self, **kwargs) -> LabelledSceneMixin:
        """The dataparser: nerfstudio's for transforms.json, or the one for COLMAP models if there is nothing else."""
        model = self.find_colmap()
        if transforms_file(self.data).is_file() or model is None:
            return self._target(self, **kwargs)
        return LabelledColmap(self, model, **kwargs)


def transforms_file(data: Path) -> Path:
    """The JSON of a scene that is named by its folder or by the file itself."""
    return data if data.suffix == ".json" else data / "transforms.json"


@dataclass
class LabelledPhotos(LabelledSceneMixin, Nerfstudio):
    """nerfstudio's dataparser of transforms.json, with labels; see `LabelledSceneMixin` for what it adds."""

    config: LabelledPhotosDataParserConfig

    def __post_init__(self) -> None:
        self.options = self.config
        # nerfstudio asks on the terminal whether to convert COLMAP's points; these two make it continue without points.
        self.prompted_user, self.create_pc = True, False

    def _read_meta(self) -> tuple[Path, Path, dict]:
        file = transforms_file(self.options.data)
        try:
            return file, file.parent, load_from_json(file)
        except (OSError, ValueError) as error:
            raise UserError(
                f"Cannot read {file}: {error}. --data is a folder with a transforms.json (from nerfseg photos or "
                "ns-process-data, say) or with a COLMAP model."
            ) from error

    def _loaded_photo(self, file_path: Path, folder: Path) -> Path:
        try:
            return self._get_fname(file_path, folder)
        except OSError as error:  # nerfstudio opens one photo to see how large they are
            raise UserError(f"Cannot read the photo {folder / file_path}: {error}") from error

    def _outputs_of_all(self, split: str) -> DataparserOutputs:
        return Nerfstudio._generate_dataparser_outputs(self, split)

    def _load_3D_points(self, ply_file_path: Path, transform_matrix: Tensor, scale_factor: float) -> dict | None:
        """As nerfstudio's, but read by trimesh."""
        import trimesh

        try:
            cloud = trimesh.load(ply_file_path, process=False)
            if not isinstance(cloud, (trimesh.PointCloud, trimesh.Trimesh)):
                raise ValueError("it holds no points")
            points = torch.from_numpy(np.array(cloud.vertices, dtype=np.float32)).reshape(-1, 3)
        except (OSError, ValueError, AttributeError, IndexError) as error:
            raise UserError(
                f"Cannot read the sparse points {ply_file_path}: {error}. Correct ply_file_path in transforms.json, "
                "or do without: --load-3D-points False."
            ) from error
        if len(points) == 0:
            return None
        colors = np.array(getattr(cloud, "colors", []), dtype=np.uint8)
        colors = colors[:, :3] if len(colors) == len(points) else np.full((len(points), 3), 127, dtype=np.uint8)
        points = (points @ transform_matrix[:3, :3].T + transform_matrix[:3, 3]) * scale_factor
        return {"points3D_xyz": points, "points3D_rgb": torch.from_numpy(np.ascontiguousarray(colors))}
