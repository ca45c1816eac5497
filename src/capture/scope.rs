//! One recording scope on the capturing backend: devices are reused, panics become errors, boundaries are typed, and
//! values are supplied when the closure reads them.

use std::sync::{Mutex, PoisonError};

use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_capture::{CaptureBackend, CaptureChannel, CaptureDevice, CapturedGraph};
use burn_ir::TensorId;
use burn_router::{RouterClient, RouterTensor, get_client};

use super::{
    CaptureError, import, lock,
    supplied::{Form, Supplied, is_illegible},
};
use crate::{
    error::Error,
    graph::{Graph, Kind, ValueType},
    panics::caught,
    tensor::Operand,
};

/// Devices not in use. Burn never recycles their identifiers, of which a process has 65,536.
static IDLE_DEVICES: Mutex<Vec<CaptureDevice>> = Mutex::new(Vec::new());

/// A device borrowed from the pool.
struct BorrowedDevice(CaptureDevice);

impl BorrowedDevice {
    fn take() -> Self {
        let mut idle = IDLE_DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        Self(idle.pop().unwrap_or_default())
    }
}

impl Drop for BorrowedDevice {
    fn drop(&mut self) {
        IDLE_DEVICES.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

/// An active recording.
pub(crate) struct Scope {
    device: CaptureDevice,
    inputs: Vec<TensorId>,
    /// The number of the first recorded tensor, and the tensors whose values are supplied with what holds these.
    first: TensorId,
    supplied: Vec<(TensorId, TensorId)>,
}

impl Scope {
    /// A read of one of the supplied tensors returns its value.
    fn new(device: CaptureDevice, (supplied, form): (&[Supplied], Form)) -> Self {
        let client = get_client::<CaptureChannel>(&device);
        let values = supplied.iter().map(|one| client.register_tensor_data(one.data(form)).id());
        let values: Vec<TensorId> = values.collect();
        let first = client.create_empty_handle();
        let pairs = supplied.iter().zip(values).map(|(supplied, value)| {
            let tensor = TensorId::new(first.value() + supplied.number);
            client.register_alias(tensor, value);
            (tensor, value)
        });
        Self { device, inputs: Vec::new(), first, supplied: pairs.collect() }
    }

    /// The inputs in the recording.
    fn known_inputs(&self) -> Vec<TensorId> {
        let known = |input: &TensorId| {
            let supplied = self.supplied.iter().find(|(tensor, _)| tensor == input);
            supplied.map_or(*input, |(_, value)| *value)
        };
        self.inputs.iter().map(known).collect()
    }

    /// The device to record on.
    pub fn device(&self) -> CaptureDevice {
        self.device
    }

    /// A new input of the recorded program: a tensor without values, so that reading it fails.
    pub fn input(&mut self, ty: &ValueType) -> Operand<CaptureBackend> {
        let operand = self.placeholder(ty);
        self.inputs.push(operand_id(&operand));
        // A boundary that no operation mentions is unknown to the recording: mention it in one that nobody uses.
        match operand.clone() {
            Operand::Float(tensor) => drop(CaptureBackend::float_neg(tensor)),
            Operand::Int(tensor) => drop(CaptureBackend::int_neg(tensor)),
            Operand::Bool(tensor) => drop(CaptureBackend::bool_not(tensor)),
        }
        operand
    }

    fn placeholder(&self, ty: &ValueType) -> Operand<CaptureBackend> {
        let client = get_client::<CaptureChannel>(&self.device);
        let tensor =
            RouterTensor::new(client.create_empty_handle(), ty.shape.clone(), ty.dtype, client);
        match ty.kind() {
            Kind::Float => Operand::Float(tensor),
            Kind::Int => Operand::Int(tensor),
            Kind::Bool => Operand::Bool(tensor),
        }
    }
}

fn operand_id(operand: &Operand<CaptureBackend>) -> TensorId {
    match operand {
        Operand::Float(tensor) | Operand::Int(tensor) | Operand::Bool(tensor) => tensor.id(),
    }
}

/// A recording as Burn returns it.
pub(super) struct Attempt {
    pub captured: CapturedGraph,
    pub inputs: Vec<TensorId>,
    /// What recorded tensors are numbered from.
    pub first: TensorId,
    /// The tensors of the recording whose values were supplied, in order.
    pub supplied: Vec<TensorId>,
    pub end: End,
}

/// How a recording ended.
pub(super) enum End {
    Outputs(Vec<TensorId>),
    Panicked(String),
    /// The closure looked at integers that it may only move.
    Looked,
}

/// What is recorded: it returns the outputs of the program.
pub(super) type Body<'a> =
    &'a mut dyn FnMut(&mut Scope) -> Result<Vec<Operand<CaptureBackend>>, Error>;

/// Records what `body` does; its returned operands are the program's outputs, its scope's inputs the inputs.
pub(crate) fn record(
    body: impl FnOnce(&mut Scope) -> Result<Vec<Operand<CaptureBackend>>, Error>,
) -> Result<Graph, Error> {
    let mut body = Some(body);
    let attempt = lock::shared(|| {
        attempt(NOTHING, &mut |scope| {
            body.take().map_or_else(|| Ok(Vec::new()), |body| body(scope))
        })
    })?;
    match attempt.end {
        End::Outputs(outputs) => Ok(import::graph(&attempt.captured, &attempt.inputs, &outputs)
            .map_err(CaptureError::from)?),
        End::Panicked(message) => Err(CaptureError::Panicked { message }.into()),
        End::Looked => {
            let message = "values were read that were not supplied".into();
            Err(CaptureError::Panicked { message }.into())
        }
    }
}

/// No supplied values.
pub(super) const NOTHING: (&[Supplied], Form) = (&[], Form::Marked);

/// How many outputs are passed to Burn; the import finds the others as well.
const MOST_TOLD: usize = 64;

/// Records once, with values supplied, as far as `body` gets.
pub(super) fn attempt(supplied: (&[Supplied], Form), body: Body<'_>) -> Result<Attempt, Error> {
    let borrowed = BorrowedDevice::take();
    let mut ended = None;
    let captured = caught(|| {
        borrowed.0.capture_scope(|capture| {
            let mut scope = Scope::new(borrowed.0, supplied);
            let result = caught(|| body(&mut scope));
            let outputs = match &result {
                Ok(Ok(outputs)) => outputs.iter().map(operand_id).collect(),
                _ => Vec::new(),
            };
            // An output may be returned twice, or be an input; Burn wants each boundary tensor once and unconsumed. All are
            // held here until it is done, and it looks through the whole recording for each that it is given.
            let told = unique(&outputs[..outputs.len().min(MOST_TOLD)]);
            let completed = capture.complete(scope.inputs.clone(), told);
            let end = result
                .map(|returned| returned.map(|_| End::Outputs(outputs)))
                .unwrap_or_else(|message| Ok(panicked(message)));
            ended = Some((end, scope));
            completed
        })
    });
    let captured = captured.map_err(|message| CaptureError::Panicked { message })?;
    let Some((end, scope)) = ended else {
        let message = "the recording did not start".into();
        return Err(CaptureError::Boundary { message }.into());
    };
    let end = end?;
    let captured = captured.map_err(|error| match &end {
        End::Outputs(_) | End::Looked => CaptureError::Boundary { message: error.to_string() },
        End::Panicked(message) => CaptureError::Panicked { message: message.clone() },
    })?;
    let (inputs, first) = (scope.known_inputs(), scope.first);
    let supplied = scope.supplied.into_iter().map(|(_, value)| value).collect();
    Ok(Attempt { captured, inputs, first, supplied, end })
}

fn panicked(message: String) -> End {
    if is_illegible(&message) { End::Looked } else { End::Panicked(message) }
}

fn unique(ids: &[TensorId]) -> Vec<TensorId> {
    let mut unique = Vec::new();
    for id in ids {
        if !unique.contains(id) {
            unique.push(*id);
        }
    }
    unique
}
