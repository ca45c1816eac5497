//! One recording scope on the capturing backend: devices are reused, panics become errors, boundaries are typed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use burn_backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn_capture::{CaptureBackend, CaptureChannel, CaptureDevice, CapturedGraph};
use burn_ir::TensorId;
use burn_router::{RouterClient, RouterTensor, get_client};

use super::{TraceError, import};
use crate::{
    execute::{Operand, panic_message},
    graph::{Graph, Kind, ValueType},
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
}

impl Scope {
    /// The device to record on.
    pub fn device(&self) -> CaptureDevice {
        self.device
    }

    /// A new input of the recorded program: a tensor without numbers, so that reading it fails.
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
        let tensor = RouterTensor::new(client.create_empty_handle(), ty.shape.clone(), ty.dtype, client);
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

/// Records what `body` does; its returned operands are the program's outputs, its scope's inputs the inputs.
pub(crate) fn record<E: From<TraceError>>(
    body: impl FnOnce(&mut Scope) -> Result<Vec<Operand<CaptureBackend>>, E>,
) -> Result<Graph, E> {
    let borrowed = BorrowedDevice::take();
    let mut failure = None;
    let mut boundary = (Vec::new(), Vec::new());
    let captured = catch_unwind(AssertUnwindSafe(|| {
        borrowed.0.capture_scope(|capture| {
            let mut scope = Scope { device: borrowed.0, inputs: Vec::new() };
            let outputs = body(&mut scope).unwrap_or_else(|error| {
                failure = Some(error);
                Vec::new()
            });
            // An output may be returned twice, or be an input; Burn wants each boundary tensor once and unconsumed.
            boundary = (scope.inputs, outputs.iter().map(operand_id).collect());
            let mut unique = Vec::new();
            for id in &boundary.1 {
                if !unique.contains(id) {
                    unique.push(*id);
                }
            }
            let completed = capture.complete(boundary.0.clone(), unique);
            drop(outputs);
            completed
        })
    }));
    if let Some(error) = failure {
        return Err(error);
    }
    let captured: CapturedGraph = captured
        .map_err(|panic| TraceError::Panicked { message: panic_message(panic.as_ref()) })?
        .map_err(|error| TraceError::Boundary { message: error.to_string() })?;
    Ok(import::graph(&captured, &boundary.0, &boundary.1).map_err(TraceError::from)?)
}
