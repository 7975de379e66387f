"""What is registered with nerfstudio as dataparsers.

nerfstudio loads this module while its datamanagers are half imported: it may import dataparsers and nothing that leads
to a datamanager or a method's config, or every ns-* command of the environment breaks.
"""

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from nerfseg_ns.dataparsers.carla_mvs import CarlaMVSDataParserConfig
from nerfseg_ns.dataparsers.detect import CARLA_MVS, GOOGLE_EARTH, LABELLED_PHOTOS
from nerfseg_ns.dataparsers.google_earth import GoogleEarthDataParserConfig
from nerfseg_ns.dataparsers.labelled_photos import LabelledPhotosDataParserConfig

carla_mvs_data = DataParserSpecification(
    config=CarlaMVSDataParserConfig(),
    description="Carla-MVS / NeRF++ trees (rgb, pose, intrinsics) with labels for some views.",
)

labelled_photos_data = DataParserSpecification(
    config=LabelledPhotosDataParserConfig(),
    description="Own aerial photos (transforms.json or a COLMAP model) with labels for some of them.",
)

google_earth_data = DataParserSpecification(
    config=GoogleEarthDataParserConfig(),
    description="Google Earth Studio footage with its 3D tracking data and labels for some frames.",
)

SPECIFICATIONS = {
    CARLA_MVS: carla_mvs_data,
    GOOGLE_EARTH: google_earth_data,
    LABELLED_PHOTOS: labelled_photos_data,
}
"""All of them by the name that they are registered under."""
