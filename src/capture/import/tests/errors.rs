//! What cannot be imported says so, with a name and a place.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, module, ops::DeformConvOptions};
use burn_backend::{DType, Shape, TensorData};
use burn_capture::CapturedGraph;
use burn_ir::{
    BaseOperationIr, CreationOpIr, CustomOpIr, DistributedOperationIr, GraphIr, NumericOperationIr,
    OperationIr, TensorId, TensorIr, TensorStatus, UnaryOpIr,
};

use super::{Source, out, recorded_id};
use crate::{
    capture::{ImportError, import::graph},
    graph::Op,
};

fn tensor(id: u64) -> TensorIr {
    TensorIr {
        id: TensorId::new(id),
        shape: Shape::from(vec![2, 3]),
        status: TensorStatus::ReadOnly,
        dtype: DType::F32,
    }
}

fn neg(input: u64, output: u64) -> OperationIr {
    let (input, out) = (tensor(input), tensor(output));
    OperationIr::NumericFloat(DType::F32, NumericOperationIr::Neg(UnaryOpIr { input, out }))
}

fn recording(operations: Vec<OperationIr>, values: &[u64]) -> CapturedGraph {
    let data = || TensorData::new(vec![1.0f32; 6], [2, 3]);
    let values: BTreeMap<TensorId, TensorData> =
        values.iter().map(|&id| (TensorId::new(id), data())).collect();
    let graph = GraphIr { operations, inputs: vec![], outputs: vec![] };
    CapturedGraph { graph, values }
}

fn ids(list: &[u64]) -> Vec<TensorId> {
    list.iter().copied().map(TensorId::new).collect()
}

#[test]
fn unsupported_operations_are_named_with_their_place_and_shapes() {
    let custom = OperationIr::Custom(CustomOpIr::new("fused", &[tensor(1)], &[tensor(2)]));
    let captured = recording(vec![neg(1, 3), custom], &[1]);
    assert_eq!(
        graph(&captured, &ids(&[1]), &ids(&[2])).unwrap_err(),
        ImportError::Unsupported {
            operation: "Custom \"fused\"".into(),
            position: 1,
            inputs: "[f32[2, 3]]".into(),
        }
    );
    let collective = OperationIr::Distributed(DistributedOperationIr::SyncCollective);
    let error = graph(&recording(vec![collective], &[1]), &ids(&[1]), &ids(&[1])).unwrap_err();
    assert!(error.to_string().contains("SyncCollective (number 0"), "{error}");
}

#[test]
fn deformable_convolution_is_refused_by_name() {
    let device = Device::capture();
    let source = Source::new(device.clone());
    let mut output = None;
    let captured = device
        .capture_scope(|scope| {
            let (x, offset) = (source.float([1, 2, 4, 4], 0.0), source.float([1, 8, 3, 3], 1.0));
            let weight = source.float([3, 2, 2, 2], 2.0);
            let options = DeformConvOptions::new([1, 1], [0, 0], [1, 1], 1, 1);
            let y = out(module::deform_conv2d(x, offset, weight, None, None, options));
            output = recorded_id(y.tensor.clone());
            scope.complete([], output)
        })
        .unwrap();
    let error = graph(&captured, &[], &[output.unwrap()]).unwrap_err();
    match error {
        ImportError::Unsupported { operation, inputs, .. } => {
            assert_eq!(operation, "DeformableConv2d");
            assert_eq!(inputs, "[f32[1, 2, 4, 4], f32[1, 8, 3, 3], f32[3, 2, 2, 2]]");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_that_nothing_defines_are_refused() {
    let captured = recording(vec![neg(1, 2)], &[]);
    assert_eq!(
        graph(&captured, &[], &ids(&[2])).unwrap_err(),
        ImportError::Undefined { operation: "Neg".into(), position: 0 }
    );
    assert_eq!(
        graph(&captured, &ids(&[1, 7]), &ids(&[2])).unwrap_err(),
        ImportError::UnknownInput { index: 1 }
    );
    assert_eq!(
        graph(&captured, &ids(&[1]), &ids(&[2, 9])).unwrap_err(),
        ImportError::UnknownOutput { index: 1 }
    );
    assert_eq!(
        graph(&captured, &ids(&[1, 1]), &ids(&[2])).unwrap_err(),
        ImportError::DefinedTwice { index: 1, by: "an input before it".into() }
    );
}

#[test]
fn an_input_that_an_operation_writes_is_refused() {
    let captured = recording(vec![neg(1, 2)], &[1, 2]);
    assert_eq!(
        graph(&captured, &ids(&[1, 2]), &ids(&[2])).unwrap_err(),
        ImportError::DefinedTwice {
            index: 1,
            by: "operation Neg (number 0 of the recording)".into()
        }
    );
}

#[test]
fn only_constants_that_are_used_are_kept_and_inputs_take_their_type_from_their_use() {
    let captured = recording(vec![neg(1, 2), neg(5, 6)], &[5, 8, 9]);
    let graph = graph(&captured, &ids(&[1]), &ids(&[2, 6, 9, 9, 1])).unwrap();
    assert_eq!(graph.inputs.len(), 1);
    assert_eq!(graph.value(graph.inputs[0]).to_string(), "f32[2, 3]");
    // Tensor 8 is used nowhere.
    assert_eq!(graph.constants.len(), 2);
    assert_eq!(graph.outputs[2], graph.outputs[3]);
    assert_eq!(graph.outputs[4], graph.inputs[0]);
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn empty_tensors_are_zeros_and_draws_are_drawn_at_every_run() {
    let empty = OperationIr::BaseFloat(BaseOperationIr::Empty(CreationOpIr { out: tensor(1) }));
    let imported = graph(&recording(vec![empty], &[]), &[], &ids(&[1])).unwrap();
    assert_eq!(imported.nodes[0].op, Op::Zeros);
    let device = Device::capture();
    let mut output = None;
    let captured = device
        .capture_scope(|scope| {
            let distribution = burn::tensor::Distribution::Uniform(0.0, 1.0);
            let drawn = out(Tensor::<2>::random([2, 3], distribution, &device));
            output = recorded_id(drawn.tensor.clone());
            scope.complete([], output)
        })
        .unwrap();
    let imported = graph(&captured, &[], &[output.unwrap()]).unwrap();
    assert!(imported.nodes.iter().any(|node| node.op.is_random()));
}

/// Known limits of Burn's recording, all of them errors: these functions read values that do not exist yet.
#[test]
fn functions_that_read_computed_values_cannot_be_recorded() {
    use burn::nn::loss::{PoissonNllLossConfig, Reduction};
    type Function = fn(Tensor<1>) -> Tensor<1>;
    let functions: [(&str, Function); 2] = [
        ("one_hot", |x| x.one_hot::<2>(3).sum()),
        ("poisson", |x| PoissonNllLossConfig::new().init().forward(x.clone(), x, Reduction::Mean)),
    ];
    for (name, function) in functions {
        let device = Device::capture();
        let source = Source::new(device.clone());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            device.capture_scope(|scope| {
                function(source.float([3], 0.0));
                scope.complete([], [])
            })
        }));
        assert!(result.is_err(), "{name} can be recorded now: move it to the tables");
    }
}
