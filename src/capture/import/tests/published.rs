//! The published list of operations is what the tables and the import say; Burn's own list is covered.

use std::collections::BTreeSet;

use burn_ir::OperationIr;

use super::{super::operation, burn_operations};
use crate::graph::{Class, Interpolation, Op, SortOutputs, samples};

const PUBLISHED: &str = include_str!("../../../graph/operations.md");

const HEAD: &str = "\
Burn's own rule differentiates an operation twice where it is exact both times; other operations are *rewritten* into \
operations whose rules are exact. The derivative of what is piecewise constant, or not of floats, is zero. An operation \
that is refused can be evaluated, but a loss that is differentiated through it is an error.

| operation | evaluated | first derivative | second derivative |
|---|---|---|---|
";

const BURN: &str = "
What Burn records, by the kinds of its recordings:

| kind | recorded operations | refused with an error |
|---|---|---|
";

/// Whether an operation is evaluated, and its first and second derivative.
fn columns(op: &Op) -> String {
    // Burn's backends on CPUs lack some of these.
    let evaluated = match op {
        Op::CtcLossBackward { .. } => "if the backend can",
        Op::GridSample2d { mode, .. } if *mode != Interpolation::Bilinear => "if the backend can",
        _ => "yes",
    };
    format!("{evaluated} | {}", derivatives(op.class()))
}

fn derivatives(class: Class) -> String {
    match class {
        Class::Native => "Burn's rule | Burn's rule".into(),
        Class::Lowered(_) => "rewritten | rewritten".into(),
        Class::Constant => "zero | zero".into(),
        Class::Refused(reason) => format!("refused | {reason}"),
    }
}

fn names(ops: &BTreeSet<String>) -> String {
    let names: Vec<String> = ops.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// One line per variant of [`Op`] and class.
fn operations() -> String {
    let mut text = String::new();
    for variant in samples::samples() {
        let mut classes: Vec<(String, BTreeSet<String>)> = Vec::new();
        for op in variant.iter().filter(|op| samples::exists(op)) {
            let class = columns(op);
            let name = match op {
                Op::GridSample2d { mode, .. } => format!("GridSample2d ({mode:?})"),
                Op::TopK { outputs: SortOutputs::Indices, .. } => "TopK (indices alone)".into(),
                Op::Sort { outputs: SortOutputs::Indices, .. } => "Sort (indices alone)".into(),
                op => op.name(),
            };
            match classes.iter_mut().find(|(other, _)| *other == class) {
                Some((_, ops)) => drop(ops.insert(name)),
                None => classes.push((class, BTreeSet::from([name]))),
            }
        }
        for (class, ops) in classes {
            text += &format!("| {} | {class} |\n", names(&ops));
        }
    }
    text
}

/// One line per kind of Burn's recordings.
fn recordings() -> String {
    let mut kinds: Vec<(&str, [BTreeSet<String>; 2])> = Vec::new();
    for burn in burn_operations::all() {
        // Written by the recording itself, and read by the import without an operation of ours.
        if matches!(burn.sample, OperationIr::Init(_) | OperationIr::Drop(_)) {
            continue;
        }
        let refused = usize::from(operation(0, &burn.sample).is_err());
        if kinds.last().is_none_or(|(kind, _)| *kind != burn.kind) {
            kinds.push((burn.kind, Default::default()));
        }
        if let Some((_, lists)) = kinds.last_mut() {
            lists[refused].insert(burn.name.into());
        }
    }
    let line = |(kind, [recorded, refused]): &(&str, [BTreeSet<String>; 2])| {
        format!("| {kind} | {} | {} |\n", names(recorded), names(refused))
    };
    kinds.iter().map(line).collect()
}

#[test]
fn the_published_list_is_the_table() {
    let right = [HEAD, &operations(), BURN, &recordings()].concat();
    assert!(PUBLISHED == right, "src/graph/operations.md should read:\n{right}");
}

#[test]
fn burn_records_every_operation_of_ours() {
    let recorded: Vec<Op> = burn_operations::all()
        .iter()
        .filter_map(|burn| Some(operation(0, &burn.sample).ok()?.op))
        .collect();
    let found: BTreeSet<String> = recorded.iter().map(Op::name).collect();
    // A stop-gradient leaves no trace in a recording: it is found by other means.
    let needed = samples::existing().filter(|op| *op != Op::StopGradient);
    let missing: BTreeSet<String> =
        needed.map(|op| op.name()).filter(|name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "no recording becomes {missing:?}");
}
