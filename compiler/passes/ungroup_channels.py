"""Normalizations over groups of channels, computed on the image that they normalise.

PyTorch exports a group normalization as a Reshape of ``N x C x H x W`` to ``N x G x CHW/G``, an instance normalization of that, and a Reshape back. Where
channels lie last in memory, both reshapes move everything, and the groups are no rows. On the image itself a group's mean is the mean of its
channels' means, and everything else is elementwise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..elementwise import TABLE
from ..graph import REDUCTIONS, Attribute, Graph, Node, add_value
from .remove_dead_nodes import remove_dead_nodes


@dataclass(frozen=True)
class _Image:
    """The image of a grouped value, and the Reshapes that grouped what it is made of."""

    value: str
    roots: frozenset[str]


def ungroup_channels(graph: Graph) -> Graph:
    """`graph` with what is computed between a Reshape of images that groups their channels and one that undoes it computed on the images."""
    # A grouped value has the Reshapes of all that it is made of as its roots, so that what the second run leaves out reaches nothing that it keeps.
    tried = _Ungroup(graph, {node.output for node in graph.nodes if node.op == "Reshape"})
    return _Ungroup(graph, tried.undone).graph() if tried.undone else graph


class _Ungroup:
    def __init__(self, graph: Graph, roots: Collection[str]) -> None:
        self.source, self.roots = graph, roots
        self.undone: set[str] = set()
        """Reshapes that grouped what a later one ungroups."""
        self.nodes: dict[str, Node] = {}
        self.types, self.constants = dict(graph.types), dict(graph.constants)
        self.images: dict[str, _Image] = {}
        for node in graph.nodes:
            self._take(node)

    def graph(self) -> Graph:
        nodes = tuple(self.nodes.values())
        return remove_dead_nodes(
            replace(self.source, nodes=nodes, types=self.types, constants=self.constants)
        )

    def _take(self, node: Node) -> None:
        image = self.images.get(node.inputs[0]) if node.inputs else None
        shape = self.types[node.output].shape
        if node.op == "Reshape" and image and self.types[image.value].shape == shape:
            self.undone |= image.roots
            self.nodes[node.output] = replace(node, inputs=(image.value,))
        elif node.op == "Reshape" and self._groups(node):
            self.images[node.output] = _Image(node.inputs[0], frozenset({node.output}))
            self.nodes[node.output] = node
        elif node.op in REDUCTIONS and image and node.ints("axes") == (2,):
            self._reduce(node, image.value)
        elif node.op in TABLE and (images := self._images(node)):
            self._compute(node, images)
        else:
            self.nodes[node.output] = node

    def _groups(self, node: Node) -> bool:
        """Whether a Reshape makes ``N x G x M`` of images ``N x C x …``, G of which divides C."""
        image, grouped = (self.types[value].shape for value in (node.inputs[0], node.output))
        return (
            node.output in self.roots
            and len(image) > 2
            and len(grouped) == 3
            and image[0] == grouped[0]
            and prod(image) > 0
            and image[1] % grouped[1] == 0
        )

    def _images(self, node: Node) -> list[_Image]:
        """The images of those inputs of an elementwise operator that are grouped, where they and the result are alike and others are one number a group."""
        grouped = [value for value in node.inputs if value in self.images]
        others = [self.types[value].shape for value in node.inputs if value not in self.images]
        shapes = {self.types[value].shape for value in (*grouped, node.output)}
        images = [self.images[value] for value in grouped]
        alike = len(shapes) == len({self.types[image.value].shape for image in images}) == 1
        return images if alike and all(shape[-1:] in ((), (1,)) for shape in others) else []

    def _reduce(self, node: Node, image: str) -> None:
        """A reduction of groups as one of channels and one of their results."""
        shape, groups = self.types[image].shape, self.types[node.inputs[0]].shape[1]
        flat = (1,) * (len(shape) - 2)
        axes = tuple(range(2, len(shape)))
        by_channel = self._step(node, "channels", node.op, image, (*shape[:2], *flat), axes=axes, keepdims=1)
        if groups == shape[1]:
            self.nodes[node.output] = Node("Reshape", (by_channel,), node.output, (), node.name)
        else:
            grouped = shape[0], groups, shape[1] // groups
            by_group = self._step(node, "groups", "Reshape", by_channel, grouped)
            self.nodes[node.output] = replace(node, inputs=(by_group,))

    def _compute(self, node: Node, images: list[_Image]) -> None:
        """An elementwise operator on images, and its result grouped for whoever else reads it."""
        shape = self.types[images[0].value].shape
        inputs = tuple(
            self.images[value].value if value in self.images else self._spread(node, value, shape)
            for value in node.inputs
        )
        out = add_value(self.types, f"{node.output}/image", self.types[node.output].shaped(shape))
        self.nodes[out] = replace(node, inputs=inputs, output=out)
        self.images[node.output] = _Image(out, frozenset().union(*(image.roots for image in images)))
        self.nodes[node.output] = Node("Reshape", (out,), node.output, (), f"{node.name}/grouped")

    def _spread(self, node: Node, value: str, image: tuple[int, ...]) -> str:
        """One number a group, which `node` reads beside groups, as one a channel of `image`."""
        shape = self.types[value].shape
        if not shape:
            return value
        batch, count, _ = (1,) * (3 - len(shape)) + shape
        members = image[1] // self.types[node.output].shape[1] if count > 1 else 1
        flat = (batch, count * members, *(1,) * (len(image) - 2))
        if value in self.constants:
            name = add_value(self.types, f"{value}/channels", self.types[value].shaped(flat))
            data = self.constants[value].reshape(batch, count)
            self.constants[name] = np.repeat(data, members, axis=1).reshape(flat)
            return name
        if members > 1:
            rows = self._step(node, "rows", "Reshape", value, (batch, count, 1))
            value = self._step(node, "repeated", "Expand", rows, (batch, count, members))
        return self._step(node, "spread", "Reshape", value, flat)

    def _step(
        self, node: Node, label: str, op: str, source: str, shape: tuple[int, ...], **attrs: Attribute
    ) -> str:
        """The value of a new node that helps to compute `node`, with the element type of its only input, `source`."""
        out = add_value(self.types, f"{node.output}/{label}", self.types[source].shaped(shape))
        self.nodes[out] = Node(op, (source,), out, tuple(sorted(attrs.items())), f"{node.name}/{label}")
        return out
