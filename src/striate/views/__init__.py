"""What a network has learned and why it answered so: a file a view. `VIEWS` maps the name of each to its place.

A view is a function of a network and pictures as the network takes them. It changes nothing of the network, also where
it fails. Importing this room imports no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["VIEWS", "Group", "View"]

# map: why this answer for this picture; network: what was learned; dream: pictures made for a network;
# trust: how far the maps themselves can be believed.
Group = Literal["map", "network", "dream", "trust"]


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: where its function is, and a sentence each on what a reader has to know of it."""

    module: str
    function: str
    group: Group
    command: str = ""  # that shows it; "" where none does, but Python
    answers: str  # the question that it answers
    needs: str  # of the network or the data; "" where it needs nothing
    cost: str  # in passes of the network
    misleads: str  # when it should not be believed
    paper: str

    def load(self) -> Callable[..., Any]:
        """The function itself; imports torch."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return found


VIEWS: dict[str, View] = {
    "gradient": View(
        module="striate.views.gradients",
        function="gradient",
        group="map",
        command="striate explain RUN PICTURE --method gradient",
        answers="which pixels, changed a little, change the score of the class",
        needs="",
        cost="one forward and one backward pass",
        misleads="where the score is saturated: what the answer rests on may have a gradient near zero; speckled, as "
        "the gradients of deep networks vary from pixel to pixel",
        paper="Simonyan, Vedaldi, Zisserman 2014 (arXiv:1312.6034), section 3",
    ),
    "input-x-gradient": View(
        module="striate.views.gradients",
        function="input_x_gradient",
        group="map",
        command="striate explain RUN PICTURE --method input-x-gradient",
        answers="how much each pixel adds to the score, as far as the network is linear",
        needs="",
        cost="one forward and one backward pass",
        misleads="pixels that the normalisation brings to zero never count; as the gradient where it is saturated",
        paper="Shrikumar, Greenside, Kundaje 2017 (arXiv:1605.01713), section 2",
    ),
    "smoothgrad": View(
        module="striate.views.gradients",
        function="smoothgrad",
        group="map",
        command="striate explain RUN PICTURE --method smoothgrad",
        answers="which pixels matter on average over noisy copies of the picture",
        needs="",
        cost="25 forward and backward passes; 16 in `striate explain`",
        misleads="much noise answers for pictures that are no longer the one asked about",
        paper="Smilkov, Thorat, Kim, Viegas, Wattenberg 2017 (arXiv:1706.03825)",
    ),
    "integrated-gradients": View(
        module="striate.views.gradients",
        function="integrated_gradients",
        group="map",
        command="striate explain RUN PICTURE --method integrated-gradients",
        answers="how the difference of the score from that of a baseline is shared out among pixels; the baseline is "
        "the mean colour of the training pictures, unless another is given",
        needs="",
        cost="50 forward and backward passes; 24 in `striate explain`",
        misleads="what looks like the baseline gets nothing, whatever it means; the map draws the picture's own edges, "
        "because it is multiplied by it",
        paper="Sundararajan, Taly, Yan 2017 (arXiv:1703.01365), eq. 1 and 3",
    ),
    "guided-backpropagation": View(
        module="striate.views.rectified",
        function="guided_backpropagation",
        group="map",
        command="striate explain RUN PICTURE --method guided-backpropagation",
        answers="which fine detail excites the class, by positive evidence alone",
        needs="rectifiers (ReLU, ReLU6) as activations, and no others",
        cost="one forward and one backward pass",
        misleads="it draws edges of the picture for any class and nearly any weights (Adebayo et al. 2018), and tells "
        "classes poorly apart",
        paper="Springenberg, Dosovitskiy, Brox, Riedmiller 2015 (arXiv:1412.6806), section 3.4",
    ),
    "deconvolution": View(
        module="striate.views.rectified",
        function="deconvolution",
        group="map",
        command="striate explain RUN PICTURE --method deconvolution",
        answers="which pattern in the picture the class answers to, sent back through rectified, transposed filters",
        needs="rectifiers (ReLU, ReLU6) as activations, and no others",
        cost="one forward and one backward pass",
        misleads="only max-pooling ties it to the picture; without, it is nearly the same for every picture",
        paper="Zeiler, Fergus 2014 (arXiv:1311.2901), as a rule of ReLUs in Springenberg et al. 2015, figure 1",
    ),
    "grad-cam": View(
        module="striate.views.grad_cam",
        function="grad_cam",
        group="map",
        command="striate explain RUN PICTURE --method grad-cam",
        answers="in which region the evidence for the class lies",
        needs="a layer with a spatial map",
        cost="one forward pass, and a backward pass down to the layer",
        misleads="coarse (7x7 cells for most photographs), and blurred further by drawing it at the picture's size; "
        "several objects of the class may show as one",
        paper="Selvaraju et al. 2017 (arXiv:1610.02391), eq. 1 and 2",
    ),
    "grad-cam++": View(
        module="striate.views.grad_cam",
        function="grad_cam_plus_plus",
        group="map",
        command="striate explain RUN PICTURE --method grad-cam++",
        answers="in which regions the evidence for the class lies, where there are several objects of it",
        needs="a layer with a spatial map",
        cost="one forward pass, and a backward pass down to the layer",
        misleads="coarse as Grad-CAM; only positive gradients count, so it tells classes apart less well",
        paper="Chattopadhay, Sarkar, Howlader, Balasubramanian 2018 (arXiv:1710.11063), eq. 10, 19",
    ),
    "guided-grad-cam": View(
        module="striate.views.grad_cam",
        function="guided_grad_cam",
        group="map",
        command="striate explain RUN PICTURE --method guided-grad-cam",
        answers="which fine detail lies in the region of the evidence",
        needs="a layer with a spatial map, and rectifiers as activations",
        cost="grad-cam and guided-backpropagation",
        misleads="its detail is guided back-propagation's: edges of the picture; only the region speaks of the class",
        paper="Selvaraju et al. 2017 (arXiv:1610.02391), section 3.2",
    ),
    "dreams": View(
        module="striate.views.dreams",
        function="dream",
        group="dream",
        command="striate dream RUN --class NAME",
        answers="what would raise this class, unit, channel or layer most",
        needs="",
        cost="128 passes forward and backward for each dream, most of them at a smaller size; up to 512 where "
        "pictures have less than 128 pixels a side",
        misleads="a dream is an extreme that no photograph comes near: it shows what raises a unit most, not what does "
        "so in pictures; another seed shows another side",
        paper="Erhan et al. 2009; Simonyan, Vedaldi, Zisserman 2014 (arXiv:1312.6034); "
        "Olah, Mordvintsev, Schubert 2017 (Distill)",
    ),
    "deepdream": View(
        module="striate.views.deepdream",
        function="deepdream",
        group="dream",
        command="striate dream RUN --picture FILE",
        answers="what a layer sees in this picture, made stronger",
        needs="",
        cost="40 passes forward and backward",
        misleads="nearly any picture can be driven to any pattern: what appears need not be what an answer rests on",
        paper="Mordvintsev, Olah, Tyka 2015",
    ),
    "invariance": View(
        module="striate.views.invariance",
        function="invariance",
        group="network",
        command="striate look RUN --invariance",
        answers="how much the features of each layer, and the answer, change as the picture is moved, scaled or turned",
        needs="a few pictures of known classes",
        cost="39 passes forward for each picture",
        misleads="what comes in from outside of the picture is the mean colour, which changes features by itself",
        paper="Zeiler and Fergus 2014 (arXiv:1311.2901), fig. 5",
    ),
    "features-through-training": View(
        module="striate.views.through_training",
        function="through_training",
        group="network",
        command="striate look RUN --through-training",
        answers="when in training these units came to what they see",
        needs="a run trained with --keep-epochs; rectifiers as activations; pictures",
        cost="one pass forward over the pictures for each epoch, and one backward for each unit",
        misleads="only the strongest activation is followed: from one epoch to the next it may jump to another picture",
        paper="Zeiler and Fergus 2014 (arXiv:1311.2901), fig. 4",
    ),
    "occlusion": View(
        module="striate.views.occlusion",
        function="occlusion_map",
        group="map",
        command="striate explain RUN PICTURE --method occlusion",
        answers="by how much the probability of the class falls when a square hides this part of the picture",
        needs="a picture that is not smaller than the square",
        cost="one forward pass for each place of the square, 625 at 224 pixels, of what the square can change alone",
        misleads="of two things of which either is enough, hiding one changes nothing; the square itself is a picture "
        "that the network never saw",
        paper="Zeiler, Fergus 2014 (arXiv:1311.2901), section 4.2; Nakandala et al. 2019 (SIGMOD) for the computation",
    ),
    "filters": View(
        module="striate.views.filters",
        function="filters",
        group="network",
        command="striate look RUN",
        answers="what the first filters and the linear layers look for",
        needs="a first layer that is a convolution or a linear layer",
        cost="none",
        misleads="beyond the first layer, where a filter's inputs are no colours",
        paper="Zeiler and Fergus 2014 (arXiv:1311.2901), figure 6",
    ),
    "feature-maps": View(
        module="striate.views.feature_maps",
        function="feature_maps",
        group="network",
        command="striate look RUN",
        answers="what every layer makes of this picture",
        needs="",
        cost="one pass forward",
        misleads="where one map is read as one thing: what a layer says is spread over all of them",
        paper="Zeiler and Fergus 2014 (arXiv:1311.2901), section 2",
    ),
    "top-patches": View(
        module="striate.views.top_patches",
        function="top_patches",
        group="network",
        command="striate look RUN",
        answers="which of these pictures excite a unit most, and what in them does",
        needs="pictures like those that the network is for; rectifiers for the reconstructions",
        cost="one pass forward over the pictures, for all units at once; one backward a reconstruction",
        misleads="where nine pictures are few: a unit may answer to much else, too, only less",
        paper="Zeiler and Fergus 2014 (arXiv:1311.2901), section 2 and figure 2",
    ),
    "units": View(
        module="striate.views.units",
        function="unit_report",
        group="network",
        command="striate look RUN",
        answers="what units respond to, which are dead, and which do the same",
        needs="pictures like those that the network is for; their labels for the classes",
        cost="one pass forward over the pictures, for all units at once",
        misleads="where a selective unit is taken for one that the network needs",
        paper="Morcos et al. 2018 (arXiv:1803.06959), section 2.3",
    ),
    "feature-space": View(
        module="striate.views.feature_space",
        function="feature_space",
        group="network",
        command="striate look RUN --feature-space pca",
        answers="which pictures of a data set the network finds alike",
        needs="a data set; something before the layer that gives the scores",
        cost="1 pass a picture; t-SNE on top of it takes seconds for some hundreds of pictures",
        misleads="two dimensions cannot hold the neighbourhoods of hundreds; in t-SNE the sizes of groups and the "
        "distances between them mean nothing, and another seed gives another picture",
        paper="van der Maaten and Hinton 2008 (t-SNE); Pearson 1901 (PCA)",
    ),
    "deletion": View(
        module="striate.views.deletion",
        function="deletion",
        group="trust",
        answers="whether the answer goes when the pixels go that a map marks",
        needs="a map",
        cost="1 pass a step and map: 32",
        misleads="pictures with holes are like none that were learned; scattered holes disturb most, so that maps of "
        "single pixels look good: compare with random maps that are as smooth",
        paper="Petsiuk, Das, Saenko 2018 (arXiv:1806.07421)",
    ),
    "insertion": View(
        module="striate.views.deletion",
        function="insertion",
        group="trust",
        answers="whether the answer comes when the pixels come that a map marks",
        needs="a map",
        cost="1 pass a step and map: 32",
        misleads="where the blurred picture is already answered right, every map looks good; soft blobs look better "
        "than single pixels, the reverse of deletion",
        paper="Petsiuk, Das, Saenko 2018 (arXiv:1806.07421)",
    ),
    "fared": View(
        module="striate.views.fared",
        function="fared",
        group="trust",
        command="striate explain RUN PICTURE",
        answers="which of several maps of a picture can be believed",
        needs="maps",
        cost="14 passes a map, and 28 for each kind of smoothness among them",
        misleads="one picture and two random maps: a map that knows nothing comes out best of the three one time in "
        "three, and must be clear of them by a hundredth of the area",
        paper="the curves: Petsiuk, Das, Saenko 2018; the random maps are ours",
    ),
    "pointing-game": View(
        module="striate.views.pointing",
        function="pointing",
        group="trust",
        answers="whether a map points at the object",
        needs="a map, and boxes around the objects",
        cost="nothing beside the map",
        misleads="it asks whether the map points where a person would, not whether the network looked there; large "
        "boxes in the middle are hit by anything: compare with a blob in the middle",
        paper="Zhang et al. 2016 (arXiv:1608.00507); Wang et al. 2020 (arXiv:1910.01279)",
    ),
    "randomisation": View(
        module="striate.views.randomisation",
        function="randomisation",
        group="trust",
        answers="whether a kind of map depends on what was learned at all",
        needs="a kind of map, weights",
        cost="9 maps of each picture, and a copy of the network",
        misleads="passing is needed and not enough: a random map passes; how alike two maps are depends on whether "
        "signs count, so that both figures are given",
        paper="Adebayo et al. 2018 (arXiv:1810.03292)",
    ),
    "planted-square": View(
        module="striate.views.planted_square",
        function="planted_square",
        group="trust",
        answers="whether a kind of map finds what it must find, where that is known",
        needs="a kind of map; it brings its own network and pictures",
        cost="2 s to train a small network, 2 maps of 16 small pictures",
        misleads="one small network and one easy question: passing does not carry over to large networks, failing does",
        paper="after Yang and Kim 2019 (arXiv:1907.09701) and Zhou et al. 2022 (arXiv:2104.14403)",
    ),
}
