//! Truth values that a closure reads while it is recorded. Knows how to tell them to the closure and which program
//! computes them; what they are on a batch it is told.

use burn_backend::Shape;
use burn_capture::{CaptureBackend, CapturedGraph};
use burn_ir::{OperationIr, TensorId, TensorIr};

use super::{
    CaptureError, Scope, import,
    scope::{self, Attempt, End, Told},
    turn,
};
use crate::{graph::Graph, tensor::Operand};

/// How many truth values a closure may read.
const MOST_READS: usize = 64;

/// How often a recording is begun anew where others draw from Burn's numbers meanwhile.
const MOST_BEGINNINGS: usize = 4;

/// Truth values that the closure read, as outputs of a program of all inputs, and what they were: where they are
/// others, the closure would have gone another way, and its recording does not apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub graph: Graph,
    pub expected: Vec<bool>,
}

/// Computes the outputs, all truth values, of a program on the inputs that the recording is made for.
pub(crate) type Truths<'a, E> = &'a dyn Fn(&Graph) -> Result<Vec<bool>, E>;

/// Records what `body` does, as [`scope::record`] does, where `body` may read single truth values.
///
/// A read ends an attempt. What was recorded so far computes the value; the next attempt gets it told at that place.
/// Numbers of tensors come from a counter, so that the place is found again; whatever was told must turn out to be
/// the value of a tensor that the recording computes, or the attempt does not count.
pub(super) fn record<E: From<CaptureError>>(
    body: impl Fn(&mut Scope) -> Result<Vec<Operand<CaptureBackend>>, E>,
    truths: Truths<'_, E>,
) -> Result<(Graph, Guards), E> {
    let first = turn::beside_others(|| scope::attempt(&[], &body))?;
    match &first.end {
        End::Panicked(message) if read(message).is_none() => Err(panicked(message)),
        End::Panicked(_) => turn::alone(|| tell(first, &body, truths)),
        End::Outputs(outputs) => finish(&first, outputs, &[]),
    }
}

/// Tells truth values until the closure runs through.
fn tell<E: From<CaptureError>>(
    mut attempt: Attempt,
    body: &impl Fn(&mut Scope) -> Result<Vec<Operand<CaptureBackend>>, E>,
    truths: Truths<'_, E>,
) -> Result<(Graph, Guards), E> {
    let (mut told, mut beginnings) = (Vec::new(), 1);
    loop {
        match next(&attempt, &told, truths)? {
            Next::Finished(outputs) => return finish(&attempt, outputs, &told),
            Next::Tell(value) => told.push(value),
            Next::Refused(message) => return Err(panicked(message)),
            Next::Missed(message) if beginnings == MOST_BEGINNINGS => {
                return Err(panicked(message));
            }
            Next::Missed(_) => {
                told.clear();
                beginnings += 1;
            }
        }
        attempt = scope::attempt(&told, body)?;
    }
}

/// What to do after an attempt.
enum Next<'a> {
    Finished(&'a [TensorId]),
    Tell(Told),
    /// The closure read what it may not, or panicked of itself.
    Refused(&'a str),
    /// What was told was not what the attempt computed at that place.
    Missed(&'a str),
}

fn next<'a, E: From<CaptureError>>(
    attempt: &'a Attempt,
    told: &[Told],
    truths: Truths<'_, E>,
) -> Result<Next<'a>, E> {
    let computed = |id| computed_truth(&attempt.captured, id);
    let missed = attempt.told.iter().any(|id| computed(*id).is_none());
    let message = match &attempt.end {
        End::Outputs(outputs) if !missed => return Ok(Next::Finished(outputs)),
        End::Outputs(_) => "the closure recorded other operations when it ran again",
        End::Panicked(message) => message,
    };
    if missed {
        return Ok(Next::Missed(message));
    }
    let wanted = read(message).filter(|_| told.len() < MOST_READS);
    let found = wanted.and_then(|id| {
        let number = id.value().checked_sub(attempt.first.value())?;
        Some((id, number, computed(id)?))
    });
    let Some((id, number, shape)) = found else {
        return Ok(Next::Refused(message));
    };
    Ok(match evaluate(attempt, id, told, truths)? {
        Some(truth) => Next::Tell(Told { number, shape, truth }),
        None => Next::Missed(message),
    })
}

/// The truth value of a tensor, if those told before are still the same.
fn evaluate<E: From<CaptureError>>(
    attempt: &Attempt,
    tensor: TensorId,
    told: &[Told],
    truths: Truths<'_, E>,
) -> Result<Option<bool>, E> {
    let outputs: Vec<_> = attempt.told.iter().copied().chain([tensor]).collect();
    let graph = import::graph(&attempt.captured, &attempt.inputs, &outputs);
    let graph = graph.map_err(CaptureError::from)?.without_dead_code();
    // Another draw would be another value.
    if graph.nodes.iter().any(|node| node.op.is_random()) {
        return Ok(None);
    }
    let values = truths(&graph)?;
    let same = told.iter().zip(&values).all(|(a, b)| a.truth == *b);
    Ok(values.last().copied().filter(|_| same))
}

fn finish<E: From<CaptureError>>(
    attempt: &Attempt,
    outputs: &[TensorId],
    told: &[Told],
) -> Result<(Graph, Guards), E> {
    let all: Vec<_> = outputs.iter().chain(&attempt.told).copied().collect();
    let graph = import::graph(&attempt.captured, &attempt.inputs, &all);
    let graph = graph.map_err(CaptureError::from)?;
    let (own, read) = graph.outputs.split_at(outputs.len());
    let guards = Guards {
        graph: graph.returning(read.to_vec()),
        expected: told.iter().map(|told| told.truth).collect(),
    };
    Ok((graph.returning(own.to_vec()), guards))
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

/// The tensor whose numbers were asked for, by the words with which Burn says that there are none.
fn read(message: &str) -> Option<TensorId> {
    let (before, _) = message.split_once(" has no concrete value")?;
    let (_, id) = before.rsplit_once("captured tensor TensorId(")?;
    id.strip_suffix(')')?.parse().ok().map(TensorId::new)
}

fn panicked<E: From<CaptureError>>(message: &str) -> E {
    let message = message.to_string();
    CaptureError::Panicked { message }.into()
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
