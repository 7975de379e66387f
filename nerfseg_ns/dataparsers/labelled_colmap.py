"""Dataparser of own photos with a COLMAP model and no transforms.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParser, ColmapDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import MAX_AUTO_RESOLUTION

from nerfseg_ns.dataparsers.labelled_scene import LabelledSceneMixin, LabelledSceneOptions
from nerfseg_ns.dataparsers.photo_file import photo_size
from nerfseg_ns.errors import UserError

_LISTS = {"train": "train_list.txt", "val": "validation_list.txt", "test": "test_list.txt"}
"""nerfstudio's files that list the photos of a split, one name a line."""


class LabelledColmap(LabelledSceneMixin, ColmapDataParser):
    """nerfstudio's dataparser of COLMAP models, with labels; see `LabelledSceneMixin` for what it adds.

    Args:
        options: as for transforms.json.
        model: folder of the COLMAP model, relative to the scene's folder.
    """

    config: ColmapDataParserConfig

    def __init__(self, options: LabelledSceneOptions, model: Path) -> None:
        self.options = options
        super().__init__(
            ColmapDataParserConfig(
                data=options.data,
                images_path=options.images_path,
                colmap_path=model,
                downscale_factor=options.downscale_factor,
                center_method=options.center_method,
                scene_scale=options.scene_scale,
                load_3D_points=options.load_3D_points,
            )
        )

    def _read_meta(self) -> tuple[Path, Path, dict]:
        folder, model = self.options.data, self.options.data / self.config.colmap_path
        try:
            meta = self._get_all_images_and_cameras(model)
        except Exception as error:  # whatever the binary reader makes of a broken file
            raise UserError(f"Cannot read the COLMAP model {model}: {error!r}. Export it from COLMAP again.") from error
        if self.config.downscale_factor is None:
            self.config.downscale_factor = self._auto_downscale(Path(meta["frames"][0]["file_path"]))
        return model, folder, meta | self._read_lists()

    def _read_lists(self) -> dict[str, list[str]]:
        """The photos that the scene's lists name for each split, under the keys that transforms.json has for them."""
        lists = {}
        for split, name in _LISTS.items():
            file = self.options.data / name
            if file.is_file():
                lists[f"{split}_filenames"] = [line.strip() for line in file.read_text("utf-8").splitlines() if line]
        return lists

    def _auto_downscale(self, photo: Path) -> int:
        """As for transforms.json: the first factor that makes the photos small, among the folders that exist."""
        factor, longest = 1, max(photo_size(photo))
        while longest / factor > MAX_AUTO_RESOLUTION and self._scaled_folder(2 * factor).is_dir():
            factor *= 2
        return factor

    def _scaled_folder(self, factor: int) -> Path:
        images = self.options.data / self.options.images_path
        return images if factor == 1 else images.with_name(f"{images.name}_{factor}")

    def _loaded_photo(self, file_path: Path, folder: Path) -> Path:
        factor, images = self.config.downscale_factor, self.options.data / self.options.images_path
        assert factor is not None, "_read_meta chooses one where the user gives none"
        return self._scaled_folder(factor) / file_path.relative_to(images)

    def _setup_downscale_factor(self, image_filenames, mask_filenames, depth_filenames):
        """As nerfstudio's, without its question on the terminal: all photos have been found already."""
        loaded = [self._loaded_photo(path, self.options.data) for path in image_filenames]
        return loaded, mask_filenames, depth_filenames, self.config.downscale_factor

    def _get_image_indices(self, image_filenames: list[Path], split: str) -> np.ndarray:
        """All photos, or those listed for the split."""
        assert self._scene is not None, "the scene is read before its parent's part"
        listed = self._scene.meta.get(f"{split}_filenames")
        if listed is None:
            return np.arange(len(image_filenames))
        positions = {path: index for index, path in enumerate(image_filenames)}
        chosen = [self.options.data / self.options.images_path / name for name in listed]
        missing = [path for path in chosen if path not in positions]
        if missing:
            raise UserError(
                f"{self.options.data / _LISTS[split]} names {missing[0]}, which is not in the COLMAP model."
            )
        return np.array([positions[path] for path in chosen])

    def _outputs_of_all(self, split: str) -> DataparserOutputs:
        return ColmapDataParser._generate_dataparser_outputs(self, split)
