"""The figures of a finished scene, as a record and in lines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pycolmap

from nerfseg_ns.console.train_command import train_command
from nerfseg_ns.geo.quality import Quality, metres
from nerfseg_ns.photos.alignment import Alignment
from nerfseg_ns.photos.find_photos import Photo
from nerfseg_ns.photos.write_scene import registered

SHOWN = 10
"""Names that a list in a message shows."""


def summarise(
    photos: list[Photo],
    models: list[pycolmap.Reconstruction],
    alignment: Optional[Alignment],
    located: list[str],
    georeference: str,
    seconds: dict[str, float],
    control: list[dict[str, Any]],
) -> dict[str, Any]:
    """The figures that are written to summary.json.

    Args:
        photos: all that were given.
        models: the largest first; it is the scene's.
        alignment: to the earth, if there is one.
        located: names of the registered photos with a GPS position, in the order of the alignment's residuals.
        georeference: how the alignment came about, in words.
        seconds: by step.
        control: what became of each ground control point, if there are any.
    """
    model = models[0]
    placed = [image.name for image in registered(model)]
    gps: dict[str, Any] = {"note": georeference, "positions": len(located)}
    if alignment is not None:
        gps.update(alignment.quality.record())
    if control:
        gps["ground_control"] = control
        gps["median_residual_m"] = round(alignment.median_residual, 4)
    elif alignment is not None:
        gps["used"] = int(alignment.used.sum())
        gps["median_residual_m"] = round(alignment.median_residual, 4)
        gps["left_out"] = {
            name: round(float(residual), 2)
            for name, residual, used in zip(located, alignment.residuals, alignment.used)
            if not used
        }
    return {
        "photos": len(photos),
        "registered": len(placed),
        "unregistered": sorted({photo.name for photo in photos} - set(placed)),
        "models": [other.num_reg_images() for other in models],
        "mean_reprojection_error_px": round(model.compute_mean_reprojection_error(), 4),
        "sparse_points": model.num_points3D(),
        "cameras": _cameras(model),
        "gps": gps,
        "ground_sample_distance_cm": None if alignment is None else round(100 * ground_sample_distance(model), 3),
        "seconds": {step: round(value, 1) for step, value in seconds.items()},
    }


def ground_sample_distance(model: pycolmap.Reconstruction) -> float:
    """Size of a pixel on the ground in the model's units: the median over photos of depth through focal length."""
    sizes = []
    for image in registered(model):
        points = [model.points3D[seen.point3D_id].xyz for seen in image.get_observation_points2D()]
        if points:
            pose = image.cam_from_world().matrix()
            depth = np.median(np.array(points) @ pose[2, :3] + pose[2, 3])
            sizes.append(depth / image.camera.mean_focal_length())
    return float(np.median(sizes))


def summary_lines(figures: dict[str, Any]) -> list[str]:
    """The figures for the terminal."""
    gps = figures["gps"]
    rows = [
        ("Registered photos", f"{figures['registered']} of {figures['photos']}"),
        ("Mean reprojection error", f"{figures['mean_reprojection_error_px']:.2f} px"),
        ("Sparse points", str(figures["sparse_points"])),
        ("Camera", _camera_line(figures["cameras"])),
    ]
    if "used" in gps:
        rows.append(("GPS positions used", f"{gps['used']} of {gps['positions']}"))
        rows.append(("GPS residual, median", _accuracy(gps)))
        rows.append(("Ground sample distance", f"{figures['ground_sample_distance_cm']:.2f} cm per pixel of images/"))
    if "ground_control" in gps:
        rows.append(("Ground control, median", _accuracy(gps)))
        rows += [(f"  {target['target']}", _target_line(target)) for target in gps["ground_control"]]
        rows.append(("Ground sample distance", f"{figures['ground_sample_distance_cm']:.2f} cm per pixel of images/"))
    rows.append(("Time", f"{figures['seconds']['total']:.0f} s"))
    lines = [f"  {name:<26}{value}" for name, value in rows]
    lines += ["", gps["note"]]
    if gps.get("left_out"):
        lines.append(
            f"GPS positions left out: {shortened([f'{n} ({r:.0f} m off)' for n, r in gps['left_out'].items()])}."
        )
    if len(figures["models"]) > 1:
        others = ", ".join(map(str, figures["models"][1:]))
        lines.append(f"The photos fell apart into several scenes; this is the largest. Photos in the others: {others}.")
    if figures["unregistered"]:
        lines.append(f"Left out, because no pose was found: {shortened(figures['unregistered'])}.")
    return lines


def next_steps(output: Path, device: str) -> list[str]:
    """What to do with the scene, with commands ready for a shell."""
    return [
        f"The scene is in {output}. Next:",
        f"  1. Label a few photos of {output / 'images'}: PNGs, LabelMe or COCO JSONs or a CVAT export in",
        f"     {output / 'labels'}, and name the classes in {output / 'classes.json'}.",
        f"  2. nerfseg check {shlex.quote(str(output))}",
        f"  3. {train_command(output, 'labelled-photos-data', device)}",
    ]


def shortened(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _cameras(model: pycolmap.Reconstruction) -> list[dict[str, Any]]:
    used = [image.camera_id for image in registered(model)]
    cameras = [model.cameras[identity] for identity in sorted(set(used))]
    return [
        {
            "model": camera.model.name,
            "width": camera.width,
            "height": camera.height,
            "focal_px": round(camera.mean_focal_length(), 2),
            "photos": used.count(camera.camera_id),
        }
        for camera in cameras
    ]


def _accuracy(gps: dict[str, Any]) -> str:
    """Median residuals in plan and height; in space alone where a scene knows no directions."""
    quality = Quality.read(gps, "summary.json")
    return quality.words() or metres(gps["median_residual_m"])


def _target_line(target: dict[str, Any]) -> str:
    kept = "" if target["used"] else ", left out"
    wrong = f", its mark in {target['wrong_mark']} is wrong and left out" if "wrong_mark" in target else ""
    off = f"{target['plan_m']:.2f} m in plan, {target['height_m']:+.2f} m in height"
    return f"{off}, {target['photos']} photos{kept}{wrong}"


def _camera_line(cameras: list[dict[str, Any]]) -> str:
    first = cameras[0]
    if len(cameras) == 1:
        return f"{first['model']}, {first['width']} x {first['height']} px, focal length {first['focal_px']:.1f} px"
    focals = [camera["focal_px"] for camera in cameras]
    return f"{len(cameras)} of model {first['model']}, focal lengths {min(focals):.1f} to {max(focals):.1f} px"
