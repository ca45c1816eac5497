"""The models of the benchmarks as JAX functions of (problem, parameters, inputs), and their losses."""

import os
from functools import partial

from layers import record
from problems import DEVICE, NORM_EPSILON, TF32

os.environ.setdefault("JAX_PLATFORMS", DEVICE)
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

jax.config.update("jax_default_matmul_precision", "tensorfloat32" if TF32 else "highest")


def linear(p, name, x):
    return record(p, name, x, x @ p[f"{name}.weight"] + p[f"{name}.bias"])


def norm_layer(p, name, x):
    centered = x - x.mean(-1, keepdims=True)
    scale = lax.rsqrt((centered**2).mean(-1, keepdims=True) + NORM_EPSILON)
    return centered * scale * p[f"{name}.gamma"] + p[f"{name}.beta"]


ACTIVATIONS = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


def mlp(problem, p, x):
    activation = ACTIVATIONS[problem.network["activation"]]
    for name in problem.layers[:-1]:
        x = activation(linear(p, name, x))
    return linear(p, problem.layers[-1], x)


def cnn(problem, p, x):
    """Images and kernels with channels last, which is what XLA's convolutions like; see `natural`."""
    around = [(problem.network["padding"],) * 2] * 2
    for name in problem.layers[:-1]:
        z = lax.conv_general_dilated(
            x, p[f"{name}.weight"], (1, 1), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(record(p, name, x, z + p[f"{name}.bias"]))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return linear(p, problem.layers[-1], x.reshape(x.shape[0], -1))


def attention(heads, p, name, x):
    rows, length, width = x.shape
    query, key, value = (
        linear(p, f"{name}.{part}", x).reshape(rows, length, heads, width // heads).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    weights = jax.nn.softmax(query @ key.swapaxes(-1, -2) / (width // heads) ** 0.5, -1)
    return linear(p, f"{name}.output", (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape))


def transformer(problem, p, tokens):
    x = record(p, "tokens", tokens, p["tokens.weight"][tokens]) + p["positions.weight"]
    layer = 0
    while f"encoder.layers.{layer}.norm_1.gamma" in p:
        at = f"encoder.layers.{layer}"
        x = norm_layer(p, f"{at}.norm_1", x + attention(problem.network["heads"], p, f"{at}.mha", x))
        inner = jax.nn.gelu(linear(p, f"{at}.pwff.linear_inner", x), approximate=False)
        x = norm_layer(p, f"{at}.norm_2", x + linear(p, f"{at}.pwff.linear_outer", inner))
        layer += 1
    z = linear(p, "projection", x)
    return z.reshape(-1, z.shape[-1])


FAMILIES = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


def network(problem):
    return partial(FAMILIES[problem.family], problem)


def natural(problem, name, part):
    """Kernels with their channels last; the classifier's rows in the order in which pixels come then."""
    if part.ndim == 4:
        return part.transpose(2, 3, 1, 0)
    if problem.family == "cnn" and part.ndim == 2:
        channels = len(problem.parameters[f"{problem.layers[-2]}.weight"])
        side = round((len(part) / channels) ** 0.5)
        return part.reshape(channels, side, side, -1).transpose(1, 2, 0, 3).reshape(part.shape)
    return part


def mean_loss(classes, z, targets):
    if classes:
        return -jnp.take_along_axis(jax.nn.log_softmax(z), targets[:, None], 1).mean()
    return ((z - targets) ** 2).mean()


def outputs_hessian(classes, z, u):
    if not classes:
        return u * (2.0 / z.size)
    q = jax.nn.softmax(z)
    return (q * u - q * (q * u).sum(-1, keepdims=True)) / z.shape[0]


def arrays(problem, parts):
    return {name: jnp.asarray(natural(problem, name, part)) for name, part in parts.items()}


def batch(problem):
    inputs, targets = (jnp.asarray(part) for part in problem.batch)
    return (inputs.transpose(0, 2, 3, 1) if problem.family == "cnn" else inputs), targets
