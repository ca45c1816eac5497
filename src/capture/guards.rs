//! Values that a closure reads while it is recorded: supplies them to the closure, and builds the program that computes
//! the truth values among them. Their values on a batch come from the caller.

use burn_ir::TensorId;

use super::{
    CaptureError, draws, import, lock, moved, refusal,
    scope::{self, Attempt, Body, End},
    supplied::{Supplied, Value},
};
use crate::{error::Error, graph::Graph};

/// How many tensors a closure may read.
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

/// Records what `body` does, as [`scope::record`] does, where `body` may read single truth values, and integers that it
/// moves to another tensor without looking at them.
///
/// A read ends an attempt. The program recorded so far computes a truth value, which is supplied to the next attempt at that
/// place. Tensors are numbered by a counter, so that the place is found again; a supplied value must turn out to be
/// the value of a tensor that the recording computes, or the attempt does not count.
pub(super) fn record(body: Body<'_>, policy: &Policy<'_>) -> Result<Recorded, Error> {
    let first = lock::shared(|| scope::attempt(scope::NOTHING, body))?;
    match &first.end {
        End::Panicked(message) if refusal::read(message).is_none() => {
            Err(refusal::by_attempt(message, &first, policy.parameters).into())
        }
        End::Panicked(_) | End::Looked => lock::exclusive(|| supply(first, body, policy)),
        End::Outputs(outputs) => finish(&first, outputs, &[], policy),
    }
}

/// Supplies values until the closure runs through.
fn supply(mut attempt: Attempt, body: Body<'_>, policy: &Policy<'_>) -> Result<Recorded, Error> {
    let (mut supplied, mut beginnings) = (Vec::new(), 1);
    loop {
        match next(&attempt, &supplied, policy)? {
            Next::Finished(outputs) => return finish(&attempt, outputs, &supplied, policy),
            Next::Supply(value) => supplied.push(value),
            Next::Refused(error) => return Err(error.into()),
            Next::Missed if beginnings == MOST_BEGINNINGS => return Err(changed().into()),
            Next::Missed => {
                supplied.clear();
                beginnings += 1;
            }
        }
        attempt = match moved::attempt(&supplied, body)? {
            Some(attempt) => attempt,
            None if beginnings == MOST_BEGINNINGS => return Err(changed().into()),
            None => {
                supplied.clear();
                beginnings += 1;
                scope::attempt(scope::NOTHING, body)?
            }
        };
    }
}

fn changed() -> CaptureError {
    let difference = "it recorded other operations before a value that it reads".into();
    CaptureError::ClosureChanged { difference }
}

/// What to do after an attempt.
enum Next<'a> {
    Finished(&'a [TensorId]),
    Supply(Supplied),
    /// The closure read a value that it may not read, or panicked on its own.
    Refused(CaptureError),
    /// A supplied value was not the one that the attempt computed at that place.
    Missed,
}

fn next<'a>(
    attempt: &'a Attempt,
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Next<'a>, Error> {
    let refused = |message| refusal::by_attempt(message, attempt, policy.parameters);
    let mut given = supplied.iter().zip(&attempt.supplied);
    let missed = given.any(|(one, id)| !moved::is_defined(attempt, one, *id));
    let message = match &attempt.end {
        End::Looked => return Ok(Next::Refused(looked_at(supplied))),
        _ if missed => return Ok(Next::Missed),
        End::Outputs(outputs) => return Ok(Next::Finished(outputs)),
        End::Panicked(message) => message,
    };
    let wanted = refusal::read(message).filter(|_| supplied.len() < MOST_READS);
    let found = wanted.and_then(|id| Some((id, id.value().checked_sub(attempt.first.value())?)));
    let Some((id, number)) = found else {
        return Ok(Next::Refused(refused(message)));
    };
    if let Some(shape) = moved::integers(attempt, id) {
        let value = Value::Integers(Box::new(refused(message)));
        return Ok(Next::Supply(Supplied { number, shape, value }));
    }
    let Some(shape) = moved::truth(attempt, id) else {
        return Ok(Next::Refused(refused(message)));
    };
    Ok(match evaluate(attempt, id, supplied, policy)? {
        Some(truth) => Next::Supply(Supplied { number, shape, value: Value::Truth(truth) }),
        None => Next::Missed,
    })
}

/// What is said of a closure that looked at integers it may only move: those it read last.
fn looked_at(supplied: &[Supplied]) -> CaptureError {
    let refusals = supplied.iter().rev().find_map(|one| match &one.value {
        Value::Integers(refusal) => Some((**refusal).clone()),
        Value::Truth(_) => None,
    });
    refusals.unwrap_or_else(changed)
}

/// The truth value of a tensor, if the values supplied before are still the same.
fn evaluate(
    attempt: &Attempt,
    tensor: TensorId,
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Option<bool>, Error> {
    let (tensors, truths) = truths(attempt, supplied);
    let outputs: Vec<_> = tensors.into_iter().chain([tensor]).collect();
    let (graph, _) = imported(attempt, &outputs, policy.seed)?;
    let values = (policy.truths)(&graph.without_dead_code())?;
    let same = truths.iter().zip(&values).all(|(a, b)| a == b);
    Ok(values.last().copied().filter(|_| same))
}

/// The truth values that were supplied, and the tensors whose values they are.
fn truths(attempt: &Attempt, supplied: &[Supplied]) -> (Vec<TensorId>, Vec<bool>) {
    let given = attempt.supplied.iter().zip(supplied);
    given.filter_map(|(id, one)| Some((*id, one.truth()?))).unzip()
}

fn finish(
    attempt: &Attempt,
    outputs: &[TensorId],
    supplied: &[Supplied],
    policy: &Policy<'_>,
) -> Result<Recorded, Error> {
    let (tensors, expected) = truths(attempt, supplied);
    let all: Vec<_> = outputs.iter().copied().chain(tensors).collect();
    let (graph, draws) = imported(attempt, &all, policy.seed)?;
    let (own, read) = graph.outputs.split_at(outputs.len());
    let guards = Guards { graph: graph.returning(read.to_vec()), expected };
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
