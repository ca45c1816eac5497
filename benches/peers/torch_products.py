"""Products with PyTorch: on a kept graph (double backward), linearized (torch.func), and 8 and 16 vectors by vmap.

    python torch_products.py [MODEL…]
"""

import sys

from problems import DAMPING, MODELS, STEPS, Problem, check, flat
from timing import Rounds
from torch_models import mean_loss, network, outputs_hessian, tensor, wait

import torch

grad = torch.autograd.grad


def dot(a, b):
    return sum((x * y).sum() for x, y in zip(a, b))


def conjugate_gradients(product, b):
    """Steps on product + damping from zero, one read-back a step, as in the benchmark. Small problems leave zeros to divide by."""
    x = [torch.zeros_like(part) for part in b]
    r, p = [part.clone() for part in b], [part.clone() for part in b]
    squares = float(dot(r, r))
    for _ in range(STEPS):
        ap = [a + DAMPING * c for a, c in zip(product(p), p)]
        rate = squares / (float(dot(p, ap)) or 1.0)
        torch._foreach_add_(x, p, alpha=rate)
        torch._foreach_add_(r, ap, alpha=-rate)
        before, squares = squares, float(dot(r, r))
        torch._foreach_mul_(p, squares / (before or 1.0))
        torch._foreach_add_(p, r)
    return x


def measure(problem):
    run = network(problem)
    names = list(problem.parameters)
    theta = [tensor(problem.parameters[name]).requires_grad_() for name in names]
    inputs, targets = (tensor(part) for part in problem.batch)
    vectors = [[tensor(vector[name]) for name in names] for vector in problem.vectors]
    v, cotangent = vectors[0], tensor(problem.cotangent)

    def outputs(parts):
        return run(dict(zip(names, parts)), inputs)

    def loss(parts):
        return mean_loss(problem.classes, outputs(parts), targets)

    # Kept graphs.
    value = loss(theta)
    slope = grad(value, theta, create_graph=True)
    z = outputs(theta)
    dummy = torch.zeros_like(z, requires_grad=True)
    pulled = grad(z, theta, dummy, create_graph=True)
    plain = z.detach()

    def hv(v):
        return grad(slope, theta, v, retain_graph=True)

    def jv(v):
        return grad(pulled, dummy, v, retain_graph=True)[0]

    def vj(u):
        return grad(z, theta, u, retain_graph=True)

    def gv(v):
        return vj(outputs_hessian(problem.classes, plain, jv(v)))

    # Linearized: the same products by forward over reverse. PyTorch 2.15 ends with a segmentation fault when it linearizes 3-5-1.
    linearizes = problem.name != "tiny"
    if linearizes:
        point = tuple(part.detach() for part in theta)
        of_gradient = torch.func.linearize(torch.func.grad(loss), point)[1]
        of_outputs = torch.func.linearize(outputs, point)[1]

    def fresh():
        value = loss(theta)
        return grad(grad(value, theta, create_graph=True), theta, v)

    check(problem, "torch", {
        "loss": float(value.detach()),
        "hv_norm": norm(hv(v)), "vhv": inner(hv(v), v),
        "ggn_norm": norm(gv(v)), "vggnv": inner(gv(v), v),
        "jv_norm": norm([jv(v)]), "vj_norm": norm(vj(cotangent)),
    })
    if linearizes:
        for name, found, by in (("Hv", of_gradient(tuple(v)), hv(v)), ("Jv", [of_outputs(tuple(v))], [jv(v)])):
            assert norm([a - b for a, b in zip(found, by)]) < 1e-4 * norm(by), name

    rounds = Rounds(f"{problem.name}.torch", wait)
    rounds.add("gradient", lambda: grad(loss(theta), theta))
    rounds.add("hv", lambda: hv(v))
    rounds.add("hv_fresh", fresh)
    rounds.add("ggn", lambda: gv(v))
    rounds.add("jvp", lambda: jv(v))
    rounds.add("vjp", lambda: vj(cotangent))
    rounds.add("cg20", lambda: conjugate_gradients(hv, v))
    rounds.add("cg20_ggn", lambda: conjugate_gradients(gv, v))
    if linearizes:
        rounds.add("hv_linearized", lambda: of_gradient(tuple(v)))
        rounds.add("jvp_linearized", lambda: of_outputs(tuple(v)))
    for count in (8, 16) if linearizes and len(vectors) >= 16 else ():
        stacked = tuple(torch.stack(parts) for parts in zip(*vectors[:count]))
        rounds.add(f"hv_many{count}", lambda s=stacked: torch.func.vmap(lambda *v: of_gradient(v))(*s))
    rounds.measure()


def norm(parts):
    return float((flat(part.detach().cpu() for part in parts) ** 2).sum() ** 0.5)


def inner(a, b):
    return float(flat(part.detach().cpu() for part in a) @ flat(part.cpu() for part in b))


for name in sys.argv[1:] or MODELS:
    measure(Problem(name))
