"""The problems that `cargo bench --bench products -- --export=FOLDER` has written: models, batches, vectors and results.

Parameters keep the names and shapes they have in Burn: the weight of a linear layer is [in, out], that of a convolution
[out, in, height, width].
"""

import json
import os
from pathlib import Path

THREADS = int(os.environ.get("THREADS", os.cpu_count() or 1))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))

import numpy as np  # noqa: E402

FOLDER = Path(os.environ.get("PROBLEMS", "target/peers"))
DEVICE = os.environ.get("DEVICE", "cpu")
# Matrix products and convolutions with factors rounded to 10 bits, on GPUs only.
TF32 = os.environ.get("TF32") == "1"
TOLERANCE = float(os.environ.get("TOLERANCE", 1e-2 if TF32 else 1e-5))
MODELS = tuple(os.environ.get("MODELS", "mlp cnn transformer tiny").split())
# Those of the benchmark.
DAMPING = 1.0
STEPS = 20
NORM_EPSILON = 1e-5


class Problem:
    """One model: `parameters` and each of `vectors` are dictionaries of arrays by name, `batch` is (inputs, targets)."""

    def __init__(self, name):
        self.name = name
        description = json.loads((FOLDER / f"{name}.json").read_text())
        numbers = np.fromfile(FOLDER / f"{name}.f32", dtype="<f4")
        taken = 0

        def take(shape):
            nonlocal taken
            count = int(np.prod(shape, dtype=np.int64))
            taken += count
            return numbers[taken - count : taken].reshape(shape)

        shapes = {block["name"]: block["shape"] for block in description["parameters"]}
        self.parameters = {name: take(shape) for name, shape in shapes.items()}
        batch = [(take(part["shape"]), part["integers"]) for part in description["batch"]]
        self.batch = tuple(part.astype(np.int64) if whole else part for part, whole in batch)
        self.vectors = [
            {name: take(shape) for name, shape in shapes.items()} for _ in range(description["vectors"])
        ]
        self.cotangent = take(description["outputs"])
        self.expected = description["expected"]
        # What its parameters do not show.
        self.network = description["network"]
        self.family = self.network["family"]
        self.layers = [name.removesuffix(".weight") for name in shapes if name.endswith(".weight")]
        self.classes = batch[1][1]


def flat(vector):
    """All entries in f64, in the order of the parameters."""
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in vector])


def check(problem, peer, found, tolerance=TOLERANCE, expected=None):
    """Prints the largest relative difference from what the benchmark has found, and refuses one above the tolerance."""
    worst = 0.0
    for name, value in found.items():
        known = (expected or problem.expected)[name]
        difference = abs(value - known) / abs(known)
        worst = max(worst, difference)
        if not difference <= tolerance:
            raise SystemExit(f"{problem.name}.{peer}: {name} is {value!r}, and the benchmark has {known!r}")
    print(f"{problem.name}.{peer}.difference = {worst:.1e}", flush=True)
