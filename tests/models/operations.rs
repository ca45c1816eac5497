//! How many operations a product hands to a device for each vector.

use burn::prelude::*;
use burn_curvature::Objective;

use crate::models::{cnn, mlp, tiny, transformer};

/// Operations of a prepared Hessian and Gauss-Newton product.
macro_rules! operations {
    ($model:ident) => {{
        let case = $model::case(&Device::default().autodiff());
        let objective = Objective::capture(&case.model, case.batch.clone(), case.loss).unwrap();
        let (_, hessian) = objective.hessian_programs().unwrap();
        let (_, gauss_newton) = objective.gauss_newton_programs().unwrap();
        (hessian.len(), gauss_newton.len())
    }};
}

#[test]
fn products_hand_few_operations_to_a_device() {
    let at_most = |(hessian, gauss_newton): (usize, usize), bounds: (usize, usize)| {
        assert!(hessian <= bounds.0 && gauss_newton <= bounds.1, "{hessian}, {gauss_newton}");
    };
    at_most(operations!(tiny), (27, 19));
    at_most(operations!(mlp), (49, 33));
    at_most(operations!(cnn), (76, 64));
    at_most(operations!(transformer), (504, 336));
}
