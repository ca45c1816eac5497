"""The gradient together with K-FAC's factors in PyTorch: by one drawn target for each sample, and exact.

    python torch_factors.py [MODEL…]
"""

import sys

from layers import Recorded, check_factors, uncovered
from problems import MODELS, Problem
from timing import Rounds
from torch_models import mean_loss, network, tensor, wait

import torch
from torch.nn import functional as F

grad = torch.autograd.grad
CHECKED_DRAWS = 64


def measure(problem):
    run = network(problem)
    theta = {name: tensor(part).requires_grad_() for name, part in problem.parameters.items()}
    inputs, targets = (tensor(part) for part in problem.batch)
    samples, padding = len(targets), problem.network.get("padding", 0)

    def forward():
        p = Recorded(theta)
        z = run(p, inputs)
        return p, z, torch.softmax(z.detach(), -1)

    def of_outputs(p, z, cotangent, batched=False):
        """G of every layer; a leading dimension of the cotangent has several of them if it is `batched`."""
        slopes = grad(z, list(p.outputs.values()), cotangent, retain_graph=True, is_grads_batched=batched)
        moments = []
        for name, slope in zip(p.outputs, slopes):
            slope = rows(slope, theta[f"{name}.weight"], 2 if batched else 1)
            moments.append(slope.T @ slope / samples)
        return moments

    def drawn(p, z, q):
        """The columns are one drawn target less its expectation."""
        target = torch.multinomial(q, 1).flatten()
        return of_outputs(p, z, q - F.one_hot(target, q.shape[1]))

    def sampled():
        p, z, q = forward()
        gradient = grad(mean_loss(True, z, targets), list(theta.values()), retain_graph=True)
        factors = of_inputs(p, theta, padding), drawn(p, z, q)
        others = uncovered(theta, p.inputs)
        if others:
            # One random sign for each output estimates the diagonal of the others.
            signs = torch.randint(0, 2, q.shape, device=q.device).to(q.dtype) * 2 - 1
            root = q.sqrt()
            cotangent = root * (signs - root * (root * signs).sum(-1, keepdim=True))
            squares = [part**2 / samples for part in grad(z, [theta[name] for name in others], cotangent)]
            return gradient, factors, squares
        return gradient, factors

    def exact(batched=True):
        p, z, q = forward()
        gradient = grad(mean_loss(True, z, targets), list(theta.values()), retain_graph=True)
        if batched:
            return gradient, of_inputs(p, theta, padding), of_outputs(p, z, columns(q), batched)
        each = [of_outputs(p, z, column) for column in columns(q)]
        return gradient, of_inputs(p, theta, padding), [sum(parts) for parts in zip(*each)]

    p, z, q = forward()
    first = exact()[1:] if problem.expected["factors"]["exact"] else sampled()[1]
    many = [drawn(p, z, q) for _ in range(CHECKED_DRAWS)]
    traces = {name: float(sum(of[at].trace() for of in many)) / CHECKED_DRAWS for at, name in enumerate(p.inputs)}
    check_factors(problem, "torch", size, dict(zip(p.inputs, zip(*first))), traces)

    rounds = Rounds(f"{problem.name}.torch", wait)
    rounds.add("kfac_factors", sampled)
    if problem.expected["factors"]["exact"]:
        rounds.add("kfac_factors_exact", exact)
        rounds.add("kfac_factors_exact_loop", lambda: exact(batched=False))
    rounds.measure()


def columns(q):
    """[classes - 1, rows, classes]: the columns of a lower triangular root of diag(q) - q qᵀ."""
    tails = q.flip(-1).cumsum(-1).flip(-1)
    here, after = tails[:, :-1], tails[:, 1:]
    root = torch.tril(-q[:, :, None] * (q[:, :-1] / (here * after)).sqrt()[:, None, :], -1)
    classes = torch.arange(q.shape[1] - 1, device=q.device)
    root[:, classes, classes] = (q[:, :-1] * after / here).sqrt()
    return root.permute(2, 0, 1)


def of_inputs(p, theta, padding):
    """A of every layer, with a one for the bias; layers with the same input share theirs."""
    made = {}
    for name, x in p.inputs.items():
        if id(x) not in made:
            made[id(x)] = of_input(x.detach(), theta[f"{name}.weight"], padding)
    return [made[id(x)] for x in p.inputs.values()]


def of_input(x, weight, padding):
    if not x.is_floating_point():
        return torch.bincount(x.flatten(), minlength=len(weight)) / x.numel()
    if weight.dim() == 4:
        x = F.unfold(x, weight.shape[2:], padding=padding)
    x = rows(x, weight, 1)
    size = x.shape[1]
    moment = x.new_ones(size + 1, size + 1)
    moment[:size, :size] = x.T @ x / len(x)
    moment[size, :size] = moment[:size, size] = x.mean(0)
    return moment


def rows(x, weight, channels):
    """One row for each sample and place; those of images, and their patches, have their channels at a dimension of their own."""
    if weight.dim() == 4:
        x = x.movedim(channels, -1)
    return x.flatten(0, -2)


def size(factor):
    factor = factor.double()
    return float(factor.trace() if factor.dim() == 2 else factor.sum()), float(factor.norm())


for name in sys.argv[1:] or [name for name in MODELS if name != "tiny"]:
    measure(Problem(name))
