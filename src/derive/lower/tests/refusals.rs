//! What is refused, and that it is refused by name.

use super::{
    super::apply,
    case::{Case, ints, real},
};
use crate::{
    derive::DeriveError,
    execute::ExecuteError,
    graph::{Class, GridPadding, Interpolation, Op, PoolWindow, samples},
};
use burn::backend::Flex;
use burn_backend::tensor::IndexingUpdateOp;

fn refusal(case: &Case) -> (String, String) {
    let error = match super::harness::try_outputs::<Flex>(case, apply::<Flex>) {
        Ok(_) => panic!("{} was not refused", case.name),
        Err(error) => error,
    };
    match error.downcast_ref() {
        Some(DeriveError::NotDifferentiable { operation, reason }) => {
            (operation.clone(), reason.clone())
        }
        _ => panic!("{}: {error}", case.name),
    }
}

#[test]
fn what_the_table_refuses_is_refused_for_its_reason() {
    for op in samples::samples().into_iter().flatten() {
        if let Class::Refused(expected) = op.class() {
            let case = Case::new("refused", op.clone(), vec![], &[1]);
            assert_eq!(refusal(&case), (op.name(), expected.into()));
        }
    }
}

#[test]
fn kernels_that_are_gradients_are_refused() {
    let window = PoolWindow {
        kernel: vec![2],
        stride: vec![2],
        padding: vec![0],
        dilation: vec![1],
        ceil_mode: false,
    };
    let op = Op::AvgPoolBackward { window, count_include_pad: true };
    let case = Case::new(
        "average pool backward",
        op,
        vec![real(&[1, 1, 4]), real(&[1, 1, 2])],
        &[1, 1, 4],
    );
    let (operation, reason) = refusal(&case);
    assert_eq!(operation, "AvgPoolBackward");
    assert!(reason.contains("gradient"), "{reason}");
}

#[test]
fn grid_samples_other_than_bilinear_are_refused() {
    let op = Op::GridSample2d {
        mode: Interpolation::Nearest,
        padding: GridPadding::Zeros,
        align_corners: true,
    };
    let case =
        Case::new("nearest", op, vec![real(&[1, 1, 4, 4]), real(&[1, 2, 2, 2])], &[1, 1, 2, 2]);
    assert!(refusal(&case).1.contains("bilinear"));
}

#[test]
fn windows_without_an_element_are_refused() {
    let window = PoolWindow {
        kernel: vec![2],
        stride: vec![3],
        padding: vec![2],
        dilation: vec![1],
        ceil_mode: false,
    };
    let op = Op::MaxPool { window, indices: false };
    let case = Case::new("max pool", op, vec![real(&[1, 1, 4])], &[1, 1, 3]);
    assert!(refusal(&case).1.contains("padding"));
}

#[test]
fn long_multiplying_scatters_are_refused() {
    let indices: Vec<i64> = (0..65).collect();
    let op = Op::Scatter(0, IndexingUpdateOp::Mul);
    let case =
        Case::new("scatter", op, vec![real(&[65]), ints(&[65], &indices), real(&[65])], &[65]);
    assert!(refusal(&case).1.contains("65"));
}

#[test]
fn missing_operands_are_an_error() {
    let case =
        Case::new("linear", Op::Linear { bias: true }, vec![real(&[2, 3]), real(&[3, 4])], &[2, 4]);
    let result = super::harness::try_outputs::<Flex>(&case, apply::<Flex>);
    let error = result.err().and_then(|error| error.downcast_ref().cloned());
    assert!(matches!(error, Some(ExecuteError::InputCount { .. })));
}
