//! A captured closure is one loss: in every precision, and at every size.

use std::sync::{Arc, Mutex};

use burn::prelude::*;
use burn_curvature::Objective;

use super::{Weights, close, device, hessian, refused, weights};

/// mean (xw)² + ½λ‖w‖², with λ from outside.
fn penalized(
    cell: &Arc<Mutex<f64>>,
) -> impl Fn(&Weights<2>, Tensor<2>) -> Tensor<1> + Send + use<> {
    let cell = Arc::clone(cell);
    move |m, x| {
        let lambda = *cell.lock().unwrap();
        x.matmul(m.w.val()).square().mean() + m.w.val().square().sum() * (0.5 * lambda)
    }
}

fn zeros(rows: usize) -> Tensor<2> {
    Tensor::zeros([rows, 2], &device())
}

#[test]
fn other_precisions_come_from_the_same_recording() {
    let cell = Arc::new(Mutex::new(1.0));
    let model = weights([[0.25], [-0.75]]);
    let objective = Objective::capture(&model, zeros(4), penalized(&cell)).unwrap();
    *cell.lock().unwrap() = 2.0;
    close(&hessian(&objective), &[1.0, 0.0, 0.0, 1.0]); // `hessian` works in f64
}

#[test]
fn a_closure_that_has_changed_is_not_recorded_at_other_sizes() {
    let cell = Arc::new(Mutex::new(1.0));
    let model = weights([[0.25], [-0.75]]);
    let objective = Objective::capture(&model, zeros(4), penalized(&cell)).unwrap();
    assert!(objective.on(zeros(5)).is_ok());
    *cell.lock().unwrap() = 2.0;
    close(&hessian(&objective.on(zeros(4)).unwrap()), &[1.0, 0.0, 0.0, 1.0]);
    let begins = "the closure does something else when it is called again: operation";
    refused(objective.on(zeros(3)), begins);
}
