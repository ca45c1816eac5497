"""Influences with pyDVL: 20 steps of conjugate gradients on the damped Hessian, EKFAC, plain products of gradients.

    python pydvl_influence.py [cg ekfac]
"""

import sys

from problems import DAMPING, STEPS, Problem
from timing import Rounds

import torch
from pydvl.influence.torch import CgInfluence, EkfacInfluence
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch_networks import network

problem = Problem("mlp")
images, classes = (torch.from_numpy(part) for part in problem.batch)
net = network(problem)
training = DataLoader(TensorDataset(images, classes), batch_size=len(images))


def scores(influence, count):
    return influence.influences(images[:count], classes[:count], images, classes)


def by_cg(rounds):
    influence = CgInfluence(
        net, F.cross_entropy, regularization=DAMPING, rtol=0.0, atol=0.0, maxiter=STEPS, warn_on_max_iteration=False
    )
    influence.fit(training)
    expected = torch.tensor(problem.expected["cg_scores"][:1], dtype=torch.float64)
    found = scores(influence, 1).double() / len(images)
    difference = float((found - expected).norm() / expected.norm())
    print(f"mlp.pydvl.scores_difference = {difference:.1e}", flush=True)
    vectors = torch.stack([
        torch.cat([torch.from_numpy(part.T.copy()).flatten() for part in vector.values()]) for vector in problem.vectors[:8]
    ])
    rounds.add("influence_cg", lambda: scores(influence, 1))
    rounds.add("influence_cg_8", lambda: scores(influence, 8), per=8)
    rounds.add("influence_scores", lambda: influence.influences_from_factors(vectors[:1], images, classes))
    rounds.add("influence_scores_8", lambda: influence.influences_from_factors(vectors, images, classes), per=8)


def by_ekfac(rounds):
    influence = EkfacInfluence(net, hessian_regularization=problem.expected["ekfac_damping"])
    influence.fit(training)
    rounds.add("influence_kfac", lambda: scores(influence, 1))
    rounds.add("influence_kfac_8", lambda: scores(influence, 8), per=8)


parameters = list(net.parameters())
for part in sys.argv[1:] or ("cg", "ekfac"):
    rounds = Rounds("mlp.pydvl")
    rounds.add("gradient", lambda: torch.autograd.grad(F.cross_entropy(net(images), classes), parameters))
    {"cg": by_cg, "ekfac": by_ekfac}[part](rounds)
    rounds.measure()
