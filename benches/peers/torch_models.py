"""The models of the benchmarks as PyTorch functions of (problem, parameters, inputs), and their losses."""

from functools import partial

import torch
from torch.nn import functional as F

from layers import record
from problems import DEVICE, NORM_EPSILON, TF32, THREADS

torch.set_num_threads(THREADS)
torch.backends.cuda.matmul.allow_tf32 = TF32
torch.backends.cudnn.allow_tf32 = TF32


def tensor(part):
    """On the device, contiguous and of its own."""
    return torch.tensor(part, device=DEVICE)


def wait():
    """Until the device has done what it was given."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def linear(p, name, x):
    return record(p, name, x, F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"]))


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.gamma"], p[f"{name}.beta"], NORM_EPSILON)


def mlp(problem, p, x):
    activation = getattr(torch, problem.network["activation"])
    for name in problem.layers[:-1]:
        x = activation(linear(p, name, x))
    return linear(p, problem.layers[-1], x)


def cnn(problem, p, x):
    for name in problem.layers[:-1]:
        z = F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=problem.network["padding"])
        x = F.max_pool2d(torch.relu(record(p, name, x, z)), 2)
    return linear(p, problem.layers[-1], x.flatten(1))


def attention(heads, p, name, x):
    rows, length, width = x.shape
    split = (rows, length, heads, width // heads)
    query, key, value = (
        linear(p, f"{name}.{part}", x).reshape(split).transpose(1, 2) for part in ("query", "key", "value")
    )
    weights = torch.softmax(query @ key.transpose(-1, -2) / (width // heads) ** 0.5, -1)
    return linear(p, f"{name}.output", (weights @ value).transpose(1, 2).reshape(x.shape))


def transformer(problem, p, tokens):
    x = record(p, "tokens", tokens, p["tokens.weight"][tokens]) + p["positions.weight"]
    layer = 0
    while f"encoder.layers.{layer}.norm_1.gamma" in p:
        at = f"encoder.layers.{layer}"
        x = norm(p, f"{at}.norm_1", x + attention(problem.network["heads"], p, f"{at}.mha", x))
        inner = F.gelu(linear(p, f"{at}.pwff.linear_inner", x))
        x = norm(p, f"{at}.norm_2", x + linear(p, f"{at}.pwff.linear_outer", inner))
        layer += 1
    return linear(p, "projection", x).flatten(0, 1)


FAMILIES = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


def network(problem):
    return partial(FAMILIES[problem.family], problem)


def mean_loss(classes, z, targets):
    return F.cross_entropy(z, targets) if classes else F.mse_loss(z, targets)


def outputs_hessian(classes, z, u):
    """The product of the loss' Hessian in the outputs with u."""
    if not classes:
        return u * (2.0 / z.numel())
    q = torch.softmax(z, -1)
    return (q * u - q * (q * u).sum(-1, keepdim=True)) / z.shape[0]
