//! What a panic in a closure means: its cause, from Burn's message and the recording, and the way out.

use burn_ir::{OperationIr, TensorId, TensorIr};

use super::{CaptureError, import, scope::Attempt};

/// Parts of Burn's messages where tensors of several devices meet.
const OTHER_DEVICE: [&str; 8] = [
    "is on the wrong backend",
    "Tensor is on the wrong backend",
    "are not on the same device",
    "operands must be on the same device",
    "to a capture device with autodiff enabled",
    "Cannot move between autodiff and non-autodiff instances",
    "Cannot move a tensor from a capture device",
    "Expected autodiff-wrapped float tensor",
];

/// Parts of Burn's messages where a tensor outlived the recording that it belongs to.
const OTHER_RECORDING: [&str; 2] =
    ["capture scope is already complete", "must run inside CaptureDevice::capture_scope"];

/// Parts of Burn's messages where a closure differentiates.
const DERIVATIVE: [&str; 3] =
    ["require_grad requires autodiff", "backward requires a tracked", "Tensor::autodiff first"];

/// Why a closure panicked for another reason than a read.
fn by_message(message: &str, attempt: &Attempt) -> CaptureError {
    let names = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if names(&OTHER_DEVICE) {
        CaptureError::Outside { place: place(attempt) }
    } else if names(&OTHER_RECORDING) {
        CaptureError::Kept
    } else if names(&DERIVATIVE) {
        CaptureError::Derivative
    } else {
        CaptureError::Panicked { message: in_one_line(message) }
    }
}

/// Why a closure panicked in an attempt that has a number of parameters.
pub(super) fn by_attempt(message: &str, attempt: &Attempt, parameters: usize) -> CaptureError {
    match read(message) {
        Some(id) => read_of(id, attempt, parameters),
        None => by_message(message, attempt),
    }
}

/// Where a recording ended.
fn place(attempt: &Attempt) -> String {
    let operations = attempt.captured.graph.operations.iter();
    let computed = operations.filter(|operation| !matches!(operation, OperationIr::Init(_)));
    // Every input is mentioned in an operation of its own first.
    let own: Vec<_> = computed.skip(attempt.inputs.len()).collect();
    match own.last().and_then(|last| Some((last, last.outputs().next()?))) {
        Some((last, output)) => {
            let (name, shape) = (import::name(last), output.shape.to_vec());
            format!("after operation {} (`{name}`, result of shape {shape:?})", own.len())
        }
        None => "before its first operation".into(),
    }
}

/// The tensor whose value was read, from Burn's message that there is none.
pub(super) fn read(message: &str) -> Option<TensorId> {
    let (before, _) = message.split_once(" has no concrete value")?;
    let (_, id) = before.rsplit_once("captured tensor TensorId(")?;
    id.strip_suffix(')')?.parse().ok().map(TensorId::new)
}

fn read_of(id: TensorId, attempt: &Attempt, parameters: usize) -> CaptureError {
    let operations = &attempt.captured.graph.operations;
    let mut known = operations.iter().flat_map(OperationIr::nodes);
    let Some(tensor) = known.find(|tensor| tensor.id == id) else {
        return CaptureError::Read { what: "a tensor".into(), advice: advice(None).into() };
    };
    let source = match attempt.inputs.iter().position(|input| *input == id) {
        Some(at) if at < parameters => format!("parameter {at}"),
        Some(at) => format!("tensor {} of the batch", at - parameters),
        None => computed_by(id, operations),
    };
    let kind = kind(tensor);
    CaptureError::Read {
        what: format!("{source} ({kind}, shape {:?})", tensor.shape.to_vec()),
        advice: advice(Some(tensor)).into(),
    }
}

fn computed_by(id: TensorId, operations: &[OperationIr]) -> String {
    let writes = |operation: &&OperationIr| operation.outputs().any(|output| output.id == id);
    match operations.iter().find(writes) {
        Some(operation) => format!("a result of `{}`", import::name(operation)),
        None => "a tensor".into(),
    }
}

fn kind(tensor: &TensorIr) -> &'static str {
    if tensor.dtype.is_bool() {
        "bool"
    } else if tensor.dtype.is_float() {
        "float"
    } else {
        "int"
    }
}

/// How to do without the values of a tensor.
fn advice(tensor: Option<&TensorIr>) -> &'static str {
    match tensor.map(kind) {
        Some("int") => {
            "integers may be moved to another tensor, as by `one_hot`, and not be looked at: pick values by `gather` or `select`, \
             compare tensors, and put a number that decides about shapes into the batch as a plain number (`usize`)"
        }
        Some("bool") => {
            "`nonzero` and `argwhere` make shapes of values: use `mask_where` or a product with the mask instead; what may \
             be read are up to 64 single truth values that the closure computes, by `any()` or `all()`"
        }
        _ => {
            "keep it a tensor, as `max()` in place of `max().into_scalar()`, and make classes integers before `one_hot`; what \
             may be read are single truth values that the closure computes, such as \
             `x.is_nan().any().into_scalar::<bool>()`"
        }
    }
}

/// A message without line breaks and without the frame that Burn puts around it.
fn in_one_line(message: &str) -> String {
    let words = message.replace("=== Tensor Operation Error ===", " ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_frame_is_taken_off() {
        let message = "=== Tensor Operation Error ===\n  Operation: 'Add'\n  Reason:\n    1. no";
        let message = in_one_line(message);
        assert_eq!(message, "Operation: 'Add' Reason: 1. no");
    }

    #[test]
    fn the_tensor_read_is_found() {
        let message = "Error: captured tensor TensorId(6488) has no concrete value";
        assert_eq!(read(message), Some(TensorId::new(6488)));
        assert_eq!(read("other words"), None);
    }
}
