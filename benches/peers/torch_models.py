"""The four models of the benchmark as PyTorch functions of (parameters, inputs), and their losses."""

import torch
from torch.nn import functional as F

from layers import record
from problems import HEADS, NORM_EPSILON, THREADS

torch.set_num_threads(THREADS)


def linear(p, name, x):
    return record(p, name, x, F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"]))


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.gamma"], p[f"{name}.beta"], NORM_EPSILON)


def mlp(p, x):
    return linear(p, "third", torch.tanh(linear(p, "second", torch.tanh(linear(p, "first", x)))))


def tiny(p, x):
    return linear(p, "output", torch.sigmoid(linear(p, "hidden", x)))


def cnn(p, x):
    for name in ("first", "second"):
        x = torch.relu(record(p, name, x, F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"])))
        x = F.max_pool2d(x, 2)
    return linear(p, "classifier", x.flatten(1))


def attention(p, name, x):
    rows, length, width = x.shape
    split = (rows, length, HEADS, width // HEADS)
    query, key, value = (
        linear(p, f"{name}.{part}", x).reshape(split).transpose(1, 2) for part in ("query", "key", "value")
    )
    weights = torch.softmax(query @ key.transpose(-1, -2) / (width // HEADS) ** 0.5, -1)
    return linear(p, f"{name}.output", (weights @ value).transpose(1, 2).reshape(x.shape))


def transformer(p, tokens):
    x = record(p, "tokens", tokens, p["tokens.weight"][tokens]) + p["positions.weight"]
    layer = 0
    while f"encoder.layers.{layer}.norm_1.gamma" in p:
        at = f"encoder.layers.{layer}"
        x = norm(p, f"{at}.norm_1", x + attention(p, f"{at}.mha", x))
        inner = F.gelu(linear(p, f"{at}.pwff.linear_inner", x))
        x = norm(p, f"{at}.norm_2", x + linear(p, f"{at}.pwff.linear_outer", inner))
        layer += 1
    return linear(p, "projection", x).flatten(0, 1)


NETWORKS = {"mlp": mlp, "cnn": cnn, "transformer": transformer, "tiny": tiny}


def mean_loss(classes, z, targets):
    return F.cross_entropy(z, targets) if classes else F.mse_loss(z, targets)


def outputs_hessian(classes, z, u):
    """The product of the loss' Hessian in the outputs with u."""
    if not classes:
        return u * (2.0 / z.numel())
    q = torch.softmax(z, -1)
    return (q * u - q * (q * u).sum(-1, keepdim=True)) / z.shape[0]
