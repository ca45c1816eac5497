//! Stop-gradients. A recording device has no gradients, so that `detach` leaves no trace in a recording; what it stops
//! is missing from the backward pass that Burn runs for the same closure on a tape over the recording device.
//!
//! The two are compared as functions of the inputs, value by value. Gradients that agree by their values, as those of
//! Σ(f − detach f)² and of 0, are different functions as soon as what is computed on the way counts as a value of its own.

mod many;
mod numbering;
mod search;
mod tape;
mod ways;

use std::collections::{HashMap, HashSet};

pub(super) use tape::{gradients, leaf};

use super::CaptureError;
use crate::{
    error::Error,
    graph::{Graph, Node, Op, ValueId},
};
use numbering::{Number, Numbering};
use search::{Operand, Search};
use tape::Tape;

/// The loss program with its stop-gradients, from the program of the gradients that Burn computed for the closure.
///
/// `inputs` are the numbers of parameters and buffers. A closure in training mode normalizes by Burn's operation for it, which has a backward pass of its own.
///
/// # Errors
/// [`CaptureError::StopGradient`] if the gradients differ, and no places explain it.
pub(super) fn found(
    loss: Graph,
    inputs: (usize, usize),
    by_closure: &Graph,
    in_training: bool,
) -> Result<Graph, Error> {
    let mut numbering = Numbering::default();
    let closure = numbering.all(by_closure);
    let outputs = by_closure.outputs.iter().map(|&gradient| closure.get(gradient));
    let Some(gradients) = outputs.collect::<Option<Vec<_>>>() else {
        return Err(CaptureError::StopGradient { place: None }.into());
    };
    for tape in Tape::all(inputs, in_training) {
        if same(&loss, tape, &gradients, &mut numbering)? {
            return Ok(loss);
        }
    }
    let mut place = None;
    for tape in Tape::all(inputs, in_training) {
        let probed = tape.probed(&loss)?;
        let occurring: HashSet<_> = closure.known().collect();
        let search = Search::new(&loss, &probed, &mut numbering, occurring);
        let Some(places) = search.run(&gradients) else { continue };
        let stopped = with_stops(&loss, &places);
        if same(&stopped, tape, &gradients, &mut numbering)? {
            return Ok(stopped);
        }
        let first = places.iter().map(|&(node, _)| node).min();
        place =
            first.map(|node| format!("operation {} ({})", node + 1, loss.nodes[node].op.name()));
    }
    Err(CaptureError::StopGradient { place }.into())
}

/// Whether the gradients of a loss program are given functions of the inputs.
fn same(
    loss: &Graph,
    tape: Tape,
    gradients: &[Number],
    numbering: &mut Numbering,
) -> Result<bool, Error> {
    let program = tape.backward(loss)?;
    let numbers = numbering.all(&program);
    let found = program.outputs.iter().map(|&gradient| numbers.get(gradient));
    Ok(found.eq(gradients.iter().map(|&number| Some(number))))
}

/// The program with stop-gradients before some operands.
fn with_stops(loss: &Graph, places: &[Operand]) -> Graph {
    let mut graph = Graph { nodes: Vec::new(), ..loss.clone() };
    let mut stopped: HashMap<ValueId, ValueId> = HashMap::new();
    let places: HashSet<&Operand> = places.iter().collect();
    for (index, node) in loss.nodes.iter().enumerate() {
        let mut node: Node = node.clone();
        for (at, input) in node.inputs.iter_mut().enumerate() {
            if places.contains(&(index, at)) {
                let ty = loss.value(*input).clone();
                let value = *input;
                *input = *stopped
                    .entry(value)
                    .or_insert_with(|| graph.append(Op::StopGradient, vec![value], ty));
            }
        }
        graph.nodes.push(node);
    }
    graph
}
