"""Palettes as data: Carla's two tag lists, the Carla-MVS order and the Google Earth classes, and the choice among them.

Only for scenes without a `classes.json` of their own.
"""

from __future__ import annotations

from nerfseg_ns.errors import UserError
from nerfseg_ns.labels.classes import IGNORE_INDEX, ClassTable
from nerfseg_ns.labels.encoding import LabelColors, classify, decide_encoding, refuse_ambiguous_order
from nerfseg_ns.labels.photo_label import LabelEncoding
from nerfseg_ns.labels.pixels import describe_code

CARLA_COLORS: dict[str, tuple[int, int, int]] = {
    "Unlabeled": (0, 0, 0),
    "Building": (70, 70, 70),
    "Fence": (100, 40, 40),
    "Other": (55, 90, 80),
    "Pedestrian": (220, 20, 60),
    "Pole": (153, 153, 153),
    "RoadLine": (157, 234, 50),
    "Road": (128, 64, 128),
    "SideWalk": (244, 35, 232),
    "Vegetation": (107, 142, 35),
    "Vehicles": (0, 0, 142),
    "Wall": (102, 102, 156),
    "TrafficSign": (220, 220, 0),
    "Sky": (70, 130, 180),
    "Ground": (81, 0, 81),
    "Bridge": (150, 100, 100),
    "RailTrack": (230, 150, 140),
    "GuardRail": (180, 165, 180),
    "TrafficLight": (250, 170, 30),
    "Static": (110, 190, 160),
    "Dynamic": (170, 120, 50),
    "Water": (45, 60, 150),
    "Terrain": (145, 170, 100),
}
"""RGB of Carla's older tags; the position is the tag, 0 to 22."""

CARLA_NEWER_COLORS: dict[str, tuple[int, int, int]] = {
    **CARLA_COLORS,
    "Fence": (190, 153, 153),
    "Terrain": (152, 251, 152),
    "Rider": (255, 0, 0),
    "Car": (0, 0, 142),
    "Truck": (0, 0, 70),
    "Bus": (0, 60, 100),
    "Train": (0, 80, 100),
    "Motorcycle": (0, 0, 230),
    "Bicycle": (119, 11, 32),
    "Rock": (180, 130, 70),
}
"""RGB by name for the newer list: the older colors but for two, and the tags that are new in it."""

CARLA_NEWER_ORDER = [
    "Unlabeled",
    "Road",
    "SideWalk",
    "Building",
    "Wall",
    "Fence",
    "Pole",
    "TrafficLight",
    "TrafficSign",
    "Vegetation",
    "Terrain",
    "Sky",
    "Pedestrian",
    "Rider",
    "Car",
    "Truck",
    "Bus",
    "Train",
    "Motorcycle",
    "Bicycle",
    "Static",
    "Dynamic",
    "Other",
    "Water",
    "RoadLine",
    "Ground",
    "Bridge",
    "RailTrack",
    "GuardRail",
    "Rock",
]
"""Carla's newer tags, 0 to 28, and 29 Rock of its latest versions."""

CARLA_MVS_ORDER = [
    "Building",
    "Water",
    "Sky",
    "SideWalk",
    "Vegetation",
    "Terrain",
    "Static",
    "Pole",
    "Other",
    "Dynamic",
    "Road",
    "RoadLine",
    "Vehicles",
    "TrafficSign",
    "TrafficLight",
    "Wall",
    "Fence",
    "Ground",
    "RailTrack",
    "Bridge",
]
"""One 20-class order of the Carla-MVS scenes: the older tags without Unlabeled, Pedestrian and GuardRail."""

GOOGLE_EARTH_COLORS: dict[str, tuple[int, int, int]] = {
    "Building": CARLA_COLORS["Building"],
    "Grass": CARLA_COLORS["Vegetation"],
    "Ground": CARLA_COLORS["Road"],
    "Tree": CARLA_COLORS["Static"],
    "Car": CARLA_COLORS["Vehicles"],
}
"""RGB of the five classes of the Google Earth scenes, in the order of the legend of the paper's Fig. 4. The figure has
R and B swapped, as the authors' code has them (github.com/qizipeng/NeRF-for-segmentation, test.py). There each scene
has class indices of its own, so files of indices need a classes.json."""


def _table(names: list[str], colors: dict[str, tuple[int, int, int]], file_ignore_index: int) -> ClassTable:
    return ClassTable(tuple(names), tuple(colors[name] for name in names), file_ignore_index)


PALETTES: dict[str, ClassTable] = {
    "carla-mvs-20": _table(CARLA_MVS_ORDER, CARLA_COLORS, IGNORE_INDEX),
    # In Carla's own lists tag 0 is what the simulator has no tag for: nothing to learn from.
    "carla-older": _table(list(CARLA_COLORS), CARLA_COLORS, 0),
    "carla-newer": _table(CARLA_NEWER_ORDER, CARLA_NEWER_COLORS, 0),
    "google-earth": _table(list(GOOGLE_EARTH_COLORS), GOOGLE_EARTH_COLORS, IGNORE_INDEX),
}
"""The built-in class tables by name."""


def choose_table(colors: LabelColors, palette: str = "auto", encoding: LabelEncoding = "auto") -> ClassTable:
    """Chooses the built-in class table for a scene that has none of its own.

    Args:
        colors: what all label files of the scene hold.
        palette: a name of `PALETTES`, or "auto": the table with the most of the scene's colors in it, in RGB or BGR
            order; if several have as many, one that has no other colors, else Carla's with the fewest classes (the
            colors of "google-earth" are all Carla's too).
        encoding: the files' encoding where it is known, else "auto".

    Raises:
        UserError: no such name; or, with "auto", the files hold class indices (which fit any table), no table has
            any of the colors, or the colors fit in both channel orders.
    """
    if palette != "auto":
        if palette not in PALETTES:
            raise UserError(f"There is no palette {palette!r}; choose one of {', '.join(PALETTES)}.")
        return PALETTES[palette]
    remedy = f"Write a classes.json beside the images' folders, or choose one with --palette: {', '.join(PALETTES)}."
    indices = UserError(f"The label files hold class indices, which do not tell what the classes are. {remedy}")
    if colors.single_channel or encoding == "index":
        raise indices
    counts = {
        (name, order): int(classify(colors.codes, table, order)[1].sum())
        for name, table in sorted(PALETTES.items(), key=lambda item: len(item[1]))
        for order in (("rgb", "bgr") if encoding == "auto" else (encoding,))
    }
    best = max(counts.values())
    fitting = [choice for choice, count in counts.items() if count == best]
    table = PALETTES[min(fitting, key=lambda choice: _rank(choice[0], best))[0]]
    if best == len(colors.codes):
        refuse_ambiguous_order(colors, {order for _, order in fitting})
    elif encoding == "auto" and decide_encoding(colors, table) == "index":  # black, say: Unlabeled, or index 0
        raise indices
    elif best == 0:
        shown = ", ".join(describe_code(code) for code in colors.codes[:3])
        raise UserError(f"No built-in palette has any of the label files' colors ({shown}, ...). {remedy}")
    return table


def _rank(name: str, colors: int) -> tuple[bool, bool, int]:
    """Decides between palettes that have equally many of a scene's colors: the lowest rank wins."""
    classes = len(PALETTES[name])
    return classes > colors, name == "google-earth", classes
