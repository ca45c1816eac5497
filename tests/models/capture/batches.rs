//! Other batches than the one traced: sizes, kinds, devices and types of the user's.

use burn::prelude::*;
use burn_curvature::{
    Batch, BatchMapper, Error, Objective, ParamVector,
    errors::{BatchError, VectorError},
};

use super::{Small, batch, device, refusal, small, squared_error};

#[test]
fn one_recording_serves_every_batch_and_every_size_is_recorded_when_it_comes() {
    let model = small();
    let objective = Objective::capture(&model, batch(5), squared_error).expect("a traceable model");
    for rows in [5, 2, 7, 2] {
        let there = objective.on(batch(rows)).expect("a batch of the same kinds");
        let fresh =
            Objective::capture(&model, batch(rows), squared_error).expect("a traceable model");
        assert_eq!(there.value().expect("a loss"), fresh.value().expect("a loss"));
        let gradients = [there, fresh]
            .map(|one| one.gradient().and_then(|g| Ok(g.to_vec()?)).expect("a gradient"));
        assert_eq!(gradients[0], gradients[1]);
    }
}

#[test]
fn a_batch_of_other_kinds_or_ranks_is_refused() {
    let objective =
        Objective::capture(&small(), batch(5), squared_error).expect("a traceable model");
    let (x, y) = batch(5);
    let error: BatchError = refusal(objective.on((x.clone(), y.clone().flatten::<1>(0, 1))));
    assert!(matches!(&error, BatchError::Other { .. }), "{error}");
    assert!(error.to_string().contains("Float of rank 1"), "{error}");
    assert!(matches!(refusal(objective.on(x)), BatchError::Other { .. }));
}

#[test]
fn an_empty_batch_is_refused() {
    let objective =
        Objective::capture(&small(), batch(5), squared_error).expect("a traceable model");
    let empty = (Tensor::<2>::zeros([0, 3], &device()), Tensor::<2>::zeros([0, 2], &device()));
    let error: BatchError = refusal(objective.on(empty.clone()));
    assert_eq!(error, BatchError::Empty { position: 0, shape: vec![0, 3] });
    let error: BatchError = refusal(Objective::capture(&small(), empty, squared_error));
    assert_eq!(error, BatchError::Empty { position: 0, shape: vec![0, 3] });
}

/// Beside `Module`, whose tensors have a `map` too.
#[derive(Clone)]
struct Pairs {
    x: Tensor<2>,
    y: Tensor<2>,
}

impl Batch for Pairs {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        Self { x: self.x.map_tensors(mapper), y: self.y.map_tensors(mapper) }
    }
}

#[test]
fn a_batch_may_be_a_type_of_the_users() {
    let pairs = |rows| {
        let (x, y) = batch(rows);
        Pairs { x, y }
    };
    let loss = |model: &Small, batch: Pairs| squared_error(model, (batch.x, batch.y));
    let own = Objective::capture(&small(), pairs(5), loss).expect("a traceable model");
    let tuple = Objective::capture(&small(), batch(5), squared_error).expect("a traceable model");
    for rows in [5, 3] {
        assert_eq!(
            own.on(pairs(rows)).and_then(|there| there.value()).unwrap(),
            tuple.on(batch(rows)).and_then(|there| there.value()).unwrap()
        );
    }
}

#[test]
fn a_batch_or_a_vector_on_another_device_is_refused_at_once() {
    let objective =
        Objective::capture(&small(), batch(5), squared_error).expect("a traceable model");
    let elsewhere = Device::ndarray();
    let (x, y) = batch(5);
    let moved = objective.on((x.to_device(&elsewhere), y.to_device(&elsewhere)));
    let refused = |error: &Error| {
        matches!(error.downcast_ref(), Some(VectorError::DeviceMismatch { expected, found })
            if expected.contains("Flex") && found.contains("NdArray"))
    };
    let error = moved.map(drop).expect_err("a batch on another device");
    assert!(refused(&error), "{error}");
    let values = Tensor::<1>::ones([objective.layout().len()], &elsewhere);
    let vector = ParamVector::from_tensor(objective.layout(), values).expect("a vector");
    let product = objective.hessian_vector_product(&vector).map(drop);
    let error = product.expect_err("a vector on another device");
    assert!(refused(&error), "{error}");
    let error = objective.at(&vector).map(drop);
    let error = error.expect_err("parameters on another device");
    assert!(refused(&error), "{error}");
}
