"""Products with JAX, compiled: linearized once and applied, from scratch, 20 steps of conjugate gradients, vmap.

    python jax_products.py [mlp cnn transformer tiny]
"""

import os
import sys

from problems import DAMPING, HEADS, MODELS, NORM_EPSILON, STEPS, Problem, check, flat
from timing import Rounds

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax.scipy.sparse.linalg import cg  # noqa: E402


def linear(p, name, x):
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def norm_layer(p, name, x):
    centered = x - x.mean(-1, keepdims=True)
    scale = lax.rsqrt((centered**2).mean(-1, keepdims=True) + NORM_EPSILON)
    return centered * scale * p[f"{name}.gamma"] + p[f"{name}.beta"]


def mlp(p, x):
    return linear(p, "third", jnp.tanh(linear(p, "second", jnp.tanh(linear(p, "first", x)))))


def tiny(p, x):
    return linear(p, "output", jax.nn.sigmoid(linear(p, "hidden", x)))


def cnn(p, x):
    """Images and kernels with channels last, which is what XLA's convolutions on CPUs like; see `natural`."""
    for name in ("first", "second"):
        x = lax.conv_general_dilated(
            x, p[f"{name}.weight"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + p[f"{name}.bias"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return linear(p, "classifier", x.reshape(x.shape[0], -1))


def attention(p, name, x):
    rows, length, width = x.shape
    query, key, value = (
        linear(p, f"{name}.{part}", x).reshape(rows, length, HEADS, width // HEADS).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    weights = jax.nn.softmax(query @ key.swapaxes(-1, -2) / (width // HEADS) ** 0.5, -1)
    return linear(p, f"{name}.output", (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape))


def transformer(p, tokens):
    x = p["tokens.weight"][tokens] + p["positions.weight"]
    layer = 0
    while f"encoder.layers.{layer}.norm_1.gamma" in p:
        at = f"encoder.layers.{layer}"
        x = norm_layer(p, f"{at}.norm_1", x + attention(p, f"{at}.mha", x))
        inner = jax.nn.gelu(linear(p, f"{at}.pwff.linear_inner", x), approximate=False)
        x = norm_layer(p, f"{at}.norm_2", x + linear(p, f"{at}.pwff.linear_outer", inner))
        layer += 1
    z = linear(p, "projection", x)
    return z.reshape(-1, z.shape[-1])


NETWORKS = {"mlp": mlp, "cnn": cnn, "transformer": transformer, "tiny": tiny}


def natural(name, part):
    """Kernels with their channels last; the classifier's rows in the order in which pixels come then."""
    if part.ndim == 4:
        return part.transpose(2, 3, 1, 0)
    if name == "classifier.weight":
        return part.reshape(32, 5, 5, 10).transpose(1, 2, 0, 3).reshape(800, 10)
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


def tree_dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def added(a, rate, b):
    return jax.tree.map(lambda x, y: x + rate * y, a, b)


def measure(problem):
    network = NETWORKS[problem.name]
    arrays = lambda parts: {name: jnp.asarray(natural(name, part)) for name, part in parts.items()}  # noqa: E731
    theta = arrays(problem.parameters)
    inputs, targets = (jnp.asarray(part) for part in problem.batch)
    if problem.name == "cnn":
        inputs = inputs.transpose(0, 2, 3, 1)
    vectors = [arrays(vector) for vector in problem.vectors]
    v, cotangent = vectors[0], jnp.asarray(problem.cotangent)

    outputs = lambda p, x: network(p, x)  # noqa: E731
    loss = lambda p, x, y: mean_loss(problem.classes, network(p, x), y)  # noqa: E731
    gradient = jax.grad(loss)

    def linearized(p, x, y):
        return jax.linearize(lambda q: gradient(q, x, y), p)[1]

    def split(p, x):
        z, forward = jax.linearize(lambda q: outputs(q, x), p)
        return z, forward, jax.vjp(lambda q: outputs(q, x), p)[1]

    def gauss_newton(state, v):
        z, forward, back = state
        return back(outputs_hessian(problem.classes, z, forward(v)))[0]

    j_gradient, j_loss = jax.jit(gradient), jax.jit(loss)
    j_fresh = jax.jit(lambda p, v, x, y: jax.jvp(lambda q: gradient(q, x, y), (p,), (v,))[1])
    apply = jax.jit(lambda f, v: f(v))
    many = jax.jit(lambda f, v: jax.vmap(f)(v))
    hessian, state = jax.jit(linearized)(theta, inputs, targets), jax.jit(split)(theta, inputs)
    j_ggn = jax.jit(gauss_newton)
    j_vjp = jax.jit(lambda back, u: back(u)[0])

    @jax.jit
    def step(kind, x, r, p, squares):
        product = hessian_product(kind, p)
        ap = added(product, DAMPING, p)
        rate = squares / tree_dot(p, ap)
        x, r = added(x, rate, p), added(r, -rate, ap)
        after = tree_dot(r, r)
        return x, r, added(r, after / squares, p), after

    def hessian_product(kind, v):
        return gauss_newton(kind, v) if isinstance(kind, tuple) else kind(v)

    def by_steps(kind, b):
        """A compiled step, called from Python: convolutions within XLA's loops are far slower on CPUs."""
        carried = (jax.tree.map(jnp.zeros_like, b), b, b, tree_dot(b, b))
        for _ in range(STEPS):
            carried = step(kind, *carried)
        return carried[0]

    @jax.jit
    def by_loop(kind, b):
        damped = lambda v: added(hessian_product(kind, v), DAMPING, v)  # noqa: E731
        return cg(damped, b, tol=0.0, maxiter=STEPS)[0]

    solve = by_steps if problem.name == "cnn" else by_loop

    def norm(parts):
        return float((flat(jax.tree.leaves(parts)) ** 2).sum() ** 0.5)

    inner = lambda a, b: float(flat(jax.tree.leaves(a)) @ flat(jax.tree.leaves(b)))  # noqa: E731
    hv, gv = apply(hessian, v), j_ggn(state, v)
    check(problem, "jax", {
        "loss": float(j_loss(theta, inputs, targets)),
        "hv_norm": norm(hv), "vhv": inner(hv, v), "ggn_norm": norm(gv), "vggnv": inner(gv, v),
        "jv_norm": norm(apply(state[1], v)), "vj_norm": norm(j_vjp(state[2], cotangent)),
    })

    rounds = Rounds(f"{problem.name}.jax")

    def add(name, run, *arguments):
        rounds.add(name, lambda: jax.block_until_ready(run(*arguments)))

    add("gradient", j_gradient, theta, inputs, targets)
    add("hv", apply, hessian, v)
    add("hv_fresh", j_fresh, theta, v, inputs, targets)
    add("ggn", j_ggn, state, v)
    add("jvp", apply, state[1], v)
    add("vjp", j_vjp, state[2], cotangent)
    add("cg20", solve, hessian, v)
    add("cg20_ggn", solve, state, v)
    for count in (8, 16):
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *vectors[:count])
        add(f"hv_many{count}", many, hessian, stacked)
    rounds.measure()


for name in sys.argv[1:] or MODELS:
    measure(Problem(name))
