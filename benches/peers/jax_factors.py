"""The gradient together with K-FAC's factors in JAX, compiled: by one drawn target for each sample, and exact.

    python jax_factors.py [MODEL…]
"""

import sys
from functools import partial

import numpy as np
from layers import Recorded, check_factors, uncovered
from problems import MODELS, Problem
from timing import Rounds
from jax_models import arrays, batch, network

import jax
import jax.numpy as jnp

CHECKED_DRAWS = 64


def measure(problem):
    net = network(problem)
    theta = arrays(problem, problem.parameters)
    around = problem.network.get("padding", 0)
    inputs, targets = batch(problem)
    samples = len(targets)

    def outputs_of_layers(p, x):
        recorded = Recorded(p)
        net(recorded, x)
        return recorded.outputs

    layers = jax.eval_shape(outputs_of_layers, theta, inputs)
    taps = {name: jnp.zeros(layer.shape, layer.dtype) for name, layer in layers.items()}
    others = uncovered(theta, layers)

    def forward(p, x):
        """Outputs, their pull back to (parameters, outputs of layers), inputs of layers, probabilities."""
        def run(p, taps):
            recorded = Recorded(p, taps)
            return net(recorded, x), recorded.inputs

        z, pull, seen = jax.vjp(run, p, taps, has_aux=True)
        return pull, seen, jax.nn.softmax(z)

    def gradient(pull, q, y):
        return pull((q - jax.nn.one_hot(y, q.shape[1])) / samples)[0]

    def of_inputs(seen):
        """Equal products, as those of layers with the same input, are computed once by XLA."""
        return {name: of_input(x, theta[f"{name}.weight"], around) for name, x in seen.items()}

    def of_outputs(slopes):
        return {name: moment(slope) / samples for name, slope in slopes.items()}

    def drawn(pull, q, key):
        y = jax.random.categorical(key, jnp.log(q))
        return of_outputs(pull(q - jax.nn.one_hot(y, q.shape[1]))[1])

    def squares(pull, q, key):
        """One random sign for each output estimates the diagonal of the parameters without a layer."""
        signs, root = jax.random.rademacher(key, q.shape, q.dtype), jnp.sqrt(q)
        pulled = pull(root * (signs - root * (root * signs).sum(-1, keepdims=True)))[0]
        return {name: pulled[name] ** 2 / samples for name in others}

    @jax.jit
    def sampled(p, x, y, key):
        pull, seen, q = forward(p, x)
        first, second = jax.random.split(key)
        rest = squares(pull, q, second) if others else {}
        return gradient(pull, q, y), of_inputs(seen), drawn(pull, q, first), rest

    @partial(jax.jit, static_argnames="batched")
    def exact(p, x, y, batched=True):
        pull, seen, q = forward(p, x)
        if batched:
            factors = of_outputs(jax.vmap(lambda column: pull(column)[1])(columns(q)))
        else:
            each = [of_outputs(pull(column)[1]) for column in columns(q)]
            factors = jax.tree.map(lambda *parts: sum(parts), *each)
        return gradient(pull, q, y), of_inputs(seen), factors

    @jax.jit
    def only_drawn(p, x, key):
        pull, _, q = forward(p, x)
        return {name: jnp.trace(factor) for name, factor in drawn(pull, q, key).items()}

    is_exact = problem.expected["factors"]["exact"]
    key = jax.random.key(1)
    found = exact(theta, inputs, targets) if is_exact else sampled(theta, inputs, targets, key)
    many = [only_drawn(theta, inputs, key) for key in jax.random.split(key, CHECKED_DRAWS)]
    traces = {name: float(sum(one[name] for one in many)) / CHECKED_DRAWS for name in layers}
    check_factors(problem, "jax", size, {name: (found[1][name], found[2][name]) for name in layers}, traces)

    rounds = Rounds(f"{problem.name}.jax")
    rounds.add("kfac_factors", lambda: jax.block_until_ready(sampled(theta, inputs, targets, key)))
    if is_exact:
        for name, batched in (("kfac_factors_exact", True), ("kfac_factors_exact_loop", False)):
            rounds.add(name, lambda batched=batched: jax.block_until_ready(exact(theta, inputs, targets, batched)))
    rounds.measure()


def columns(q):
    """[classes - 1, rows, classes]: the columns of a lower triangular root of diag(q) - q qᵀ."""
    tails = jnp.cumsum(q[:, ::-1], -1)[:, ::-1]
    here, after = tails[:, :-1], tails[:, 1:]
    below = -q[:, :, None] * jnp.sqrt(q[:, :-1] / (here * after))[:, None, :]
    classes = jnp.arange(q.shape[1] - 1)
    root = jnp.tril(below, -1).at[:, classes, classes].set(jnp.sqrt(q[:, :-1] * after / here))
    return root.transpose(2, 0, 1)


def of_input(x, weight, around):
    """A with a one for the bias."""
    if jnp.issubdtype(x.dtype, jnp.integer):
        return jnp.bincount(x.ravel(), length=len(weight)) / x.size
    if weight.ndim == 4:
        x = jnp.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
        x = patches(x, weight.shape[:2])
    x = x.reshape(-1, x.shape[-1])
    mean = x.mean(0)[:, None]
    return jnp.block([[x.T @ x / len(x), mean], [mean.T, jnp.ones((1, 1))]])


def patches(x, kernel):
    height, width = (side - extent + 1 for side, extent in zip(x.shape[1:3], kernel))
    shifts = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in shifts], -1)


def moment(x):
    x = x.reshape(-1, x.shape[-1])
    return x.T @ x


def size(factor):
    factor = np.asarray(factor, np.float64)
    return float(factor.trace() if factor.ndim == 2 else factor.sum()), float(np.linalg.norm(factor))


for name in sys.argv[1:] or [name for name in MODELS if name != "tiny"]:
    measure(Problem(name))
