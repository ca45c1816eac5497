//! Recordings are imported and run, and must give what the recorded functions give.

mod basics;
mod burn_operations;
mod errors;
mod layers;
mod losses;
mod numbers;
mod published;
mod reductions;
mod table;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::{
    backend::{BackendTensor, DispatchTensor, Flex},
    tensor::{Bool, Device, Int, Tensor},
};
use burn_backend::{FloatDType, TensorData};
use burn_capture::CaptureBackend;
use burn_ir::TensorId;

use super::graph;
use crate::{
    execute::{ExecuteError, Program, apply},
    tensor::Operand,
};

/// Hands tensors to a function under test: on Flex as they are, on the recording device as inputs.
pub(super) struct Source {
    pub device: Device,
    made: RefCell<Vec<(TensorData, Option<TensorId>)>>,
}

impl Source {
    fn new(device: Device) -> Self {
        let made = RefCell::default();
        Self { device, made }
    }

    fn note(&self, data: TensorData, tensor: DispatchTensor) {
        self.made.borrow_mut().push((data, recorded_id(tensor)));
    }

    /// Floats in (-1, 1).
    pub fn float<const D: usize>(&self, shape: [usize; D], seed: f64) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let numbers = (0..count).map(|i| (0.4 + 0.77 * seed + 0.83 * i as f64).sin() as f32);
        let data = TensorData::new(numbers.collect::<Vec<f32>>(), shape);
        let tensor = Tensor::<D>::from_data(data.clone(), &self.device);
        self.note(data, tensor.clone().into_dispatch());
        tensor
    }

    /// Floats in (0.1, 2.1).
    pub fn positive<const D: usize>(&self, shape: [usize; D], seed: f64) -> Tensor<D> {
        self.float(shape, seed).add_scalar(1.1)
    }

    /// Given integers.
    pub fn int<const D: usize>(&self, shape: [usize; D], numbers: &[i64]) -> Tensor<D, Int> {
        let data = TensorData::new(numbers.to_vec(), shape);
        let tensor = Tensor::<D, Int>::from_data(data.clone(), &self.device);
        self.note(data, tensor.clone().into_dispatch());
        tensor
    }

    /// Given truth values.
    pub fn bool<const D: usize>(&self, shape: [usize; D], flags: &[u8]) -> Tensor<D, Bool> {
        let flags: Vec<bool> = flags.iter().map(|&x| x != 0).collect();
        let data = TensorData::new(flags, shape);
        let tensor = Tensor::<D, Bool>::from_data(data.clone(), &self.device);
        self.note(data, tensor.clone().into_dispatch());
        tensor
    }
}

/// A result of a function under test, of any kind and rank.
pub(super) struct Output {
    tensor: DispatchTensor,
    data: Option<TensorData>,
}

/// Wraps a result.
pub(super) fn out<const D: usize, K: burn::tensor::kind::Basic>(tensor: Tensor<D, K>) -> Output {
    let recording = matches!(tensor.device(), device if device == Device::flex()).then_some(());
    Output { data: recording.map(|()| tensor.to_data()), tensor: tensor.into_dispatch() }
}

fn recorded_id(tensor: DispatchTensor) -> Option<TensorId> {
    use burn::backend::DispatchKindConversion;
    let tensor =
        <DispatchTensor as DispatchKindConversion<CaptureBackend>>::try_into_backend(tensor);
    match tensor.ok()? {
        BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor) => {
            Some(tensor.id())
        }
        _ => None,
    }
}

/// A function under test, run on Flex and recorded.
pub(super) type Function = Box<dyn Fn(&Source) -> Vec<Output>>;

pub(super) type Entry = (&'static str, Function);

pub(super) fn entry(
    name: &'static str,
    function: impl Fn(&Source) -> Vec<Output> + 'static,
) -> Entry {
    (name, Box::new(function))
}

/// Records, imports, runs on Flex; compares with the function on Flex.
fn check(device: &Device, function: &Function) -> Result<(), String> {
    let direct = function(&Source::new(Device::flex()));
    let source = Source::new(device.clone());
    let mut outputs = Vec::new();
    let captured = device.capture_scope(|scope| {
        let results = function(&source);
        let ids = results.iter().map(|result| recorded_id(result.tensor.clone()));
        outputs = ids.map(|id| id.expect("a recorded tensor")).collect();
        let mut unique = outputs.clone();
        unique.sort();
        unique.dedup();
        scope.complete([], unique)
    });
    let captured = captured.map_err(|error| error.to_string())?;
    let made = source.made.into_inner();
    let inputs: Vec<TensorId> = made.iter().filter_map(|(_, id)| *id).collect();
    assert_eq!(inputs.len(), made.len());
    let graph = graph(&captured, &inputs, &outputs).map_err(|error| error.to_string())?;
    let program = Program::<Flex>::new(graph, &Default::default(), apply::<Flex>)
        .map_err(|e| e.to_string())?;
    let upload = |(data, _): &(TensorData, _)| {
        let operand = Operand::from_data(data.clone(), program.device())?;
        Ok(operand.stored_on(program.device(), FloatDType::F32))
    };
    let inputs: Result<Vec<_>, ExecuteError> = made.iter().map(upload).collect();
    let results = program
        .run(inputs.map_err(|error| error.to_string())?)
        .map_err(|error| format!("{error}\n{}", program.graph()))?;
    for (position, (result, expected)) in results.into_iter().zip(direct).enumerate() {
        let ty = program.graph().value(program.graph().outputs[position]).clone();
        if result.shape() != ty.shape || result.kind() != ty.kind() {
            return Err(format!("output {position} is not {ty}"));
        }
        let found = result.into_data().map_err(|error| error.to_string())?;
        let expected = expected.data.ok_or("no direct result")?;
        compare(&found, &expected).map_err(|error| format!("output {position}: {error}"))?;
    }
    Ok(())
}

fn compare(found: &TensorData, expected: &TensorData) -> Result<(), String> {
    if found.shape() != expected.shape() {
        return Err(format!("shape {:?}, not {:?}", found.shape(), expected.shape()));
    }
    for (i, (x, y)) in found.iter::<f64>().zip(expected.iter::<f64>()).enumerate() {
        let equal = x == y || (x - y).abs() <= 1e-6 * (1.0 + y.abs());
        if !(equal || x.is_nan() && y.is_nan()) {
            return Err(format!("element {i}: found {x}, expected {y}"));
        }
    }
    Ok(())
}

/// Checks all entries and reports all failures at once.
pub(super) fn check_all(entries: Vec<Entry>) {
    let device = Device::capture();
    let mut failures = Vec::new();
    for (name, function) in &entries {
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&device, function)));
        if let Err(reason) = outcome.unwrap_or(Err("panic".into())) {
            failures.push(format!("{name}: {reason}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
