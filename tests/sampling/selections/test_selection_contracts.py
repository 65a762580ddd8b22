"""The selections that ionloop brings keep the contract that it asks of others."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from ionloop.sampling.descriptor_settings import DescriptorSettings
from ionloop.sampling.selections.contract import SelectionContract
from ionloop.sampling.selections.registry import SelectionSettings

COARSE = DescriptorSettings(n_max=3, l_max=2, cutoff_A=4.0).model_dump()
ADAPTER: TypeAdapter[Any] = TypeAdapter(SelectionSettings)


@pytest.fixture(
    params=[
        {"method": "farthest-point", "descriptor": COARSE},
        {"method": "novelty", "descriptor": COARSE, "network": {"centres": ["P"], "ligands": ["S"]}},
        {"method": "variance", "descriptor": COARSE},
        {"method": "similarity", "descriptor": COARSE, "threshold": 0.999999},
        {"method": "cur", "descriptor": COARSE},
        {"method": "stride"},
        {"method": "random"},
    ],
    ids=lambda document: document["method"],
)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


class TestBuiltIn(SelectionContract):
    @pytest.fixture(autouse=True)
    def _one_of_them(self, document: dict[str, Any]) -> None:
        self.document = document

    def settings(self, count: int) -> Any:
        return ADAPTER.validate_python({**self.document, "count": count})
