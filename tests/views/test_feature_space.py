"""Pictures in the plane, against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from striate.errors import InputError
from striate.networks import build_network
from striate.views.feature_space import feature_space, features, in_the_plane


def clouds(each: int = 12) -> Tensor:
    """Three clouds of points in 20 dimensions, far from each other."""
    drawn = torch.randn(3 * each, 20, generator=torch.Generator().manual_seed(0))
    drawn[:each, 0] += 30
    drawn[each : 2 * each, 1] += 20
    return drawn


def test_pca_is_scikit_learns_up_to_the_sign() -> None:
    found = in_the_plane(clouds())
    reference = PCA(2, svd_solver="full").fit(clouds().double().numpy())
    wanted = torch.from_numpy(reference.transform(clouds().double().numpy()))
    for axis in (0, 1):
        ours = found.points[:, axis].double()
        sign = float(torch.sign((ours * wanted[:, axis]).sum()))
        assert torch.allclose(ours, sign * wanted[:, axis], atol=1e-4)
    assert found.explained is not None
    assert found.explained.tolist() == pytest.approx(reference.explained_variance_ratio_.tolist())


def test_tsne_keeps_clouds_together_and_repeats() -> None:
    first, again = (in_the_plane(clouds(), way="t-sne", seed=7) for _ in range(2))
    assert torch.equal(first.points, again.points)
    assert first.explained is None
    middles = first.points.reshape(3, 12, 2).mean(dim=1)
    apart = torch.cdist(first.points, middles)
    assert apart.argmin(dim=1).tolist() == [0] * 12 + [1] * 12 + [2] * 12


def test_features_are_what_the_head_is_given() -> None:
    pictures = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    made = build_network("small-resnet", num_outputs=4, channels=3, size=32, seed=0).network.eval()
    found, name = features(made, pictures)
    with torch.no_grad():
        wanted = made.features(pictures)
        assert torch.allclose(found, wanted, atol=1e-5)
        head = made.head
        assert torch.allclose(head(found), made(pictures), atol=1e-5)
    assert feature_space(made, pictures).layer == name


def squeezed() -> nn.Sequential:
    """Its last layer with weights is a convolution, as in SqueezeNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [
            nn.Conv2d(3, 6, 3),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv2d(6, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ]
        return nn.Sequential(*layers).eval()


def test_maps_are_averaged_over_the_picture() -> None:
    pictures = torch.randn(40, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    made = squeezed()
    found, name = features(made, pictures)
    assert name == "2"
    with torch.no_grad():
        assert torch.allclose(found, made[:2](pictures).mean(dim=(2, 3)), atol=1e-6)
    first, _ = features(made, pictures, layer="0")
    with torch.no_grad():
        assert torch.allclose(first, made[0](pictures).mean(dim=(2, 3)), atol=1e-6)


def test_few_and_equal_pictures() -> None:
    two = in_the_plane(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert float((two.points[0] - two.points[1]).norm()) == pytest.approx(5.0)
    equal = in_the_plane(torch.ones(3, 5))
    assert torch.equal(equal.points, torch.zeros(3, 2))
    assert equal.explained is not None
    assert equal.explained.tolist() == [0.0, 0.0]
    one_feature = in_the_plane(torch.tensor([[1.0], [2.0], [4.0]]))
    assert one_feature.points[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert in_the_plane(clouds()[:4], way="t-sne").points.isfinite().all()


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no way to the plane 'tsne'; did you mean 't-sne'"):
        in_the_plane(clouds(), way="tsne")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 2 pictures, got 1"):
        in_the_plane(clouds()[:1])
    with pytest.raises(InputError, match="at least 4 pictures, got 3"):
        in_the_plane(clouds()[:3], way="t-sne")
    with pytest.raises(InputError, match="not all finite"):
        in_the_plane(torch.full((3, 2), math.nan))
    with pytest.raises(InputError, match=r"must be \(B, D\)"):
        in_the_plane(torch.zeros(3, 2, 2))
    with pytest.raises(InputError, match="name a place"):
        features(nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()), torch.zeros(2, 3, 8, 8))
    with pytest.raises(InputError, match="convolutoin"):
        features(squeezed(), torch.zeros(2, 3, 8, 8), layer="convolutoin")
