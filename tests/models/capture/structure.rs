//! What a batch is made of: options, lists, plain values, long tuples.

use burn::{module::Param, prelude::*};
use burn_curvature::{Objective, Precision};

use super::device;

/// One weight.
#[derive(Module, Debug)]
struct Slope {
    w: Param<Tensor<2>>,
}

fn slope(w: f32) -> Slope {
    Slope { w: Param::from_tensor(Tensor::from_floats([[w]], &device())) }
}

type Weighted = (Tensor<1>, Option<Tensor<1>>, Option<Tensor<1>>);

#[test]
fn the_structure_of_a_batch_is_part_of_what_is_recorded() {
    let one = |value: f32| Tensor::<1>::from_floats([value], &device());
    let loss = |model: &Slope, (x, mask, weight): Weighted| {
        let mut product = x * model.w.val().flatten(0, 1);
        if let Some(mask) = mask {
            product = product * mask;
        }
        if let Some(weight) = weight {
            product = product * weight.exp();
        }
        product.sum()
    };
    let masked: Weighted = (one(3.0), Some(one(2.0)), None);
    let objective = Objective::capture(&slope(1.0), masked.clone(), loss).unwrap();
    let objective = objective.in_f64().unwrap();
    near(objective.value().unwrap(), 6.0);
    let weighted: Weighted = (one(3.0), None, Some(one(2.0)));
    near(objective.on(weighted.clone()).unwrap().value().unwrap(), 3.0 * 2f64.exp());
    near(objective.on::<Weighted>((one(3.0), None, None)).unwrap().value().unwrap(), 3.0);
    near(objective.on(masked).unwrap().value().unwrap(), 6.0);
    let weighted = objective.on(weighted).unwrap().in_precision(Precision::F32);
    assert!((weighted.unwrap().value().unwrap() - 3.0 * 2f64.exp()).abs() < 1e-5);
    let error = objective.on((one(3.0), one(2.0))).map(drop).unwrap_err().to_string();
    assert!(error.contains("✓ Float of rank 1, ✗ Float of rank 1 for Some"), "{error}");

    let powers = |model: &Slope, (x, powers, half): (Tensor<1>, Vec<Tensor<1>>, f64)| {
        let w = model.w.val().flatten(0, 1);
        powers.into_iter().fold(x * w * half, |product, power| product * power).sum()
    };
    let batch = |count: usize, half: f64| (one(3.0), vec![one(2.0); count], half);
    let objective = Objective::capture(&slope(1.0), batch(1, 0.5), powers).unwrap();
    for (count, half) in [(0, 0.5), (1, 0.5), (3, 0.5), (3, 2.0), (1, 0.5)] {
        let found = objective.on(batch(count, half)).unwrap().value().unwrap();
        assert_eq!(found, 3.0 * half * 2f64.powi(count as i32));
    }
}

#[test]
fn batches_are_tuples_of_up_to_twelve() {
    let one = || Tensor::<1>::ones([1], &device());
    let batch =
        || (one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one());
    let objective = Objective::capture(&slope(2.0), batch(), |model, batch| {
        let (a, b, c, d, e, f, g, h, i, j, k, l) = batch;
        (a + b + c + d + e + f + g + h + i + j + k + l) * model.w.val().flatten(0, 1)
    });
    assert_eq!(objective.unwrap().value().unwrap(), 24.0);
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12 * b.abs(), "{a} for {b}");
}
