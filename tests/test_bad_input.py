"""What a user is told about input that cannot be used: one row a case, with the message."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scenes import HEIGHT, TABLE, WIDTH, label_array, noise, save_image, save_matrix, write_photos, write_tree
from PIL import Image

from nerfseg_ns import cli
from nerfseg_ns.labels.classes import ClassTable

READ_ONLY = Path("/sys")


def cut(name: str, share: float = 0.6) -> Callable[[Path], None]:
    """Cuts a file off."""

    def spoil(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(share * len(content))])

    return spoil


def empty(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(b"")


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def image(name: str, array: np.ndarray, **options) -> Callable[[Path], None]:
    return lambda root: save_image(root / name, array, **options)


def text(name: str, content: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")

    return spoil


def meta(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Changes transforms.json."""

    def spoil(root: Path) -> None:
        content = json.loads((root / "transforms.json").read_text())
        change(content)
        (root / "transforms.json").write_text(json.dumps(content))

    return spoil


def pose(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Changes the pose of the fourth photo."""

    def edit(content: dict) -> None:
        frame = content["frames"][3]
        frame["transform_matrix"] = change(np.array(frame["transform_matrix"])).tolist()

    return meta(edit)


def classes(entries: object, **more) -> Callable[[Path], None]:
    return text("classes.json", json.dumps({"classes": entries, **more}))


def entry(name: object = "A", color: object = (0, 0, 0)) -> dict:
    return {"name": name, "color": color}


def lossy(name: str) -> Callable[[Path], None]:
    return image(name, TABLE.color_array[label_array(0)], format="JPEG")


def labelme(label: str) -> str:
    shape = {"label": label, "shape_type": "polygon", "points": [[1, 1], [8, 1], [8, 6]]}
    return json.dumps({"shapes": [shape], "imageHeight": HEIGHT, "imageWidth": WIDTH, "imagePath": "p03.png"})


def each(*spoils: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: [spoil(root) for spoil in spoils] and None


def same_stem(root: Path) -> None:
    save_image(root / "more" / "p00.png", noise(1))
    meta(lambda content: content["frames"][3].update(file_path="more/p00.png"))(root)


def colmap(root: Path) -> None:
    (root / "transforms.json").unlink()
    text("sparse/cameras.txt", "1 PINHOLE 12 8 10 10")(root)
    text("sparse/images.txt", "1 1 0 0")(root)


def lists(train: range, test: range) -> Callable[[Path], None]:
    def names(indices: range) -> list[str]:
        return [f"images/p{index:02d}.png" for index in indices]

    return meta(lambda content: content.update(train_filenames=names(train), test_filenames=names(test)))


MIRROR, GREY16 = np.diag([-1.0, 1, 1, 1]), np.full((HEIGHT, WIDTH), 7, np.uint16)
COLORED = TABLE.color_array[label_array(0)]
ALMOST = COLORED.copy()
ALMOST[2, 3:6] = (71, 70, 70)

PHOTOS = {
    # Photos
    "photo cut off": (cut("images/p03.png"), "Cannot read the photo .*p03.png: .*Copy it again from its source"),
    "photo empty": (empty("images/p03.png"), "The photo .*p03.png is an empty file"),
    "photo missing": (remove("images/p03.png"), "There is no photo .*p03.png, but the scene names it"),
    "photo is text": (text("images/p03.png", "no photo"), "Cannot read the photo .*p03.png"),
    "photo of 16 bits": (image("images/p03.png", GREY16), "p03.png is of mode I;16.*; save it with 8 bits"),
    "photo of other size": (
        image("images/p03.png", noise(0)[:6]),
        "p03.png is 12 x 6 pixels, but its intrinsics in .*transforms.json are for 12 x 8",
    ),
    "photos of one name": (same_stem, "2 photos of .*transforms.json are named p00"),
    # Labels
    "label cut off": (cut("labels/p05.png"), "Cannot read the label image .*p05.png: .*Is the file complete"),
    "label empty": (empty("labels/p05.png"), "Cannot read the label image .*p05.png"),
    "label of 16 bits": (image("labels/p05.png", GREY16), "p05.png .*mode I;16.*labels must be PNGs of 8 bits"),
    "label grey with alpha": (
        image("labels/p05.png", np.dstack([label_array(5)] * 2)),
        "p05.png is a PNG image of mode LA: labels must be PNGs of 8 bits a channel",
    ),
    "label as JPEG": (lossy("labels/p04.jpg"), "p04.jpg is a JPEG: its compression blurs the colors"),
    "label is a renamed JPEG": (lossy("labels/p05.png"), "p05.png is a JPEG: its compression blurs the colors"),
    "label of other size": (
        image("labels/p05.png", label_array(0, size=(6, 4))),
        "p05.png is 6 x 4 pixels, its photo 12 x 8: .*nearest neighbour",
    ),
    "label without photo": (image("labels/other.png", label_array(0)), "other.png belongs to no photo"),
    "two labels for one photo": (
        text("labels/p05.json", labelme("Road")),
        "The photo p05 has two labels, .*p05.json and .*p05.png",
    ),
    "unknown color": (
        each(remove("labels/p00.png"), image("labels/p05.png", ALMOST)),
        r"p05.png: 3 pixels, the first at row 2, column 3, hold the color \(71, 70, 70\), which in RGB order is none",
    ),
    "unknown index": (
        image("labels/p05.png", label_array(5) + 3),
        r"p05.png: 32 pixels, .* hold the class index [345], but the class table has 3 classes \(0 to 2\)",
    ),
    "unknown class name": (text("labels/p03.json", labelme("Raod")), r"p03.json.*'?Raod'?.*Road"),
    "label JSON cut off": (text("labels/p03.json", labelme("Road")[:40]), "Cannot read .*p03.json"),
    "label JSON of nothing known": (text("labels/p03.json", "{}"), "p03.json"),
    "index and color labels": (
        image("labels/p05.png", COLORED),
        "p00.png has one channel .*p05.png has colors: all label files of a scene must be of one kind",
    ),
    "no labels": (remove("labels"), "No photo is labelled: looked for .* in .*labels"),
    "nothing labelled in them": (
        each(*(image(f"labels/{stem}.png", np.full((HEIGHT, WIDTH), 255, np.uint8)) for stem in ("p00", "p05"))),
        "No pixel of the training photos is labelled",
    ),
    "label_path of no file": (
        meta(lambda content: content["frames"][4].update(label_path="labels/mine.png")),
        "There is no file .*mine.png, which the scene names as the label of the photo p04",
    ),
    # Classes
    "classes.json empty": (empty("classes.json"), "Cannot read the class table .*classes.json"),
    "classes.json cut off": (cut("classes.json"), "Cannot read the class table .*classes.json"),
    "no classes": (classes([]), "classes.json: The class table has no classes: name at least one"),
    "classes as a mapping": (text("classes.json", '{"Road": 1}'), "classes.json: No list of classes in it; expected"),
    "same color twice": (
        classes([entry("A"), entry("B", (1, 2, 3)), entry("C")]),
        r"Classes 0 \('A'\) and 2 \('C'\) have the same color \(0, 0, 0\)",
    ),
    "same name twice": (classes([entry("A"), entry("A", (1, 2, 3))]), "have the same name 'A'"),
    "256 classes": (
        classes([entry(f"c{index}", (index, index, 0)) for index in range(256)]),
        "The class table has 256 classes; 8-bit labels allow 255",
    ),
    "color of two numbers": (classes([entry("A", (0, 0))]), r"Class 'A' has the color \(0, 0\)"),
    "class without name": (classes([entry(" ")]), "where a class name .text. is expected"),
    "ignore_index no byte": (classes([entry("A")], ignore_index=300), "ignore_index is 300; expected a whole number"),
    "no classes.json": (remove("classes.json"), "hold class indices, which do not tell what the classes are"),
    # Poses and cameras
    "pose of NaN": (
        pose(lambda matrix: np.where(np.eye(4) == 1, np.nan, matrix)),
        "transform_matrix of images/p03.png holds numbers that are not finite",
    ),
    "pose that mirrors": (pose(lambda matrix: matrix @ MIRROR), "p03.png is not a rigid pose: it mirrors"),
    "pose that scales": (pose(lambda matrix: matrix * 2), "p03.png is not a rigid pose: its last row is"),
    "pose with scaled axes": (
        pose(lambda matrix: matrix @ np.diag([2, 2, 2, 1.0])),
        "p03.png is not a rigid pose: its axes are not of length 1",
    ),
    "pose of three rows": (pose(lambda matrix: matrix[:3]), "images/p03.png is not a 4 x 4 matrix of numbers"),
    "cameras at one place": (
        meta(lambda content: [f.update(transform_matrix=np.eye(4).tolist()) for f in content["frames"]]),
        "All cameras of .*transforms.json are in the same place",
    ),
    "no intrinsics": (
        meta(lambda content: [content.pop(key) for key in ("fl_x", "cx")]),
        "transforms.json has no fl_x, cx: the camera's intrinsics",
    ),
    "negative focal length": (meta(lambda content: content.update(fl_x=-1)), "has impossible intrinsics"),
    "principal point outside": (
        meta(lambda content: content.update(cx=60)),
        r"principal point at \(60, 4\), outside its 12 x 8 pixels: are the intrinsics those of another image size",
    ),
    "unknown camera model": (
        meta(lambda content: content.update(camera_model="PINHOLES")),
        "has the camera_model 'PINHOLES'; expected one of SIMPLE_PINHOLE",
    ),
    "camera model of another type": (
        meta(lambda content: content.update(camera_model=["OPENCV"])),
        "has the camera_model .*'OPENCV'.*; expected one of SIMPLE_PINHOLE",
    ),
    "distortion of NaN": (
        meta(lambda content: content.update(k1=float("nan"))),
        "transforms.json: the distortion k1 is nan; expected a small finite number",
    ),
    "scale of nothing": (
        meta(lambda content: content.update(applied_scale=0)),
        "has the applied_scale 0; expected a number above 0",
    ),
    # The scene's file
    "one photo only": (
        meta(lambda content: content.update(frames=content["frames"][:1])),
        "lists only one photo; a scene is learnt from many photos",
    ),
    "no photos": (meta(lambda content: content["frames"].clear()), "transforms.json lists no photos"),
    "frame without pose": (meta(lambda content: content["frames"][3].pop("transform_matrix")), "lists no photos"),
    "transforms.json cut off": (cut("transforms.json"), "Cannot read .*transforms.json"),
    "list with an unknown photo": (lists(range(8), range(11, 14)), "Some filenames for split test were not found"),
    "list of nothing": (
        meta(lambda content: content.update(val_filenames=[])),
        r"has the val_filenames \[\]; expected a list of photos, not empty",
    ),
    "path with backslashes": (
        meta(lambda content: content["frames"][3].update(file_path="images\\p03.png")),
        "the file_path of frame 3 is .*; expected the photo's path as text, with forward slashes",
    ),
    "mask missing": (
        meta(lambda content: content["frames"][3].update(mask_path="masks/p03.png")),
        "There is no photo .*masks/p03.png, but the scene names it",
    ),
    "label_path and a label in the folder": (
        meta(lambda content: content["frames"][5].update(label_path="images/p05.png")),
        "The photo p05 has two labels, .*p05.png and, as its label_path",
    ),
    "list without labelled photos": (lists(range(6, 9), range(3)), "None of the photos listed for training"),
    "sparse points missing": (
        meta(lambda content: content.update(ply_file_path="none.ply")),
        "Cannot read the sparse points .*none.ply: .*--load-3D-points False",
    ),
    "georeference without origin": (
        meta(lambda content: content.update(georeference={})),
        "The georeference in .*transforms.json has no origin",
    ),
    "broken COLMAP model": (colmap, "Cannot read the COLMAP model .*sparse"),
    "no scene": (remove("transforms.json"), "is not a scene: looked for transforms.json or a COLMAP model"),
}

TREE = {
    "camera outside the unit sphere": (
        lambda root: save_matrix(root / "train" / "pose" / "0001.txt", np.diag([1.0, -1, -1, 1]) + _shift(2.0)),
        "0001.txt is 2 from the origin, outside the unit sphere.*Multiply the camera positions of all splits by 0.49",
    ),
    "pose file missing": (remove("train/pose/0001.txt"), "4 photos in .*rgb, 3 files in .*pose: they do not pair up"),
    "pose of 15 numbers": (text("train/pose/0001.txt", "1 " * 15), "0001.txt holds 15 numbers; expected 16"),
    "pose of words": (text("train/pose/0001.txt", "one two"), "0001.txt does not hold plain numbers"),
    "intrinsics of another size": (
        lambda root: save_matrix(root / "train" / "intrinsics" / "0001.txt", np.diag([10.0, 10, 1, 1]) + _centre(50)),
        "0001.txt has its principal point at .* outside its photo of 12 x 8 pixels",
    ),
    "skew": (
        lambda root: save_matrix(root / "train" / "intrinsics" / "0001.txt", np.diag([10.0, 10, 1, 1]) + _skew(1.0)),
        "0001.txt has the skew 1; cameras with skew are not supported",
    ),
    "photos of two sizes": (
        each(image("test/rgb/0006.png", np.zeros((9, 16, 3), np.uint8)), remove("test/label/0006.png")),
        "0006.png is 16 x 9 pixels, .* 12 x 8: all photos of a scene must have the same size",
    ),
    "nothing held out": (each(remove("validation"), remove("test")), "has neither validation/ nor test/"),
    "no training label": (remove("train/label"), "No training view is labelled: looked for .*label"),
}


def _shift(x: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[0, 3] = x
    return matrix


def _centre(pixels: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:2, 2] = pixels
    return matrix


def _skew(value: float) -> np.ndarray:
    matrix = _centre(4)
    matrix[0, 1] = value
    return matrix


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def check(monkeypatch, tmp_path) -> Callable[..., str]:
    """Runs `nerfseg check` in an empty folder; returns the message that it ends with, "" if the scene is usable."""
    empty_folder = tmp_path / "here"
    empty_folder.mkdir()
    monkeypatch.chdir(empty_folder)

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["nerfseg", "check", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return str(end.code)
        return ""

    return run


def refuses(check, root: Path, spoil: Callable[[Path], None], message: str) -> None:
    """The scene is usable before, refused with the message after, and nothing is written."""
    spoil(root)
    before = files(root)
    told = check(root)
    assert re.search(message, told), told
    assert told.startswith("nerfseg: ") and "things are wrong" not in told and "Traceback" not in told
    assert files(root) == before and not list(Path.cwd().iterdir())


@pytest.mark.parametrize("case", PHOTOS)
def test_own_photos(check, tmp_path, case):
    refuses(check, write_photos(tmp_path / "my scene"), *PHOTOS[case])


@pytest.mark.parametrize("case", TREE)
def test_carla_mvs(check, tmp_path, case):
    refuses(check, write_tree(tmp_path / "my scene"), *TREE[case])


def test_the_unspoilt_scenes_are_usable(check, tmp_path):
    assert check(write_photos(tmp_path / "photos")) == ""
    assert check(write_tree(tmp_path / "tree"), "--contact-sheet", "None") == ""


def test_there_are_enough_cases():
    assert len(PHOTOS) + len(TREE) >= 40


def test_everything_is_told_at_once(check, tmp_path):
    root = write_photos(tmp_path / "scene")
    names = ("photo cut off", "label as JPEG", "label without photo", "label_path of no file")
    for name in names:
        PHOTOS[name][0](root)
    pose(lambda matrix: matrix @ MIRROR)(root)
    told = check(root)
    assert told.startswith("nerfseg: 5 things are wrong:")
    for name in names:
        assert re.search(PHOTOS[name][1], told), name
    assert "it mirrors" in told


def test_unicode_and_spaces_in_names(check, tmp_path):
    root = write_photos(tmp_path / "Über [den] Wolken")
    content = json.loads((root / "transforms.json").read_text())
    for frame in content["frames"]:
        old = root / frame["file_path"]
        new = old.with_name(f"Luftbild № {old.stem} [é].png")
        old.rename(new)
        frame["file_path"] = f"images/{new.name}"
        label = root / "labels" / old.name
        if label.exists():
            label.rename(label.with_name(new.name))
    (root / "transforms.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    ClassTable(("Gebäude und Höfe", "道路", "Wald [/alt]"), TABLE.colors).save(root / "classes.json")
    assert check(root) == ""
    assert Image.open("contact-sheet.png").width > 1000


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="there is no read-only folder /sys")
def test_read_only_folders(check, monkeypatch, tmp_path):
    root = write_photos(tmp_path / "scene")
    assert "Cannot write the contact sheet /sys/sheet.png" in check(root, "--contact-sheet", READ_ONLY / "sheet.png")
    monkeypatch.setattr(sys, "argv", ["nerfseg", "town", str(READ_ONLY / "town"), "--image-size", "8"])
    with pytest.raises(SystemExit, match="Cannot write /sys/town"):
        cli.main()


def test_training_says_the_same_without_a_traceback(ns, tmp_path):
    root = write_photos(tmp_path / "scene")
    PHOTOS["photo cut off"][0](root)
    PHOTOS["label as JPEG"][0](root)
    flags = ["--machine.device-type", "cpu", "--vis", "tensorboard", "--output-dir", tmp_path / "runs"]
    told = ns("ns-train", "nerfseg-fast", *flags, "labelled-photos-data", "--data", root, fails=True)
    assert "nerfseg: 2 things are wrong:" in told and "Traceback" not in told
    assert "p03.png" in told and "p04.jpg is a JPEG" in told
