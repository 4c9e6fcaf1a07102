"""What pictures tell `striate look` of the units of a network: the strongest, drawn; and what was asked for beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from striate.actions.look_alike import Alike, alike_of
from striate.actions.look_cells import Wanted, draw
from striate.actions.look_changes import Changes, changes_of
from striate.actions.look_data import Looked, blank_picture
from striate.actions.look_fields import Sight
from striate.actions.look_films import UNITS, Films, films_of
from striate.data.kept import cache_budget
from striate.data.samples import CLASSIFICATION
from striate.errors import InputError, require
from striate.reports.gallery import side_for
from striate.reports.sheets import Sheet
from striate.taps.places import Place
from striate.taps.rectifiers import require_rectifiers
from striate.views.feature_space import Way
from striate.views.top_index import Found, Index, content_of, look_through

if TYPE_CHECKING:
    from torch import nn

UNPOOLED = "no layer of max-pooling was found: the deconvnet shows the weights then, and hardly the picture"


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the pictures told. found: by layer; sheets: by layer and unit, drawn. reconstructed: whether the sheets show
    the deconvnet beside the patches. changes, films, alike: where they were asked for."""

    found: Mapping[str, Found] = field(default_factory=dict)
    left_out: tuple[tuple[int, str], ...] = ()
    sheets: Mapping[str, Mapping[int, Sheet]] = field(default_factory=dict)
    reconstructed: bool = False
    notes: tuple[str, ...] = ()
    changes: Changes | None = None
    films: Films | None = None
    alike: Alike | None = None


def see(
    looked: Looked,
    places: Sequence[Place],
    shown: Mapping[str, Sequence[int]],
    sight: Sight,
    *,
    draw_units: bool,
    pooled: bool,
    invariance: bool,
    way: Way | None,
    networks: Iterable[tuple[int, nn.Module]],
    epochs: int,
    output: str | int | None,
) -> Seen:
    """Look at `places` with all of the pictures, and keep what was found for the next time.

    shown: the units of each that are drawn. pooled: whether the network has max-pooling. invariance: also move, scale
    and turn some of the pictures. way: also lay some of them out by what is alike. networks: after so many epochs, to
    follow the first units of each through training; none where `epochs` is 0.
    """
    model, observer = looked.model, looked.observer
    index = _index(looked, output)
    found = look_through(
        model.network,
        looked.batches,
        [place.name for place in places],
        classes=len(looked.samples.class_names) if looked.samples.task == CLASSIFICATION else 0,
        index=index,
        left_out=lambda: looked.left_out,
        output=output,
        observer=observer,
    )
    left_out = next((one.left_out for one in found.values()), ())
    unread = [row for row, _ in left_out]
    deconvnet, notes = True, () if pooled else (UNPOOLED,)
    try:
        require_rectifiers(model.network, blank_picture(model), "the deconvnet reconstruction")
    except InputError as error:
        deconvnet, notes = False, (f"patches alone: {error}",)
    alive = {layer: tuple(unit for unit in shown[layer] if not one.units.dead[unit]) for layer, one in found.items()}
    sheets: dict[str, dict[int, Sheet]] = {}
    if draw_units:
        wanted = [
            Wanted(
                layer=place.name,
                units=alive[place.name],
                top=found[place.name].top,
                fields=sight.fields[place.name],
            )
            for place in places
        ]
        side = side_for(sum(map(len, shown.values())))
        sheets = draw(looked, wanted, side=side, reconstructed=deconvnet, index=index, output=output)
    changes = changes_of(looked, list(found), unread, index, output) if invariance else None
    films = None
    if epochs:
        followed = {layer: units[:UNITS] for layer, units in alive.items() if units}
        require(bool(followed), "all the units that are shown are dead: there is nothing to follow through training")
        films = films_of(looked, networks, followed, unread, epochs, output)
    return Seen(
        found=found,
        left_out=left_out,
        sheets=sheets,
        reconstructed=deconvnet,
        notes=notes,
        changes=changes,
        films=films,
        alike=None if way is None else alike_of(looked, unread, way, index, output),
    )


def _index(looked: Looked, output: str | int | None) -> Index | None:
    """Where it is kept; None where nothing is to be kept."""
    if cache_budget() == 0:
        return None
    model = looked.model
    settings = {
        "input": model.input_spec.to_json(),
        "device": model.device.partition(":")[0],
        "precision": model.precision,
        "output": output,
    }
    return Index(content_of(model.network, looked.digest(), settings))
