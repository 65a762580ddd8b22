"""Files of labels as people have them: one reading path for `ionloop fit`, `evaluate`, `import` and the studies."""

from .label_keys import LabelKeys, UnclearLabelsError
from .label_units import FileUnits
from .labels import LabelFile, LabelRequest, read_labels, read_structures

__all__ = [
    "FileUnits",
    "LabelFile",
    "LabelKeys",
    "LabelRequest",
    "UnclearLabelsError",
    "read_labels",
    "read_structures",
]
