//! Runs of whole graphs: order, lifetimes, checks, errors of the backend, element types.

use std::cell::RefCell;

use burn::backend::Flex;
use burn_backend::{BoolStore, DType, FloatDType, Shape, TensorData};

use crate::{
    execute::{ExecuteError, Program, apply, in_precision, replay},
    graph::{Binary, Comparison, Graph, GraphBuilder, Literal, Op, Unary, ValueId, ValueType},
    tensor::Operand,
};

fn vector(n: usize, dtype: DType) -> ValueType {
    let shape = Shape::from(vec![n]);
    ValueType { shape, dtype }
}

fn upload(data: TensorData) -> Operand<Flex> {
    Operand::from_data(data, &Default::default()).expect("a plain kind")
}

fn read(operand: Operand<Flex>) -> Vec<f64> {
    let data = operand.into_data().expect("readable");
    data.iter::<f64>().collect()
}

fn program(graph: Graph) -> Program<Flex> {
    Program::new(graph, &Default::default(), apply::<Flex>).expect("a good graph")
}

fn binary(builder: &mut GraphBuilder, op: Binary, x: ValueId, y: ValueId) -> ValueId {
    builder.node(Op::Binary(op), vec![x, y], vec![vector(2, DType::F64)])[0]
}

/// `a = x + c, b = a · a, unused = b − x`; returns `b, x, c, b`.
fn sample() -> Graph {
    let mut builder = GraphBuilder::default();
    let x = builder.input(vector(2, DType::F64));
    builder.input(vector(3, DType::F64));
    let data = TensorData::from([10.0f64, 20.0]);
    let c = builder.constant(vector(2, DType::F64), data);
    let a = binary(&mut builder, Binary::Add, x, c);
    let b = binary(&mut builder, Binary::Mul, a, a);
    binary(&mut builder, Binary::Sub, b, x);
    builder.finish(vec![b, x, c, b])
}

#[test]
fn a_program_returns_its_outputs_run_after_run() {
    let program = program(sample());
    for (x, expected) in [([1.0f64, 2.0], [121.0, 484.0]), ([0.0, -20.0], [100.0, 0.0])] {
        let unused = upload(TensorData::from([0.0f64; 3]));
        let outputs = program.run(vec![upload(TensorData::from(x)), unused]);
        let outputs: Vec<_> = outputs.expect("a run").into_iter().map(read).collect();
        assert_eq!(outputs[0], expected);
        assert_eq!(outputs[1], x);
        assert_eq!(outputs[2], [10.0, 20.0]);
        assert_eq!(outputs[3], expected);
    }
}

#[test]
fn operands_are_handed_over_at_their_last_use() {
    let mut builder = GraphBuilder::default();
    let x = builder.input(vector(2, DType::F64));
    let a = binary(&mut builder, Binary::Add, x, x);
    let b = binary(&mut builder, Binary::Mul, a, x);
    let graph = builder.finish(vec![b]);
    let seen = RefCell::new(Vec::new());
    let input = upload(TensorData::from([1.0f64, 2.0]));
    let outputs = replay::<Flex, ExecuteError>(
        &graph,
        &Default::default(),
        vec![input],
        |op, inputs, types, device| {
            let unique = inputs.iter().map(|operand| match operand {
                Operand::Float(tensor) => tensor.is_unique(),
                _ => false,
            });
            seen.borrow_mut().push(unique.collect::<Vec<_>>());
            apply(op, inputs, types, device)
        },
    );
    assert_eq!(read(outputs.expect("a run").remove(0)), [2.0, 8.0]);
    // x is still needed after the first operation; after the second nothing is.
    assert_eq!(*seen.borrow(), [vec![false, false], vec![true, true]]);
}

#[test]
fn inputs_of_another_number_shape_or_type_are_refused_by_position() {
    let program = program(sample());
    let x = || upload(TensorData::from([1.0f64, 2.0]));
    assert_eq!(
        program.run(vec![x()]).unwrap_err(),
        ExecuteError::InputCount { what: "the program".into(), expected: 2, found: 1 }
    );
    let wrong_shape = program.run(vec![x(), x()]).unwrap_err();
    assert_eq!(
        wrong_shape,
        ExecuteError::InputType { index: 1, expected: "f64[3]".into(), found: "f64[2]".into() }
    );
    let single = upload(TensorData::from([1.0f32, 2.0]));
    let wrong_type = program.run(vec![single, x()]).unwrap_err();
    assert!(matches!(wrong_type, ExecuteError::InputType { index: 0, .. }), "{wrong_type}");
}

#[test]
fn a_panic_of_the_backend_is_an_error_that_names_the_operation() {
    let mut builder = GraphBuilder::default();
    let x = builder.input(vector(2, DType::F64));
    let y = builder.node(Op::Unary(Unary::Exp), vec![x], vec![vector(2, DType::F64)])[0];
    let z = builder.node(Op::Reshape, vec![y], vec![vector(5, DType::F64)])[0];
    let program = program(builder.finish(vec![z]));
    match program.run(vec![upload(TensorData::from([1.0f64, 2.0]))]) {
        Err(ExecuteError::Backend { operation, message }) => {
            assert_eq!(operation, "Reshape (number 1) of [f64[2]]");
            assert!(!message.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_the_table_passes_through() {
    let mut builder = GraphBuilder::default();
    let n = builder.input(vector(2, DType::I32));
    let y = builder.node(Op::Unary(Unary::Exp), vec![n], vec![vector(2, DType::F64)])[0];
    let program = program(builder.finish(vec![y]));
    let result = program.run(vec![upload(TensorData::from([1i32, 2]))]);
    assert!(matches!(result, Err(ExecuteError::Unsupported { .. })), "{result:?}");
}

#[test]
fn a_graph_that_reads_what_nothing_defines_is_refused() {
    let mut builder = GraphBuilder::default();
    let ghost = builder.value(vector(2, DType::F64));
    let graph = builder.finish(vec![ghost]);
    let error = Program::<Flex>::new(graph.clone(), &Default::default(), apply::<Flex>).err();
    assert!(matches!(error, Some(ExecuteError::Graph(_))), "{error:?}");
    let error = replay(&graph, &Default::default(), vec![], apply::<Flex>);
    assert!(matches!(error, Err(ExecuteError::Graph(_))), "{error:?}");
}

#[test]
fn a_program_recorded_in_single_precision_runs_in_double() {
    let mut builder = GraphBuilder::default();
    let single = |n| vector(n, DType::F32);
    let x = builder.input(single(1));
    let data = TensorData::from([0.5f32]);
    let c = builder.constant(single(1), data);
    let third = builder.node(Op::Full(Literal::Float(1.0 / 3.0)), vec![], vec![single(1)])[0];
    let a = builder.node(Op::Binary(Binary::Mul), vec![x, c], vec![single(1)])[0];
    let b = builder.node(Op::Binary(Binary::Add), vec![a, third], vec![single(1)])[0];
    let graph = in_precision(builder.finish(vec![b]), FloatDType::F64).expect("castable");
    let run = program(graph).run(vec![upload(TensorData::from([0.1f64]))]);
    assert_eq!(read(run.expect("a run").remove(0)), [0.05 + 1.0 / 3.0]);
}

#[test]
fn truth_values_are_stored_as_the_device_stores_them() {
    let recorded = DType::Bool(BoolStore::U8);
    let mut builder = GraphBuilder::default();
    let flags = builder.input(vector(3, recorded));
    let x = builder.input(vector(3, DType::F32));
    let data = TensorData::from([true, true, false]);
    let data = data.try_cast(recorded).expect("bool data converts");
    let fixed = builder.constant(vector(3, recorded), data);
    let op = Op::CompareScalar(Comparison::Greater, Literal::Float(0.0));
    let positive = builder.node(op, vec![x], vec![vector(3, recorded)])[0];
    let and = Op::Binary(Binary::And);
    let a = builder.node(and.clone(), vec![flags, fixed], vec![vector(3, recorded)])[0];
    let b = builder.node(and, vec![a, positive], vec![vector(3, recorded)])[0];
    let program = program(builder.finish(vec![b]));
    let flags = upload(TensorData::from([true, true, true]));
    let x = upload(TensorData::from([1.0f32, -1.0, 1.0]));
    let result = program.run(vec![flags, x]).expect("a run").remove(0);
    assert_eq!(result.dtype(), DType::Bool(BoolStore::Native));
    assert_eq!(read(result), [1.0, 0.0, 0.0]);
}

#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
fn a_precision_that_the_backend_lacks_is_refused() {
    use burn::backend::NdArray;

    use crate::execute::{adapted, supports};

    let device = Default::default();
    assert!(supports::<NdArray>(&device, DType::F64));
    assert!(!supports::<NdArray>(&device, DType::F16));
    let mut builder = GraphBuilder::default();
    let x = builder.input(vector(2, DType::F16));
    let error = adapted::<NdArray>(builder.finish(vec![x]), &device).err();
    match error {
        Some(ExecuteError::Precision { dtype, backend }) => {
            assert_eq!(dtype, "f16");
            assert!(backend.contains("ndarray"), "{backend}");
        }
        other => panic!("{other:?}"),
    }
}
