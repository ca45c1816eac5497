//! Every operation for several vectors against the same operation for one after another.

#![allow(clippy::unwrap_used)]

mod programs;

use std::collections::{BTreeMap, BTreeSet};

use burn_backend::{Backend, BoolStore, DType, Shape, get_device_settings, tensor::Device};

use super::{
    many,
    rules::{Rule, rule},
    usual_axis, with_axes,
};
use crate::{
    execute::{
        Program, apply,
        tests::{Case, Values, all_cases},
    },
    graph::{Graph, GraphBuilder, Interpolation, Kind, Op, ValueType, samples},
    tensor::Operand,
};

const VECTORS: usize = 3;

/// A program of one operation, whose operands are its inputs, those at the given places last.
fn program(case: &Case, varying: &[usize], bool_dtype: DType) -> Graph {
    let ty = |values: &Values| ValueType {
        shape: Shape::from(values.shape.clone()),
        dtype: values.dtype(DType::F64, bool_dtype),
    };
    let mut graph = GraphBuilder::default();
    let mut inputs = vec![None; case.inputs.len()];
    for place in order(case, varying) {
        inputs[place] = Some(graph.input(ty(&case.inputs[place])));
    }
    let inputs = inputs.into_iter().flatten().collect();
    let outputs = graph.node(case.op.clone(), inputs, case.expected.iter().map(ty).collect());
    graph.finish(outputs)
}

/// Places of the operands in the order of the program's inputs.
fn order(case: &Case, varying: &[usize]) -> Vec<usize> {
    let fixed = (0..case.inputs.len()).filter(|place| !varying.contains(place));
    fixed.chain(varying.iter().copied()).collect()
}

/// The operand of one of the vectors: other floats, or the same integers and truth values.
fn variant(values: &Values, vector: usize) -> Values {
    let factor = [1.0, 0.75, 0.5][vector];
    match values.kind {
        Kind::Float => values.map(|x| x * factor),
        Kind::Int | Kind::Bool => values.clone(),
    }
}

/// Sets of operands that depend on a vector: each of the floats alone, and all together.
fn choices(case: &Case) -> Vec<Vec<usize>> {
    let floats = (0..case.inputs.len()).filter(|&place| case.inputs[place].kind == Kind::Float);
    let floats: Vec<usize> = floats.collect();
    let each = floats.iter().map(|&place| vec![place]);
    let all = (floats.len() > 1).then(|| floats.clone());
    each.chain(all).collect()
}

/// Values of several vectors with an axis for them at a place.
fn stack(parts: &[Values], axis: usize) -> Values {
    let mut stack = parts[0].clone();
    let inner: usize = stack.shape[axis..].iter().product();
    let outer: usize = stack.shape[..axis].iter().product();
    let pieces = (0..outer).flat_map(|at| {
        parts.iter().flat_map(move |part| part.data[at * inner..][..inner].iter().copied())
    });
    stack.data = pieces.collect();
    stack.shape.insert(axis, parts.len());
    stack
}

/// The part of one vector of elements with an axis for all.
fn entry(stack: &[f64], shape: &[usize], axis: usize, vector: usize) -> Vec<f64> {
    let inner: usize = shape[axis..].iter().product();
    let runs = stack.chunks(inner.max(1)).skip(vector).step_by(VECTORS);
    runs.flatten().copied().collect()
}

/// Runs the case for several vectors at once, their axis at a place in each varying operand, and for one after another; the
/// names of what had no rule.
fn compare<B: Backend>(
    case: &Case,
    varying: &[usize],
    axis: impl Fn(usize) -> usize,
) -> Result<Vec<String>, String> {
    let device = Device::<B>::default();
    let bool_dtype = DType::from(get_device_settings::<B>(&device).bool_dtype);
    let one = program(case, varying, bool_dtype);
    let axes: Vec<usize> =
        varying.iter().map(|&place| axis(case.inputs[place].shape.len())).collect();
    let in_front = axes.iter().all(|&axis| axis == 0).then_some(0);
    let together = with_axes(&one, &axes, VECTORS, in_front);
    together.graph.validate().map_err(|error| error.to_string())?;
    let names = together.graph.one_by_one().to_vec();
    let fixed = order(case, varying).into_iter().take(case.inputs.len() - varying.len());
    let fixed: Vec<Values> = fixed.map(|place| case.inputs[place].clone()).collect();
    let part = |place: usize, vector: usize| variant(&case.inputs[place], vector);
    let stacks = varying.iter().zip(&axes).map(|(&place, &axis)| {
        let parts: Vec<_> = (0..VECTORS).map(|vector| part(place, vector)).collect();
        stack(&parts, axis)
    });
    let run = |graph: Graph, inputs: Vec<Values>| -> Result<Vec<Vec<f64>>, String> {
        let program = Program::<B>::new(graph, &device, apply::<B>).map_err(|e| e.to_string())?;
        let inputs = inputs.iter().map(|values| {
            let operand = values.operand::<B>(&device);
            operand.stored_on(&device, burn_backend::FloatDType::F64)
        });
        let inputs = inputs.collect();
        let results = program.run(inputs).map_err(|error| error.to_string())?;
        let data = results.into_iter().map(|x| Operand::into_data(x).map_err(|e| e.to_string()));
        data.map(|data| Ok(data?.iter::<f64>().collect())).collect()
    };
    let found = run(together.graph, fixed.iter().cloned().chain(stacks).collect())?;
    for vector in 0..VECTORS {
        let own = varying.iter().map(|&place| part(place, vector));
        let expected = run(one.clone(), fixed.iter().cloned().chain(own).collect())?;
        for (output, expected) in expected.iter().enumerate() {
            let shape = &case.expected[output].shape;
            let own = entry(&found[output], shape, together.outputs[output], vector);
            if own.len() != expected.len() {
                return Err(format!("output {output}: {} elements", own.len()));
            }
            for (x, y) in own.iter().zip(expected) {
                let equal = x == y || (x - y).abs() <= 1e-12 * (1.0 + y.abs());
                if !(equal || x.is_nan() && y.is_nan()) {
                    return Err(format!("output {output} of vector {vector}: {x} and {y}"));
                }
            }
        }
    }
    Ok(names)
}

/// Whether a backend runs an operation for one vector.
fn runs(case: &Case, ndarray: bool) -> bool {
    match &case.op {
        Op::InterpolateBackward { mode, .. } => !ndarray || *mode == Interpolation::Nearest,
        Op::GridSample2d { mode, .. } => !ndarray || *mode == Interpolation::Bilinear,
        _ => true,
    }
}

/// Where the axis of the vectors is in an operand of some dimensions.
type Place = fn(usize) -> usize;

const AXES: [(&str, Place); 5] = [
    ("as usual", usual_axis),
    ("first", |_| 0),
    ("second", |rank| rank.min(1)),
    ("before the last", |rank| rank.saturating_sub(1)),
    ("last", |rank| rank),
];

fn check<B: Backend>(ndarray: bool) {
    let mut failures = Vec::new();
    let mut tried = BTreeSet::new();
    for case in all_cases().iter().filter(|case| runs(case, ndarray)) {
        for varying in choices(case) {
            let places = |axis: fn(usize) -> usize| -> Vec<usize> {
                varying.iter().map(|&place| axis(case.inputs[place].shape.len())).collect()
            };
            let mut seen = BTreeSet::new();
            for (name, axis) in AXES.into_iter().filter(|&(_, axis)| seen.insert(places(axis))) {
                let run = std::panic::AssertUnwindSafe(|| compare::<B>(case, &varying, axis));
                let outcome = std::panic::catch_unwind(run).unwrap_or(Err("panic".into()));
                tried.insert(case.op.name());
                if let Err(reason) = outcome {
                    let shapes: Vec<_> = case.inputs.iter().map(|x| (x.kind, &x.shape)).collect();
                    let op = &case.op;
                    failures.push(format!("{op:?} of {shapes:?}, {varying:?}, {name}: {reason}"));
                }
            }
        }
    }
    assert!(tried.len() > 100, "{} operations", tried.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_operation_for_several_vectors_is_that_for_each_on_flex() {
    check::<burn::backend::Flex>(false);
}

#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
fn every_operation_for_several_vectors_is_that_for_each_on_ndarray() {
    check::<burn::backend::NdArray>(true);
}

/// Operations whose first float operand, alone, is not enough for a rule.
const WITHOUT_RULE: [&str; 7] = [
    "Attention",
    "CtcLoss",
    "CtcLossBackward",
    "Embedding",
    "EmbeddingBackward",
    "LinearBackward",
    "Random",
];

#[test]
fn every_operation_has_a_rule_or_is_named() {
    for op in samples::existing() {
        let created = op.arity().inputs == Some(0);
        let each = rule(&op) == Rule::Each && !created;
        assert!(!each || WITHOUT_RULE.contains(&op.name().as_str()), "{op:?} has no rule");
    }
}

/// A product is linear in a vector: one operand of an operation depends on it. The operands for which no case has a rule.
#[test]
fn the_operands_without_a_rule_are_these() {
    let mut has_rule: BTreeMap<String, bool> = BTreeMap::new();
    for case in all_cases() {
        for varying in choices(case).into_iter().filter(|varying| varying.len() == 1) {
            let one = program(case, &varying, DType::Bool(BoolStore::Native));
            let rule = many(&one, 1, VECTORS).graph.one_by_one().is_empty();
            let operand = format!("{} {}", case.op.name(), varying[0]);
            *has_rule.entry(operand).or_default() |= rule;
        }
    }
    let without = has_rule.into_iter().filter(|(_, rule)| !rule).map(|(operand, _)| operand);
    let without: Vec<String> = without.collect();
    assert_eq!(without, OPERANDS_WITHOUT_RULE);
}

/// Layers that derivatives are written without, statistics and parameters of normalizations, biases alone, masks.
const OPERANDS_WITHOUT_RULE: [&str; 17] = [
    "Attention 3",
    "Attention 4",
    "BatchNorm 1",
    "BatchNorm 2",
    "BatchNorm 3",
    "BatchNorm 4",
    "Conv 2",
    "ConvTranspose 2",
    "CtcLoss 0",
    "Embedding 0",
    "EmbeddingBackward 0",
    "EmbeddingBackward 1",
    "LayerNorm 1",
    "LayerNorm 2",
    "Linear 1",
    "Linear 2",
    "LinearBackward 0",
];
