//! Models in f64 whose closures name that type, as Burn demands where it meets other numbers.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::DType,
};
use burn_curvature::{CaptureConfig, Objective};

use super::device;

#[derive(Module, Debug)]
struct Weights {
    w: Param<Tensor<1>>,
}

fn double(values: &[f64]) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&device(), DType::F64))
}

/// Σ c·w²·mask with a constant that f32 cannot hold, for batches of several sizes.
#[test]
fn closures_may_name_the_type_of_their_model() {
    const C: f64 = 1.0 + 1e-12;
    let model = Weights { w: Param::from_tensor(double(&[3.0])) };
    let loss = |model: &Weights, mask: Tensor<1, Bool>| -> Tensor<1> {
        let w = model.w.val();
        let constant = Tensor::<1>::full([1], C, (&w.device(), DType::F64));
        let data = TensorData::new(vec![C], [1]);
        let other = Tensor::<1>::from_data(data, (&w.device(), DType::F64));
        (w.square() * (constant + other) * 0.5 * mask.float().cast(DType::F64)).sum()
    };
    let mask = |mask: &[bool]| Tensor::<1, Bool>::from_data(mask, &device());
    let first = mask(&[true, false]);
    let objective = Objective::capture(&model, first.clone(), loss).unwrap();
    let second = objective.on(mask(&[true, true, true])).unwrap();
    let trained = CaptureConfig::new().training(1).init(&model, first, loss).unwrap();
    for (objective, n) in [(objective, 1.0), (second, 3.0), (trained, 1.0)] {
        let one = objective.parameters().space().ones();
        let product = objective.hessian_vector_product(&one).unwrap().to_vec().unwrap()[0];
        let gradient = objective.gradient().unwrap().to_vec().unwrap()[0];
        let pairs = [(objective.value().unwrap(), 9.0), (gradient, 6.0), (product, 2.0)];
        for (found, of_one) in pairs {
            assert!((found / (n * of_one) - C).abs() < 1e-14, "{found}");
        }
    }
}
