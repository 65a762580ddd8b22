"""Data sets, electrostatic baseline, GAP and ES-GAP fits, calculators. Pure; the ground floor."""

from .data_sets import DataSet, LabelledConfiguration, read_extxyz, write_extxyz
from .electrostatics import SlaterEwald
from .models import ModelManifest, fit_model, load_model
from .settings import BaselineSettings, GapSettings, Regularisation, SoapSettings, TwoBodySettings

__all__ = [
    "BaselineSettings",
    "DataSet",
    "GapSettings",
    "LabelledConfiguration",
    "ModelManifest",
    "Regularisation",
    "SlaterEwald",
    "SoapSettings",
    "TwoBodySettings",
    "fit_model",
    "load_model",
    "read_extxyz",
    "write_extxyz",
]
