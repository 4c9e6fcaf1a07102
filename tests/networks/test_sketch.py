"""Networks without values have the names, shapes and types of real ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from striate.networks import NETWORKS, build_network
from striate.networks.sketch import sketching


@pytest.mark.parametrize("name", [*NETWORKS, "mobilenet_v3_small", "vit_b_16", "timm/test_convnext", "timm/test_vit"])
def test_a_sketch_has_the_tensors_of_the_network(name: str) -> None:
    with sketching():
        sketch = build_network(name, num_outputs=5, channels=3, size=64, seed=0).network.state_dict()
    real = build_network(name, num_outputs=5, channels=3, size=64, seed=0).network.state_dict()
    assert all(tensor.is_meta for tensor in sketch.values())
    assert {key: (value.shape, value.dtype) for key, value in sketch.items()} == {
        key: (value.shape, value.dtype) for key, value in real.items()
    }


def test_a_sketch_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys\n"
        "from striate.networks import NETWORKS, build_network\n"
        "from striate.networks.sketch import sketching\n"
        "with sketching():\n"
        "    for name in NETWORKS:\n"
        "        build_network(name, num_outputs=5, channels=3, size=64, seed=0)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
