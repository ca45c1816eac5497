"""Tables for `benches/README.md` out of the printed figures of all programs.

    python table.py FILE...

Each line of the files is `<model>.<program>.<figure>_ms = <value>`; where a figure stands in several files, as after
several turns, the table has the median of them and their range.
"""

import re
import statistics
import sys
from collections import defaultdict

PROGRAMS = {"flex": "burn-curvature", "jax": "JAX", "torch": "PyTorch", "kronfluence": "kronfluence", "pydvl": "pyDVL"}
MODELS = ("mlp", "cnn", "transformer", "tiny")
# The figure, what it is, and the figures of which the fastest counts.
PRODUCTS = (
    ("gradient", ("gradient", "gradient_program")),
    ("Hessian product, prepared", ("hv", "hv_linearized")),
    ("Hessian product from scratch", ("hv_fresh",)),
    ("Gauss-Newton product, prepared", ("ggn",)),
    ("Jv, prepared", ("jvp", "jvp_linearized")),
    ("Jᵀu, prepared", ("vjp",)),
    ("20 CG steps on the damped Hessian", ("cg20",)),
    ("20 CG steps on the damped Gauss-Newton matrix", ("cg20_ggn",)),
    ("8 Hessian products in one call", ("hv_many8",)),
    ("16 Hessian products in one call", ("hv_many16",)),
    ("gradient and K-FAC factors, one draw", ("kfac_factors",)),
    ("the same, exact, ten classes", ("kfac_factors_exact", "kfac_factors_exact_loop")),
)
INFLUENCE = (
    ("20 CG steps and all scores, one query", ("influence_cg",)),
    ("the same, each of eight queries", ("influence_cg_8",)),
    ("scores of all samples for one vector", ("influence_scores",)),
    ("the same, each of eight vectors", ("influence_scores_8",)),
    ("EKFAC: all scores, one query", ("influence_kfac",)),
    ("the same, each of eight queries", ("influence_kfac_8",)),
    ("EKFAC: self-influence of all samples", ("influence_kfac_self",)),
    ("EKFAC: factors, decompositions, corrected diagonal", ("influence_kfac_factors",)),
)
LINE = re.compile(r"(\w+)\.(\w+)\.(\w+)_ms = ([0-9.eE+-]+)$")


def read(paths):
    figures = defaultdict(list)
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if found := LINE.match(line.strip()):
                    model, program, figure, value = found.groups()
                    figures[model, program, figure].append(float(value))
    return figures


def cell(figures, model, program, names):
    found = [figures[model, program, name] for name in names if (model, program, name) in figures]
    if not found:
        return ""
    values = min(found, key=statistics.median)
    digits = 3 if min(values) < 1 else 1
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def table(figures, model, rows, programs):
    lines = [f"| {model}, ms | " + " | ".join(PROGRAMS[program] for program in programs) + " |"]
    lines.append("|---" * (len(programs) + 1) + "|")
    for title, names in rows:
        cells = [cell(figures, model, program, names) for program in programs]
        if any(cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines if len(lines) > 2 else []


figures = read(sys.argv[1:])
for model in MODELS:
    print("\n".join([*table(figures, model, PRODUCTS, ("flex", "jax", "torch")), ""]))
print("\n".join(table(figures, "mlp", INFLUENCE, ("flex", "kronfluence", "pydvl"))))
