//! Truth values that a closure reads while it is recorded: supplies them to the closure, and builds the program that
//! computes them. Their values on a batch come from the caller.

use burn_backend::Shape;
use burn_capture::CapturedGraph;
use burn_ir::{OperationIr, TensorId, TensorIr};

use super::{
    CaptureError, draws, import, lock, refusal,
    scope::{self, Attempt, Body, End, Supplied},
};
use crate::{error::Error, graph::Graph};

/// How many truth values a closure may read.
const MOST_READS: usize = 64;

/// How often a recording is started again if others take numbers from Burn's counter meanwhile.
const MOST_BEGINNINGS: usize = 4;

/// Truth values that the closure read, as outputs of a program of all inputs, with their values: where they differ, the
/// closure would have taken another branch, and its recording does not apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub graph: Graph,
    pub expected: Vec<bool>,
}

/// Computes the outputs, all truth values, of a program on the inputs that the recording is made for.
pub(crate) type Truths<'a> = &'a dyn Fn(&Graph) -> Result<Vec<bool>, Error>;

/// How a closure's reads and draws are met.
pub(super) struct Policy<'a> {
    /// How many inputs are parameters; the others are the batch.
    pub parameters: usize,
    /// The seed of random values that are drawn once; without one they are refused.
    pub seed: Option<u64>,
    pub truths: Truths<'a>,
}

/// What a closure recorded.
pub(super) struct Recorded {
    pub graph: Graph,
    pub guards: Guards,
    /// How many tensors were drawn.
    pub draws: usize,
}

/// Records what `body` does, as [`scope::record`] does, where `body` may read single truth values.
///
/// A read ends an attempt. The program recorded so far computes the value, which is supplied to the next attempt at that
/// place. Tensors are numbered by a counter, so that the place is found again; a supplied value must turn out to be
/// the value of a tensor that the recording computes, or the attempt does not count.
pub(super) fn record(body: Body<'_>, policy: &Policy<'_>) -> Result<Recorded, Error> {
    let first = lock::shared(|| scope::attempt(&[], body))?;
    match &first.end {
        End::Panicked(message) if refusal::read(message).is_none() => {
            Err(refusal::by_message(message).into())
        }
        End::Panicked(_) => lock::exclusive(|| supply(first, body, policy)),
        End::Outputs(outputs) => finish(&first, outputs, &[], policy),
    }
}

/// Supplies truth values until the closure runs through.
fn supply(mut attempt: Attempt, body: Body<'_>, policy: &Policy<'_>) -> Result<Recorded, Error> {
    let (mut supplied, mut beginnings) = (Vec::new(), 1);
    loop {
        match next(&attempt, &supplied, policy)? {
            Next::Finished(outputs) => return finish(&attempt, outputs, &supplied, policy),
            Next::Supply(value) => supplied.push(value),
            Next::Refused(message) => {
                return Err(refusal::by_attempt(message, &attempt, policy.parameters).into());
            }
            Next::Missed if beginnings == MOST_BEGINNINGS => {
                let difference = "it recorded other operations before a value that it reads".into();
                return Err(CaptureError::ClosureChanged { difference }.into());
            }
            Next::Missed => {
                supplied.clear();
                beginnings += 1;
            }
        }
        attempt = scope::attempt(&supplied, body)?;
    }
}

/// What to do after an attempt.
enum Next<'a> {
    Finished(&'a [TensorId]),
    Supply(Supplied),
    /// The closure read a value that it may not read, or panicked on its own.
    Refused(&'a str),
    /// A supplied value was not the one that the attempt computed at that place.
    Missed,
}

fn next<'a>(
    attempt: &'a Attempt,
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Next<'a>, Error> {
    let computed = |id| computed_truth(&attempt.captured, id);
    let missed = attempt.supplied.iter().any(|id| computed(*id).is_none());
    let message = match &attempt.end {
        _ if missed => return Ok(Next::Missed),
        End::Outputs(outputs) => return Ok(Next::Finished(outputs)),
        End::Panicked(message) => message,
    };
    let wanted = refusal::read(message).filter(|_| supplied.len() < MOST_READS);
    let found = wanted.and_then(|id| {
        let number = id.value().checked_sub(attempt.first.value())?;
        Some((id, number, computed(id)?))
    });
    let Some((id, number, shape)) = found else {
        return Ok(Next::Refused(message));
    };
    Ok(match evaluate(attempt, id, supplied, policy)? {
        Some(truth) => Next::Supply(Supplied { number, shape, truth }),
        None => Next::Missed,
    })
}

/// The truth value of a tensor, if the values supplied before are still the same.
fn evaluate(
    attempt: &Attempt,
    tensor: TensorId,
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Option<bool>, Error> {
    let outputs: Vec<_> = attempt.supplied.iter().copied().chain([tensor]).collect();
    let (graph, _) = imported(attempt, &outputs, policy.seed)?;
    let values = (policy.truths)(&graph.without_dead_code())?;
    let same = supplied.iter().zip(&values).all(|(a, b)| a.truth == *b);
    Ok(values.last().copied().filter(|_| same))
}

fn finish(
    attempt: &Attempt,
    outputs: &[TensorId],
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Recorded, Error> {
    let all: Vec<_> = outputs.iter().chain(&attempt.supplied).copied().collect();
    let (graph, draws) = imported(attempt, &all, policy.seed)?;
    let (own, read) = graph.outputs.split_at(outputs.len());
    let guards = Guards {
        graph: graph.returning(read.to_vec()),
        expected: supplied.iter().map(|supplied| supplied.truth).collect(),
    };
    Ok(Recorded { graph: graph.returning(own.to_vec()), guards, draws })
}

/// The program of an attempt, with its random values drawn or refused; also returns how many tensors were drawn.
fn imported(
    attempt: &Attempt,
    outputs: &[TensorId],
    seed: Option<u64>,
) -> Result<(Graph, usize), CaptureError> {
    let graph = import::graph(&attempt.captured, &attempt.inputs, outputs)?;
    match seed {
        Some(seed) => draws::once(graph, seed),
        None => draws::refuse(&graph).map(|()| (graph, 0)),
    }
}

/// The shape of a tensor that one operation of the recording computes, if it is a single truth value.
fn computed_truth(captured: &CapturedGraph, id: TensorId) -> Option<Shape> {
    let operations = captured.graph.operations.iter();
    let mut writers = operations.filter(|operation| {
        let mut outputs = operation.outputs();
        outputs.any(|output| output.id == id)
    });
    let writer = writers.next().filter(|_| writers.next().is_none())?;
    if matches!(writer, OperationIr::Init(_)) {
        return None;
    }
    let is_truth = |ir: &TensorIr| ir.dtype.is_bool() && ir.shape.num_elements() == 1;
    let mut outputs = writer.outputs();
    outputs.find(|output| output.id == id && is_truth(output)).map(|output| output.shape.clone())
}

impl Guards {
    /// Those whose positions are chosen, each with its position.
    pub fn chosen(&self, choose: impl Fn(usize) -> bool) -> Option<(Self, Vec<usize>)> {
        let positions: Vec<_> = (0..self.expected.len()).filter(|&at| choose(at)).collect();
        if positions.is_empty() {
            return None;
        }
        let outputs = positions.iter().filter_map(|&at| self.graph.outputs.get(at));
        let chosen = Self {
            graph: self.graph.returning(outputs.copied().collect()),
            expected: positions.iter().map(|&at| self.expected[at]).collect(),
        };
        Some((chosen, positions))
    }
}
