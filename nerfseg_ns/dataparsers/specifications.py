"""What is registered with nerfstudio as dataparsers.

nerfstudio loads this module while its datamanagers are half imported: it may import dataparsers and nothing that leads
to a datamanager or a method's config, or every ns-* command of the environment breaks.
"""

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig

carla_mvs_data = DataParserSpecification(
    config=CarlaMVSDataParserConfig(),
    description="Carla-MVS / NeRF++ trees (rgb, pose, intrinsics) with label maps for some views.",
)

labelled_photos_data = DataParserSpecification(
    config=LabelledPhotosDataParserConfig(),
    description="transforms.json scenes of aerial photos with label maps for some of them.",
)
