"""Data sets, electrostatic baseline, GAP and ES-GAP fits, calculators. Pure; the ground floor."""

from typing import TYPE_CHECKING

from ..core.lazy_imports import lazy_exports

if TYPE_CHECKING:
    from .data_sets import DataSet, LabelledConfiguration, LabelWeights, isolated_atom, read_extxyz, write_extxyz
    from .electrostatics.baseline import SlaterEwald
    from .models import ModelManifest, fit_model, load_model
    from .settings import (
        BaselineSettings,
        CoreSettings,
        GapSettings,
        Regularisation,
        SoapSettings,
        ThreeBodySettings,
        TwoBodySettings,
    )

__all__ = [
    "BaselineSettings",
    "CoreSettings",
    "DataSet",
    "GapSettings",
    "LabelWeights",
    "LabelledConfiguration",
    "ModelManifest",
    "Regularisation",
    "SlaterEwald",
    "SoapSettings",
    "ThreeBodySettings",
    "TwoBodySettings",
    "fit_model",
    "isolated_atom",
    "load_model",
    "read_extxyz",
    "write_extxyz",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "data_sets": (
            "DataSet",
            "LabelWeights",
            "LabelledConfiguration",
            "isolated_atom",
            "read_extxyz",
            "write_extxyz",
        ),
        "electrostatics.baseline": ("SlaterEwald",),
        "models": ("ModelManifest", "fit_model", "load_model"),
        "settings": (
            "BaselineSettings",
            "CoreSettings",
            "GapSettings",
            "Regularisation",
            "SoapSettings",
            "ThreeBodySettings",
            "TwoBodySettings",
        ),
    },
)
