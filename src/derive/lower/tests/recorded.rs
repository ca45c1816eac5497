//! Every row as a recorded program: the Hessian product recorded on a device that computes nothing, imported, folded,
//! tidied and split, run on Flex, and equal to the one that is computed on the tape.

use burn::backend::Flex;
use burn_capture::{CaptureBackend, CaptureDevice};

use super::{
    super::{apply, apply_recorded_twice},
    case::{Case, Input, real},
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
    graph::{Convolution, ConvolutionTranspose, Graph, Op},
    tensor::Operand,
};
use burn_autodiff::Autodiff;
use burn_backend::ops::{ConvOptions, ConvTransposeOptions};

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
fn operations_per_product(case: &Case, run: Run<Autodiff<Autodiff<CaptureBackend>>>) -> usize {
    let draw = Draw::new(case, 3);
    let program = tidy(record(case, &draw, run));
    split(program, &varying(&draw)).finish.len()
}

#[test]
fn jets_leave_less_to_do_for_each_product() {
    for name in ["Tanh", "Gelu", "Sigmoid", "LogSigmoid", "Erf"] {
        let case = table().into_iter().find(|case| case.name == name).expect("a row");
        assert!(matches!(case.inputs[..], [Input::Float(..)]));
        let lowered =
            operations_per_product(&case, apply_recorded_twice::<Autodiff<CaptureBackend>>);
        let native =
            operations_per_product(&case, as_burn_does::<Autodiff<Autodiff<CaptureBackend>>>);
        assert!(lowered < native, "{name}: {lowered} operations against {native}");
    }
}

/// Formulas in place of the operations that a softmax or a norm is defined by.
#[test]
fn functions_of_rows_leave_less_to_do_for_each_product() {
    let names = ["Softmax along 1", "Softmin along 0", "LogSoftmax along 1", "layer norm"];
    for name in names {
        let case = table().into_iter().find(|case| case.name == name).expect("a row");
        let by_formula =
            operations_per_product(&case, apply_recorded_twice::<Autodiff<CaptureBackend>>);
        let by_definition =
            operations_per_product(&case, apply::<Autodiff<Autodiff<CaptureBackend>>>);
        assert!(by_formula < by_definition, "{name}: {by_formula} against {by_definition}");
    }
}

/// Convolutions by channel in one to three dimensions, and transposed ones. Burn's rule takes several operations for each
/// group.
#[test]
fn more_groups_take_no_more_operations() {
    let case = |kind: usize, groups: usize| {
        let (conv, transposed) = match kind {
            0 => (Convolution::D1(ConvOptions::new([1], [0], [1], groups)), None),
            1 => (Convolution::D2(ConvOptions::new([1; 2], [0; 2], [1; 2], groups)), None),
            2 => (Convolution::D3(ConvOptions::new([1; 3], [0; 3], [1; 3], groups)), None),
            _ => {
                let options = ConvTransposeOptions::new([1; 2], [0; 2], [0; 2], [1; 2], groups);
                let conv = Convolution::D2(ConvOptions::new([1; 2], [0; 2], [1; 2], groups));
                (conv, Some(ConvolutionTranspose::D2(options)))
            }
        };
        let sizes = |size: usize| match conv {
            Convolution::D1(_) => vec![size],
            Convolution::D2(_) => vec![size; 2],
            Convolution::D3(_) => vec![size; 3],
        };
        let op = match &transposed {
            Some(conv) => Op::ConvTranspose { conv: conv.clone(), bias: false },
            None => Op::Conv { conv: conv.clone(), bias: false },
        };
        let output = if transposed.is_some() { 5 } else { 3 };
        let image = [vec![2, groups], sizes(4)].concat();
        let weight = [vec![groups, 1], sizes(2)].concat();
        let inputs = vec![real(&image), real(&weight)];
        Case::new("by channel", op, inputs, &[vec![2, groups], sizes(output)].concat())
    };
    for kind in 0..4 {
        let [few, many] = [2, 9].map(|groups| {
            let case = case(kind, groups);
            operations_per_product(&case, apply_recorded_twice::<Autodiff<CaptureBackend>>)
        });
        assert_eq!(few, many, "kind {kind}");
    }
}
