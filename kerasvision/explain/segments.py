"""A network cut at its modules, so that many lesioned forms of it share what they have in common.

Deleting each of 54 modules means 54 networks that are equal up to the module that is missing. They are run as
one tree, depth first and batch by batch: what several have in common is computed once, nothing is computed
twice, and only one activation a level of the tree is in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from kerasvision.explain.lesion import check_names, flattened, removable
from kerasvision.explain.residual import Located, follow_each_other, hand_on, needed
from kerasvision.models import graph
from kerasvision.models.folding import fold_batchnorm

ACTIVATIONS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU)

# One step of a form of the network: which piece runs, and which of its modules are left out.
Step = tuple[int, frozenset]
Form = tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a graph between two cuts.

    Attributes:
        nodes: in order.
        inputs, outputs: tensors that are alive at its two ends.
        modules: name -> what can be left out of it; nothing in the stem, in the tail, and between modules.
        compiled: modules left out and shapes of the input tensors -> function on these.
    """

    nodes: list
    inputs: list
    outputs: list
    modules: dict[str, Located]
    compiled: dict[tuple, Callable] = field(default_factory=dict)

    @property
    def movable(self) -> bool:
        """Whether it is one module from one tensor to another one of the same shape."""
        if len(self.modules) != 1 or len(self.inputs) != 1 or len(self.outputs) != 1:
            return False
        (located,) = self.modules.values()
        return not located.module.downsampling and tuple(self.inputs[0].shape) == tuple(self.outputs[0].shape)

    def run(self, tensors: list, missing: frozenset) -> list:
        """Return the tensors at its end, some of its modules left out."""
        key = (missing, *(tuple(tensor.shape) for tensor in tensors))
        if key not in self.compiled:
            self.compiled[key] = self._compile(tensors, missing)
        return self.compiled[key](*tensors)

    def _compile(self, tensors: list, missing: frozenset) -> Callable:
        import tensorflow as tf

        bypass = {key: i for name in missing for key, i in self.modules[name].bypass.items()}
        chosen = needed(self.nodes, set(map(id, self.outputs)), bypass)

        def call(operation, args, kwargs, node):
            if id(node) in bypass:
                return hand_on(args, bypass[id(node)])
            return graph.infer(operation, args, kwargs, node)

        def function(*given):
            # The branch that a bypassed addition would have added is not computed: it stands there as None.
            known = {id(tensor): None for node in chosen for tensor in node.input_tensors}
            known.update(zip(map(id, self.inputs), given, strict=True))
            found = graph.run(chosen, known, call)
            return [found[id(tensor)] for tensor in self.outputs]

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        return tf.function(function, autograph=False).get_concrete_function(*specs)


class Segments:
    """A network cut into stem, modules and tail.

    It takes a snapshot of the weights: BatchNormalization is folded into copies of the layers.

    Args:
        model: functional model of one image input and one output, with residual modules or removable layers.

    Attributes:
        names: of the modules, in order.
        located: the modules in the folded graph, in the same order.
        pieces: the stretches of the graph, in order.

    Raises:
        ValueError: the model has nothing to leave out, or several inputs or outputs.
    """

    def __init__(self, model: keras.Model):
        flat = flattened(model)
        self.names = tuple(located.name for located in removable(flat))
        self.model = fold_batchnorm(flat)
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise ValueError(
                f"`model` must have one input and one output. {model.name!r} has {len(self.model.inputs)} "
                f"and {len(self.model.outputs)}."
            )
        # Names of layers survive folding; where a module has its name from a layer that is gone, order does.
        self.located = tuple(removable(self.model))
        self.pieces = _cut(self.model, dict(zip(self.names, self.located, strict=True)))
        self.piece_of = {name: i for i, piece in enumerate(self.pieces) for name in piece.modules}

    @property
    def is_chain(self) -> bool:
        """Whether the modules follow each other, with no way around any of them."""
        return follow_each_other(self.model, self.located)

    @property
    def whole(self) -> Form:
        """The network as it is."""
        return tuple((i, frozenset()) for i in range(len(self.pieces)))

    def deletion(self, names: str | Iterable[str]) -> Form:
        """Return the form of the network without some modules.

        Raises:
            ValueError: there is no such module.
        """
        missing = set(check_names(names, self.names, self.model))
        return tuple((i, frozenset(missing & set(piece.modules))) for i, piece in enumerate(self.pieces))

    def movable(self) -> tuple[tuple[str, ...], ...]:
        """Return groups of modules that can change places: from one tensor to one of the same shape."""
        groups: dict[tuple, list[str]] = {}
        for piece in self.pieces:
            if piece.movable:
                groups.setdefault(tuple(piece.inputs[0].shape), []).extend(piece.modules)
        return tuple(tuple(names) for names in groups.values() if len(names) > 1)

    def ordered(self, names: Sequence[str]) -> Form:
        """Return the form of the network with movable modules in another order.

        Args:
            names: all modules, each once; at place i stands the module that runs there.

        Raises:
            ValueError: it is no order of the modules, or one stands where its shape does not fit.
        """
        if sorted(names) != sorted(self.names):
            raise ValueError(
                f"`names` must hold each of the {len(self.names)} modules once. Received: {list(names)}."
            )
        form = list(self.whole)
        for place, name in zip(self.names, names, strict=True):
            if name == place:
                continue
            there, here = self.pieces[self.piece_of[place]], self.pieces[self.piece_of[name]]
            shapes = [tuple(piece.inputs[0].shape) for piece in (there, here)]
            if not (there.movable and here.movable and shapes[0] == shapes[1]):
                raise ValueError(
                    f"`names` has {name!r} in the place of {place!r}, where its shape does not fit."
                )
            form[self.piece_of[place]] = (self.piece_of[name], frozenset())
        return tuple(form)

    def outputs(
        self,
        images: np.ndarray,
        forms: Sequence[Form],
        *,
        batch_size: int = 64,
        advance: Callable[[int], object] = lambda steps: None,
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Run forms of the network on images, what they have in common once.

        Args:
            images: (n, height, width, channels), uint8 or float, as the model takes them.
            forms: of `whole`, `deletion`, `ordered`.
            batch_size: images at a time; the last batch is filled up, so that every function is traced once.
            advance: called with the number of pieces that have run, `pieces_to_run(forms)` of them a batch.

        Yields:
            (index of the form, index of the first image, outputs of the model for a batch of images).
        """
        for start in range(0, len(images), batch_size):
            batch = np.asarray(images[start : start + batch_size])
            count = len(batch)
            if count < batch_size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - count, axis=0)])
            for index, answers in self._batch(batch, forms, advance):
                yield index, start, answers[:count]

    def _batch(self, batch: np.ndarray, forms: Sequence[Form], advance) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index of a form, its outputs) of one batch, walking the tree of forms depth first."""
        import tensorflow as tf

        image = tf.convert_to_tensor(batch.astype(self.model.inputs[0].dtype))
        waiting = [([image], step, 1, same) for step, same in _grouped(forms, range(len(forms)), 0)]
        while waiting:
            tensors, (place, missing), depth, members = waiting.pop()
            tensors = self.pieces[place].run(tensors, missing)
            advance(1)
            if depth < len(self.pieces):
                steps = _grouped(forms, members, depth)
                waiting += [(tensors, step, depth + 1, same) for step, same in steps]
                continue
            answers = tensors[0].numpy()
            yield from ((member, answers) for member in members)


def pieces_to_run(forms: Sequence[Form]) -> int:
    """Count the pieces that run for each batch of `Segments.outputs`: the nodes of the tree of forms."""
    return len({form[:depth] for form in forms for depth in range(1, len(form) + 1)})


def _grouped(forms: Sequence[Form], members: Iterable[int], depth: int) -> list[tuple[Step, tuple[int, ...]]]:
    """Return the different steps that some forms take next, each with the forms that take it."""
    groups: dict[Step, list[int]] = {}
    for member in members:
        groups.setdefault(forms[member][depth], []).append(member)
    return [(step, tuple(same)) for step, same in groups.items()]


def _cut(model: keras.Model, located: dict[str, Located]) -> list[Piece]:
    """Cut a graph before and after each module, so that every node is in one piece."""
    nodes = graph.nodes(model)
    stretches = _stretches(nodes, graph.consumers(model), located)
    starts = sorted({0, len(nodes), *(end for first, last, _ in stretches for end in (first, last))})
    names = {first: found for first, _, found in stretches}
    alive = [_alive(model, nodes, start) for start in starts]
    return [
        Piece(
            nodes[start:end], alive[i], alive[i + 1], {name: located[name] for name in names.get(start, ())}
        )
        for i, (start, end) in enumerate(zip(starts, starts[1:], strict=False))
    ]


def _stretches(nodes: list, uses, located: dict[str, Located]) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return (first node, end, names of modules) in order; modules that run side by side are in one."""
    order = {id(node): i for i, node in enumerate(nodes)}
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for name, module in located.items():
        first, last = order[id(module.nodes[0])], order[id(module.nodes[-1])] + 1
        names = (name,)
        while found and found[-1][1] > first:
            before = found.pop()
            first, last, names = min(first, before[0]), max(last, before[1]), (*before[2], *names)
        found.append((first, last, names))
    # The activation after the addition of a v1 module goes with it when modules change places.
    return [(first, _with_activation(nodes, uses, last), names) for first, last, names in found]


def _with_activation(nodes: list, uses, end: int) -> int:
    result = nodes[end - 1].output_tensors[0]
    while end < len(nodes) and isinstance(nodes[end].operation, ACTIVATIONS):
        if nodes[end].input_tensors[0] is not result or uses[id(result)] != 1:
            break
        result, end = nodes[end].output_tensors[0], end + 1
    return end


def _alive(model: keras.Model, nodes: list, start: int) -> list:
    """Return the tensors that exist before a node and are used from it on, in the order they are made."""
    made = [*model.inputs, *(tensor for node in nodes[:start] for tensor in node.output_tensors)]
    used = {id(tensor) for node in nodes[start:] for tensor in node.input_tensors}
    used |= {id(tensor) for tensor in model.outputs}
    return [tensor for tensor in made if id(tensor) in used]
