//! The table of operations, recorded one by one: what each case must give is known from plain loops.

use burn::backend::Flex;
use burn_backend::{DType, FloatDType, Shape};
use burn_capture::{CaptureBackend, CaptureDevice};
use burn_ir::TensorId;

use crate::{
    capture::import::graph,
    execute::{
        Program, apply,
        tests::{Case, Values, all_cases},
    },
    graph::{Binary, Kind, Op, ValueType},
    tensor::Operand,
};

fn id(operand: &Operand<CaptureBackend>) -> TensorId {
    match operand {
        Operand::Float(x) | Operand::Int(x) | Operand::Bool(x) => x.id(),
    }
}

fn check(case: &Case, device: &CaptureDevice) -> Result<(), String> {
    let bool_dtype = DType::Bool(burn_backend::BoolStore::U8);
    let types: Vec<ValueType> = case
        .expected
        .iter()
        .map(|values| ValueType {
            shape: Shape::from(values.shape.clone()),
            dtype: values.dtype(DType::F64, bool_dtype),
        })
        .collect();
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let captured = device.capture_scope(|scope| {
        let operands: Vec<_> = case.inputs.iter().map(|x| x.operand(device)).collect();
        inputs = operands.iter().map(id).collect();
        let results = apply::<CaptureBackend>(&case.op, operands, &types, device);
        let results = results.expect("recordable");
        outputs = results.iter().map(id).collect();
        scope.complete([], outputs.clone())
    });
    let captured = captured.map_err(|error| error.to_string())?;
    let graph = graph(&captured, &inputs, &outputs).map_err(|error| error.to_string())?;
    for (&value, ty) in graph.outputs.iter().zip(&types) {
        if graph.value(value) != ty {
            return Err(format!("recorded {}, expected {ty}", graph.value(value)));
        }
    }
    let program = Program::<Flex>::new(graph, &Default::default(), apply::<Flex>)
        .map_err(|e| e.to_string())?;
    let device = program.device();
    let stored = |x: &Values| x.operand(device).stored_on(device, FloatDType::F64);
    let operands = case.inputs.iter().map(stored);
    let results = program.run(operands.collect()).map_err(|error| error.to_string())?;
    for (result, expected) in results.into_iter().zip(&case.expected) {
        let shape = Shape::from(expected.shape.clone());
        if result.kind() != expected.kind || result.shape() != shape {
            return Err(format!("found {:?} {:?}", result.kind(), result.shape()));
        }
        let tolerance = if expected.kind == Kind::Float { 1e-12 } else { 0.0 };
        let data = result.into_data().map_err(|error| error.to_string())?;
        for (x, &y) in data.iter::<f64>().zip(&expected.data) {
            let equal = x == y || (x - y).abs() <= tolerance * (1.0 + y.abs());
            if !(equal || x.is_nan() && y.is_nan()) {
                return Err(format!("found {x}, expected {y}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_operation_survives_recording_and_import() {
    let device = CaptureDevice::default();
    let mut failures = Vec::new();
    // A stop-gradient leaves no trace in a recording: it is found by other means.
    for case in all_cases().iter().filter(|case| case.op != Op::StopGradient) {
        // Burn's recording refuses a float to the power of an int tensor (the element types differ).
        if case.op == Op::Binary(Binary::Powi) && case.inputs[0].kind == Kind::Float {
            continue;
        }
        let run = std::panic::AssertUnwindSafe(|| check(case, &device));
        let outcome = std::panic::catch_unwind(run).unwrap_or(Err("panic".into()));
        if let Err(reason) = outcome {
            let shapes: Vec<_> = case.inputs.iter().map(|x| (x.kind, &x.shape)).collect();
            failures.push(format!("{:?} of {shapes:?}: {reason}", case.op));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
