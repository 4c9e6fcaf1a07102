"""Files of weights from elsewhere: read, fitted, or refused in one sentence; nothing in them runs."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from striate.errors import InputError
from striate.networks import build_network
from striate.networks.weights import read_weights


def build(weights: Path | None = None, **changes: Any) -> Any:
    values = {"num_outputs": 4, "channels": 1, "size": 8, "seed": 0, "weights": weights} | changes
    return build_network("lenet5", **values)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in build(seed=3).network.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_safetensors_and_pth_load_the_same(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pth", "old.pt"):
        made = build(tmp_path / name)
        assert equal(made.network.state_dict(), state)
        assert made.notes == (f"lenet5 starts from the weights in {tmp_path / name}",)


@pytest.mark.parametrize("wrap", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", ""])
def test_state_dicts_are_found_inside_checkpoints(
    tmp_path: Path, state: dict[str, torch.Tensor], wrap: str | None, prefix: str
) -> None:
    inner = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({wrap: inner, "epoch": 3} if wrap else inner, tmp_path / "a.pth")
    assert equal(build(tmp_path / "a.pth").network.state_dict(), state)


def test_a_head_of_other_classes_is_left_fresh_and_said(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    made = build(tmp_path / "a.pth", num_outputs=7)
    loaded = made.network.state_dict()
    assert loaded["head.weight"].shape == (7, 84)
    assert torch.equal(loaded["features.0.weight"], state["features.0.weight"])
    assert made.notes[-1].startswith("the head (head) starts fresh: 7 outputs")
    assert made.notes[-1].endswith("it has 4")


def test_weights_for_colour_are_summed_for_grey(tmp_path: Path) -> None:
    colour = build(channels=3).network.eval()
    torch.save(colour.state_dict(), tmp_path / "a.pth")
    made = build(tmp_path / "a.pth")
    grey = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(made.network.eval()(grey), colour(grey.expand(-1, 3, -1, -1)), atol=1e-5)
    assert any("summed" in note for note in made.notes)


def test_weights_of_another_network_name_the_first_differences(tmp_path: Path) -> None:
    other = build_network("mlp", num_outputs=4, channels=1, size=8, seed=0).network.state_dict()
    save_file(other, tmp_path / "a.safetensors")
    with pytest.raises(InputError) as caught:
        build(tmp_path / "a.safetensors")
    assert "features.0.weight is missing" in str(caught.value) or "features.0.weight is " in str(caught.value)
    assert "more; name the network that they belong to" in str(caught.value)


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    state["features.9.weight"] = state["features.9.weight"][:, :10]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"features\.9\.weight is 84x10 and should be 84x120"):
        build(tmp_path / "a.pth")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    state["head.bias"][0] = float("nan")
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"head\.bias holds values that are not finite"):
        build(tmp_path / "a.safetensors")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(EVIDENCE),))


EVIDENCE = "evidence-of-code-that-ran"


def test_code_in_a_file_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1), "b": Evil()}, tmp_path / "a.pth")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "c.pth").write_bytes(pickle.dumps(Evil(), protocol=0))
    for name in ("a.pth", "b.pt", "c.pth"):
        with pytest.raises(InputError, match="Python code would run on load") as caught:
            read_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / EVIDENCE).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"\xff\xd8\xff\xe0" + b"\0" * 100,
        b"<!doctype html><html></html>",
        b"",
        b"PK\5\6" + b"\0" * 18,
    ],
    ids=["png", "jpeg", "html", "empty", "empty zip"],
)
def test_what_is_no_file_of_weights_is_not_said_to_hold_code(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"a.pth: damaged, or not a file of PyTorch weights$"):
        read_weights(tmp_path / "a.pth")


def header(entries: object, data: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[Any], start: Any = 0, end: Any = 16, dtype: Any = "F32") -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4,
        b"\xff" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 99_000_000) + b"{}",
        struct.pack("<Q", 5) + b"[[[[[",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        header([1]),
        header({}),
        header({"a": 3}),
        header(entry([2**40, 2**40])),
        header(entry([10**30])),
        header(entry([4], end=10**12)),
        header(entry([4], start=-16, end=0)),
        header(entry([-4])),
        header(entry([True, 4])),
        header(entry([4], dtype="F1024")),
        header(entry([4], dtype=["F32"])),
        header(entry([4], dtype=None)),
        header(entry([2**62, 0], end=0)),
        header({"__metadata__": 5, **entry([4])}),
        header(entry([4]) | {"b": entry([4])["a"]}),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    ],
)
def test_hostile_safetensors_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_hostile_pickles_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": torch.zeros(1).expand(10**9)}, path)  # one number, dressed as 4 GB
    with pytest.raises(InputError, match="larger than the file"):
        read_weights(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(InputError, match="unpacks to more"):
        read_weights(path)
    for content in ([1, 2], "text", {"a": 3}, {}, {"state_dict": {}}, torch.zeros(3)):
        torch.save(content, path)
        with pytest.raises(InputError):
            read_weights(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(InputError, match="is a folder"):
        read_weights(tmp_path)


def test_one_set_of_weights_at_a_time(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match="not both"):
        build(tmp_path / "a.pth", pretrained=True)


def test_a_zip_file_that_says_it_goes_on_in_another_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 2  # the number of files that it is said to consist of
    content[content.rindex(b"PK\x05\x06") + 4] = 2
    (tmp_path / "a.pth").write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        read_weights(tmp_path / "a.pth")


SMALL = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_load_or_are_refused(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".safetensors":
        save_file(SMALL, path)
    else:
        torch.save(SMALL, path, _use_new_zipfile_serialization=suffix == ".pth")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        match data.draw(st.sampled_from(("set", "cut", "insert", "remove"))):
            case "set" if content:
                content[place] = data.draw(st.integers(0, 255))
            case "cut":
                del content[place:]
            case "insert":
                content[place:place] = data.draw(st.binary(max_size=8))
            case "remove":
                del content[place : place + data.draw(st.integers(1, 8))]
    unmutated = bytes(content) == path.read_bytes()
    path.write_bytes(bytes(content))
    if unmutated:
        assert equal(read_weights(path), SMALL)
    with contextlib.suppress(InputError):
        read_weights(path)
