"""What Kronecker factors are computed from: the inputs of layers, and the derivatives by their outputs."""

from problems import TOLERANCE, check


class Recorded(dict):
    """Parameters of a model; when the model runs with them, it leaves the inputs and outputs of its layers here.

    With `taps`, arrays by the layers' names, these are added to the outputs: derivatives by zeros in their place are those by
    the outputs.
    """

    def __init__(self, parameters, taps=None):
        super().__init__(parameters)
        self.taps = taps
        self.inputs = {}
        self.outputs = {}


def record(p, name, inputs, outputs):
    if not isinstance(p, Recorded):
        return outputs
    if p.taps is not None:
        outputs = outputs + p.taps[name]
    p.inputs[name], p.outputs[name] = inputs, outputs
    return outputs


def uncovered(p, layers):
    """The names of the parameters that belong to no layer: norms, and positions, which all samples share."""
    return [name for name in p if name.rsplit(".", 1)[0] not in layers]


def check_factors(problem, peer, size, factors, drawn):
    """Traces and norms of the inputs' factors must be those of the benchmark, and of exact factors of the outputs.

    `size` is the trace and the norm of a factor, `drawn` the mean of the traces of many drawn ones. Both sides draw targets of
    their own, so that these agree to a few percent only.
    """
    expected = problem.expected["factors"]
    assert set(expected["of"]) == {f"{name}.weight" for name in factors}
    found, known = {}, {}
    for name, (of_inputs, of_outputs) in factors.items():
        sides = zip(("A", "G"), (of_inputs, of_outputs), expected["of"][f"{name}.weight"])
        for side, factor, (trace, norm) in sides:
            if side == "A" or expected["exact"]:
                at = f"{side} of {name}"
                found[f"trace of {at}"], found[f"norm of {at}"] = size(factor)
                known[f"trace of {at}"], known[f"norm of {at}"] = trace, norm
    check(problem, f"{peer}.factors", found, expected=known)
    known = {name: expected["of"][f"{name}.weight"][1][0] for name in drawn}
    check(problem, f"{peer}.drawn", drawn, tolerance=max(0.1, TOLERANCE), expected=known)
