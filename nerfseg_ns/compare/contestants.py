"""Who runs a job."""

from __future__ import annotations

import pkgutil
from typing import Dict

from nerfseg_ns.compare.contestant import Contestant, Job
from nerfseg_ns.compare.methods import Kind

CONTESTANTS: Dict[Kind, str] = {
    "cnn": "nerfseg_ns.compare.cnn.contestant:CNNContestant",
    "eye": "nerfseg_ns.compare.eye_contestant:EyeContestant",
    "radiance": "nerfseg_ns.compare.fields.radiance:RadianceContestant",
    "joint": "nerfseg_ns.compare.fields.joint:JointContestant",
    "nerfw": "nerfseg_ns.compare.fields.nerfw:NerfWContestant",
    "transfer": "nerfseg_ns.compare.fields.transfer:TransferContestant",
}
"""Class of each kind of method, imported when a job asks for it: a CNN needs nothing of a radiance field."""


def make_contestant(job: Job) -> Contestant:
    """The contestant of a job, untrained."""
    return pkgutil.resolve_name(CONTESTANTS[job.info.kind])(job)
