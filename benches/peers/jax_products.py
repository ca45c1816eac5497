"""Products with JAX, compiled: linearized once and applied, from scratch, 20 steps of conjugate gradients, vmap.

    python jax_products.py [MODEL…]
"""

import sys

from problems import DAMPING, DEVICE, MODELS, STEPS, Problem, check, flat
from timing import Rounds
from jax_models import arrays, batch, mean_loss, network, outputs_hessian

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg


def tree_dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def added(a, rate, b):
    return jax.tree.map(lambda x, y: x + rate * y, a, b)


def measure(problem):
    run = network(problem)
    theta = arrays(problem, problem.parameters)
    inputs, targets = batch(problem)
    vectors = [arrays(problem, vector) for vector in problem.vectors]
    v, cotangent = vectors[0], jnp.asarray(problem.cotangent)

    loss = lambda p, x, y: mean_loss(problem.classes, run(p, x), y)  # noqa: E731
    gradient = jax.grad(loss)

    def linearized(p, x, y):
        return jax.linearize(lambda q: gradient(q, x, y), p)[1]

    def split(p, x):
        z, forward = jax.linearize(lambda q: run(q, x), p)
        return z, forward, jax.vjp(lambda q: run(q, x), p)[1]

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

    solve = by_steps if problem.family == "cnn" and DEVICE == "cpu" else by_loop

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
    for count in (8, 16) if len(vectors) >= 16 else ():
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *vectors[:count])
        add(f"hv_many{count}", many, hessian, stacked)
    rounds.measure()


for name in sys.argv[1:] or MODELS:
    measure(Problem(name))
