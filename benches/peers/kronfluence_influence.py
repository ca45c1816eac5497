"""EKFAC influences with kronfluence: scores of all training samples for one query and for eight, self-influence, factors.

    python kronfluence_influence.py

kronfluence hands factors and scores over in files; they are kept in memory (`/dev/shm`) where there is such a folder.
"""

import logging
import os
import shutil
import tempfile

from problems import Problem
from timing import Rounds

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from torch_networks import network

logging.disable(logging.CRITICAL)


class Classifier(Task):
    def compute_train_loss(self, batch, model, sample=False):
        z = model(batch[0])
        targets = torch.multinomial(torch.softmax(z.detach(), -1), 1).flatten() if sample else batch[1]
        return F.cross_entropy(z, targets, reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)


problem = Problem("mlp")
images, classes = (torch.from_numpy(part) for part in problem.batch)
plain = network(problem)
analyzed = prepare_model(network(problem), Classifier())
memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
folder = tempfile.mkdtemp(prefix="kronfluence-", dir=memory)
analyzer = Analyzer("peers", analyzed, Classifier(), cpu=True, disable_tqdm=True, disable_model_save=True, output_dir=folder)
training = TensorDataset(images, classes)
rows = {"per_device_batch_size": len(images), "overwrite_output_dir": True}
arguments = ScoreArguments(damping_factor=problem.expected["ekfac_damping"])


def fit(name, empirical):
    """Covariances, eigendecompositions, the corrected diagonal."""
    factors = FactorArguments(strategy="ekfac", use_empirical_fisher=empirical)
    analyzer.fit_covariance_matrices(name, training, factor_args=factors, **rows)
    analyzer.perform_eigendecomposition(name, factor_args=factors, overwrite_output_dir=True)
    analyzer.fit_lambda_matrices(name, training, factor_args=factors, **rows)


def scores(name, count):
    queries = TensorDataset(images[:count], classes[:count])
    analyzer.compute_pairwise_scores(
        f"scores_{count}", name, queries, training, per_device_query_batch_size=count,
        per_device_train_batch_size=len(images), score_args=arguments, overwrite_output_dir=True,
    )
    return analyzer.load_pairwise_scores(f"scores_{count}")["all_modules"]


def own(name):
    analyzer.compute_self_scores(
        "own", name, training, per_device_train_batch_size=len(images), score_args=arguments, overwrite_output_dir=True,
    )
    return analyzer.load_self_scores("own")["all_modules"]


try:
    # With the targets of the data there is no randomness: the scores must be those of the benchmark.
    fit("empirical", True)
    found = scores("empirical", 8).double() / len(images)
    expected = torch.tensor(problem.expected["ekfac_scores"], dtype=torch.float64)
    difference = float((found - expected).norm() / expected.norm())
    print(f"mlp.kronfluence.scores_difference = {difference:.1e}", flush=True)
    found = own("empirical").double() / len(images)
    expected = torch.tensor(problem.expected["ekfac_own"], dtype=torch.float64)
    difference = float((found - expected).norm() / expected.norm())
    print(f"mlp.kronfluence.self_difference = {difference:.1e}", flush=True)

    fit("sampled", False)
    rounds = Rounds("mlp.kronfluence")
    parameters = list(plain.parameters())
    rounds.add("gradient", lambda: torch.autograd.grad(F.cross_entropy(plain(images), classes), parameters))
    rounds.add("influence_kfac", lambda: scores("sampled", 1))
    rounds.add("influence_kfac_8", lambda: scores("sampled", 8), per=8)
    rounds.add("influence_kfac_self", lambda: own("sampled"))
    rounds.add("influence_kfac_factors", lambda: fit("sampled", False))
    rounds.measure()
finally:
    shutil.rmtree(folder, ignore_errors=True)
