//! Every row as a recorded program: the Hessian product recorded on a device that computes nothing, imported, folded,
//! tidied and split, run on Flex, and equal to the one that is computed on the tape.

use burn::backend::Flex;
use burn_capture::{CaptureBackend, CaptureDevice};

use super::{
    super::{apply, apply_recorded_twice},
    case::{Case, Input},
    draw::Draw,
    harness::{
        Run, Twice, as_burn_does, hessian_product, numbers, parameters, product_tensors,
        relative_error,
    },
    table,
};
use crate::{
    capture,
    derive::{fold::fold, split, tidy},
    execute::replay,
    graph::Graph,
    tensor::Operand,
};
use burn_autodiff::Autodiff;

const TOLERANCE: f64 = 1e-12;

/// `∇²f·v` as a program of the point and the direction.
pub(super) fn record(
    case: &Case,
    draw: &Draw,
    run: Run<Autodiff<Autodiff<CaptureBackend>>>,
) -> Graph {
    let device = CaptureDevice::default();
    let mut boundary = (Vec::new(), Vec::new());
    let captured = device.capture_scope(|scope| {
        let point = parameters::<CaptureBackend>(case, &draw.point, &device);
        let direction = parameters::<CaptureBackend>(case, &draw.direction, &device);
        let inputs: Vec<_> = point.iter().chain(&direction).map(|tensor| tensor.id()).collect();
        let products =
            product_tensors::<CaptureBackend>(case, point, direction, &draw.weights, run, &device);
        let outputs: Vec<_> = products.iter().flatten().map(|tensor| tensor.id()).collect();
        boundary = (inputs.clone(), outputs.clone());
        let completed = scope.complete(inputs, outputs);
        drop(products);
        completed
    });
    let captured = captured.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    capture::graph(&captured, &boundary.0, &boundary.1)
        .unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn run(graph: &Graph, inputs: Vec<Operand<Flex>>) -> Vec<Operand<Flex>> {
    graph.validate().expect("well formed");
    replay(graph, &Default::default(), inputs, crate::execute::apply::<Flex>).expect("runs")
}

fn flat(outputs: Vec<Operand<Flex>>) -> Vec<f64> {
    outputs
        .into_iter()
        .flat_map(|output| numbers::<Flex>(output.into_float().expect("float")))
        .collect()
}

fn inputs(case: &Case, draw: &Draw) -> Vec<Operand<Flex>> {
    let device = Default::default();
    let values = [&draw.point, &draw.direction];
    let tensors = values.into_iter().flat_map(|values| parameters::<Flex>(case, values, &device));
    tensors.map(Operand::Float).collect()
}

/// Positions of the direction's parts among the inputs.
fn varying(draw: &Draw) -> Vec<usize> {
    (draw.point.len()..2 * draw.point.len()).collect()
}

/// The program prepared at the point and finished for the direction.
fn split_run(graph: &Graph, inputs: Vec<Operand<Flex>>, varying: &[usize]) -> Vec<f64> {
    let split = split(tidy(graph.clone()), varying);
    let (early, late): (Vec<_>, Vec<_>) =
        inputs.into_iter().enumerate().partition(|(index, _)| !varying.contains(index));
    let values = |list: Vec<(usize, Operand<Flex>)>| list.into_iter().map(|(_, operand)| operand);
    let prepared = run(&split.prepare, values(early).collect());
    flat(run(&split.finish, prepared.into_iter().chain(values(late)).collect()))
}

fn failures(case: &Case) -> Vec<String> {
    let draw = Draw::new(case, 3);
    let eager = hessian_product(case, &draw, apply::<Twice>);
    let graph = record(case, &draw, apply_recorded_twice::<Autodiff<CaptureBackend>>);
    let folded = fold(graph.clone());
    let mut failures = Vec::new();
    let mut compare = |what: &str, found: Vec<f64>| {
        // An operand that lends only its shape has no output of its own.
        if found.len() != eager.len() {
            return;
        }
        let error = relative_error(&found, &eager);
        if error.is_nan() || error > TOLERANCE {
            failures.push(format!("{}: {what} off by {error:.1e}", case.name));
        }
    };
    compare("recorded", flat(run(&graph, inputs(case, &draw))));
    compare("folded", flat(run(&folded, inputs(case, &draw))));
    compare("split", split_run(&graph, inputs(case, &draw), &varying(&draw)));
    failures
}

#[test]
fn recorded_programs_give_what_the_tape_gives() {
    let failures: Vec<String> = table().iter().flat_map(failures).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Operations that remain for each product: the reason for jets and folding.
fn operations_per_product(name: &str, run: Run<Autodiff<Autodiff<CaptureBackend>>>) -> usize {
    let case = table().into_iter().find(|case| case.name == name).expect("a row");
    assert!(matches!(case.inputs[..], [Input::Float(..)]));
    let draw = Draw::new(&case, 3);
    let program = tidy(record(&case, &draw, run));
    split(program, &varying(&draw)).finish.len()
}

#[test]
fn jets_leave_less_to_do_for_each_product() {
    for name in ["Tanh", "Gelu", "Sigmoid", "LogSigmoid", "Erf"] {
        let lowered =
            operations_per_product(name, apply_recorded_twice::<Autodiff<CaptureBackend>>);
        let native =
            operations_per_product(name, as_burn_does::<Autodiff<Autodiff<CaptureBackend>>>);
        assert!(lowered < native, "{name}: {lowered} operations against {native}");
    }
}
