//! Recordings of closures that move integers from one tensor to another through the host, as Burn's `one_hot` does.
//!
//! Such a closure is recorded twice. First with data whose bytes cannot be read: looking at any of them
//! panics, while data that are only passed on stay as they are. Then with marks, numbers that occur nowhere else: a constant of the
//! second recording that holds the marks of a tensor is that tensor.

use std::collections::HashMap;

use burn_backend::Shape;
use burn_ir::{IrVisitorMut, OperationIr, TensorId, TensorIr};

use super::{
    scope::{self, Attempt, Body, End},
    supplied::{Form, Supplied, Value, are_illegible},
};
use crate::{error::Error, execute::RECORDED_INT};

/// Records with values supplied. `None` if two recordings of the closure were not alike.
pub(super) fn attempt(supplied: &[Supplied], body: Body<'_>) -> Result<Option<Attempt>, Error> {
    if supplied.iter().all(|one| one.truth().is_some()) {
        return scope::attempt((supplied, Form::Marked), body).map(Some);
    }
    let illegible = scope::attempt((supplied, Form::Illegible), body)?;
    if matches!(illegible.end, End::Looked) {
        return Ok(Some(illegible));
    }
    let marked = scope::attempt((supplied, Form::Marked), body)?;
    Ok(with_moves(&illegible, marked, supplied))
}

/// The second recording, in which constants that hold the integers of another tensor are that tensor.
fn with_moves(illegible: &Attempt, mut marked: Attempt, supplied: &[Supplied]) -> Option<Attempt> {
    let of_illegible = &illegible.captured;
    if of_illegible.graph.operations.len() != marked.captured.graph.operations.len()
        || of_illegible.values.len() != marked.captured.values.len()
    {
        return None;
    }
    let mut moves = HashMap::new();
    for (id, data) in &marked.captured.values {
        if marked.supplied.contains(id) {
            continue;
        }
        let number = id.value().checked_sub(marked.first.value())?;
        let twin = of_illegible.values.get(&TensorId::new(illegible.first.value() + number))?;
        if !are_illegible(twin) {
            continue;
        }
        let source = supplied.iter().zip(&marked.supplied).find(|(one, _)| {
            one.truth().is_none() && data.dtype() == RECORDED_INT && *data == one.data(Form::Marked)
        });
        match source {
            Some((_, source)) => moves.insert(*id, *source),
            None => {
                // Bytes that were moved into a tensor of another shape or type.
                marked.end = End::Looked;
                return Some(marked);
            }
        };
    }
    let graph = &mut marked.captured.graph;
    let is_moved = |operation: &OperationIr| matches!(operation, OperationIr::Init(init) if moves.contains_key(&init.out.id));
    graph.operations.retain(|operation| !is_moved(operation));
    let mut renamed = Renamed(&moves);
    graph.operations.iter_mut().for_each(|operation| operation.visit_mut(&mut renamed));
    Some(marked)
}

struct Renamed<'a>(&'a HashMap<TensorId, TensorId>);

impl IrVisitorMut for Renamed<'_> {
    fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
        if let Some(source) = self.0.get(&tensor.id) {
            tensor.id = *source;
        }
    }
}

/// Whether an attempt computes what was supplied as the value of a tensor, or has it as an input.
pub(super) fn is_defined(attempt: &Attempt, supplied: &Supplied, id: TensorId) -> bool {
    match supplied.value {
        Value::Truth(_) => truth(attempt, id).is_some(),
        Value::Integers(_) => integers(attempt, id).is_some(),
    }
}

/// The shape of a tensor that one operation of an attempt computes, if it is a single truth value.
pub(super) fn truth(attempt: &Attempt, id: TensorId) -> Option<Shape> {
    let computed = written(attempt, id)?;
    let is_truth = computed.dtype.is_bool() && computed.shape.num_elements() == 1;
    is_truth.then(|| computed.shape.clone())
}

/// The shape of a tensor that is an input of an attempt or computed by one of its operations, if it holds integers.
pub(super) fn integers(attempt: &Attempt, id: TensorId) -> Option<Shape> {
    let found = if attempt.inputs.contains(&id) {
        let operations = attempt.captured.graph.operations.iter();
        operations.flat_map(OperationIr::inputs).find(|tensor| tensor.id == id)
    } else {
        written(attempt, id)
    };
    found.filter(|tensor| tensor.dtype == RECORDED_INT).map(|tensor| tensor.shape.clone())
}

/// The tensor that a single operation of an attempt writes.
fn written(attempt: &Attempt, id: TensorId) -> Option<&TensorIr> {
    let operations = attempt.captured.graph.operations.iter();
    let outputs = operations.flat_map(|operation| {
        let is_constant = matches!(operation, OperationIr::Init(_));
        operation.outputs().map(move |output| (is_constant, output))
    });
    let mut writers = outputs.filter(|(_, output)| output.id == id);
    let (is_constant, output) = writers.next()?;
    (!is_constant && writers.next().is_none()).then_some(output)
}
