"""Who runs a job."""

from __future__ import annotations

import pkgutil
from typing import Dict

from nerfseg_ns.compare.method import ComparedMethod, Job
from nerfseg_ns.compare.methods import Kind

METHOD_CLASSES: Dict[Kind, str] = {
    "cnn": "nerfseg_ns.compare.cnn.method:CNNMethod",
    "eye": "nerfseg_ns.compare.eye_method:EyeMethod",
    "radiance": "nerfseg_ns.compare.fields.radiance:RadianceMethod",
    "joint": "nerfseg_ns.compare.fields.joint:JointMethod",
    "nerfw": "nerfseg_ns.compare.fields.nerfw:NerfWMethod",
    "transfer": "nerfseg_ns.compare.fields.transfer:TransferMethod",
}
"""Class of each kind of method, imported when a job asks for it: a CNN needs nothing of a radiance field."""


def make_method(job: Job) -> ComparedMethod:
    """The method of a job, untrained."""
    return pkgutil.resolve_name(METHOD_CLASSES[job.info.kind])(job)
