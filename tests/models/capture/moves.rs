//! Integers that a closure moves through the host without looking at them, as Burn's `one_hot` does.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::{sigmoid, softmax},
};
use burn_curvature::{
    CaptureConfig, Error, Likelihood, Objective, Reduction,
    errors::{BatchError, CaptureError},
};

use super::{close, device, hessian};
use crate::failure::failure;

type Labels = Tensor<1, Int>;

type Labeled = (Tensor<2>, Labels);

const CLASSES: usize = 3;

fn net() -> Linear {
    let mut linear = LinearConfig::new(2, CLASSES).init(&device());
    let weight = [[0.5, -1.0, 0.3], [0.2, 0.7, -0.4]];
    linear.weight = Param::from_tensor(Tensor::from_floats(weight, &device()));
    linear.bias = Some(Param::from_tensor(Tensor::from_floats([0.1, -0.2, 0.05], &device())));
    linear
}

fn batch<const N: usize>(labels: [i64; N]) -> Labeled {
    let rows: Vec<f32> = (0..2 * N).map(|at| (1.7 * at as f32 + 0.3).sin()).collect();
    let x = Tensor::from_data(TensorData::new(rows, [N, 2]), &device());
    (x, Tensor::from_ints(labels, &device()))
}

/// Classes by comparison: what `one_hot` computes.
fn compared(labels: Labels) -> Tensor<2> {
    let classes = Tensor::<1, Int>::arange(0..CLASSES as i64, &labels.device());
    classes.unsqueeze::<2>().equal(labels.unsqueeze_dim(1)).float()
}

fn overlap(z: Tensor<2>, wanted: Tensor<2>) -> Tensor<1> {
    (sigmoid(z) - wanted).square().sum_dim(1).mean()
}

fn hot(model: &Linear, (x, y): Labeled) -> Tensor<1> {
    overlap(model.forward(x), y.one_hot::<2>(CLASSES).float())
}

fn reference(batch: Labeled) -> Vec<f64> {
    let objective = Objective::capture(&net(), batch, |model, (x, y): Labeled| {
        overlap(model.forward(x), compared(y))
    });
    figures(&objective.unwrap())
}

fn figures(objective: &Objective) -> Vec<f64> {
    let mut figures = objective.gradient().unwrap().to_vec().unwrap();
    figures.push(objective.value().unwrap());
    figures.extend(hessian(objective));
    figures
}

#[test]
fn one_hot_of_labels_is_recorded() {
    let first = batch([0, 2, 1]);
    let objective = Objective::capture(&net(), first.clone(), hot).unwrap();
    close(&figures(&objective), &reference(first.clone()));
    // Another batch of these sizes uses the same recording, one of others records again.
    let (x, _) = first;
    let same_sizes = (x, Tensor::from_ints([1, 1, 0], &device()));
    for other in [same_sizes, batch([2, 0, 0, 1, 2])] {
        close(&figures(&objective.on(other.clone()).unwrap()), &reference(other));
    }
}

/// Burn refuses a class that is not there with a panic; here it is an error that names the row.
#[test]
fn a_class_out_of_range_is_named_at_once_and_in_a_later_batch() {
    let objective = Objective::capture(&net(), batch([0, 2, 1]), hot).unwrap();
    for result in
        [objective.on(batch([0, 3, 1])), Objective::capture(&net(), batch([0, 3, 1]), hot)]
    {
        let error = result.unwrap_err();
        let Some(BatchError::Index { found, limit, position, .. }) = error.downcast_ref() else {
            panic!("{error}");
        };
        assert_eq!((*found, *limit, position.as_slice()), (3, CLASSES, &[1][..]));
    }
}

/// The same labels twice, labels of labels, and labels moved by hand.
#[test]
fn integers_may_be_moved_more_than_once() {
    let by_hand = |labels: Labels| {
        let device = labels.device();
        Tensor::<1, Int>::from_data(labels.into_data(), &device)
    };
    let loss = move |model: &Linear, (x, y): Labeled| {
        let z = model.forward(x);
        let turned = by_hand(by_hand(y.clone()) * 2 + 1).remainder_scalar(CLASSES as i64);
        let both = y.clone().one_hot::<2>(CLASSES) + by_hand(y).one_hot::<2>(CLASSES);
        overlap(z.clone(), both.float() * 0.5) + overlap(z, turned.one_hot::<2>(CLASSES).float())
    };
    let plain = |model: &Linear, (x, y): Labeled| {
        let z = model.forward(x);
        let turned = (y.clone() * 2 + 1).remainder_scalar(CLASSES as i64);
        overlap(z.clone(), compared(y)) + overlap(z, compared(turned))
    };
    let found = Objective::capture(&net(), batch([0, 2, 1, 1]), loss).unwrap();
    let expected = Objective::capture(&net(), batch([0, 2, 1, 1]), plain).unwrap();
    close(&figures(&found), &figures(&expected));
    let other = batch([2, 2, 0, 1]);
    close(&figures(&found.on(other.clone()).unwrap()), &figures(&expected.on(other).unwrap()));
}

/// A mixture of experts routes by the class that the parameters choose.
#[test]
fn one_hot_of_what_the_parameters_decide_is_recorded() {
    let routed = |model: &Linear, x: Tensor<2>| {
        let z = model.forward(x);
        let chosen: Tensor<2> = z.clone().argmax(1).squeeze_dim::<1>(1).one_hot(CLASSES).float();
        (softmax(z, 1) * chosen).sum_dim(1).log().mean()
    };
    let plain = |model: &Linear, x: Tensor<2>| {
        let z = model.forward(x);
        let chosen = compared(z.clone().argmax(1).squeeze_dim::<1>(1));
        (softmax(z, 1) * chosen).sum_dim(1).log().mean()
    };
    let x = batch([0; 6]).0;
    let found = Objective::capture(&net(), x.clone(), routed).unwrap();
    let expected = Objective::capture(&net(), x, plain).unwrap();
    close(&figures(&found), &figures(&expected));
    // At parameters that choose others.
    let turned = |one: &Objective| one.at(&one.parameters().clone().scale(-1.0)).unwrap();
    close(&figures(&turned(&found)), &figures(&turned(&expected)));
}

/// A mean over samples, with the Fisher matrix of the likelihood.
#[test]
fn the_samples_are_followed_through_one_hot() {
    let loss = |model: &Linear, (x, y): Labeled| {
        let z = model.forward(x);
        let hot = y.one_hot::<2>(CLASSES).float();
        let losses = (burn::tensor::activation::log_softmax(z.clone(), 1) * hot).sum_dim(1);
        (z, losses.mean().neg())
    };
    let objective = CaptureConfig::new().init(&net(), batch([0, 2, 1, 1]), loss).unwrap();
    let batches = [batch([0, 2, 1, 1]), batch([2, 0, 1])];
    let mean = objective.over(batches, Reduction::Mean).unwrap();
    burn_curvature::KfacConfig::new().init(&mean, Likelihood::Categorical).unwrap();
}

fn read(result: Result<Objective, Error>) -> String {
    let error: &CaptureError = failure(&result).expect("refused");
    assert!(matches!(error, CaptureError::Read { .. }), "{error}");
    error.to_string()
}

#[test]
fn integers_that_are_looked_at_are_refused() {
    let counted = |model: &Linear, (x, y): Labeled| {
        let zeros = y.to_data().iter::<i64>().filter(|label| *label == 0).count();
        overlap(model.forward(x), compared(y)) * (1.0 + zeros as f64)
    };
    let message = read(Objective::capture(&net(), batch([0, 2, 1]), counted));
    assert!(message.contains("tensor 1 of the batch (int, shape [3])"), "{message}");
    assert!(message.contains("`usize`"), "{message}");
    let scalar = |model: &Linear, (x, y): Labeled| {
        let largest: i64 = y.clone().max().into_scalar();
        overlap(model.forward(x), compared(y)) * largest as f64
    };
    read(Objective::capture(&net(), batch([0, 2, 1]), scalar));
    // After a move that is allowed, and before one.
    for first in [true, false] {
        let both = move |model: &Linear, (x, y): Labeled| {
            let hot = |y: Labels| y.one_hot::<2>(CLASSES).float();
            let early = first.then(|| hot(y.clone()));
            let data = y.to_data();
            let longest = data.iter::<i64>().max().unwrap();
            let wanted = early.unwrap_or_else(|| hot(y));
            overlap(model.forward(x), wanted) * longest as f64
        };
        read(Objective::capture(&net(), batch([0, 2, 1]), both));
    }
    // Bytes in another shape.
    let reshaped = |model: &Linear, (x, y): Labeled| {
        let (bytes, shape, dtype) = y.clone().into_data().into_parts();
        let data = TensorData::from_bytes(bytes, [1, shape.num_elements()], dtype);
        let again = Tensor::<2, Int>::from_data(data, &y.device());
        overlap(model.forward(x), compared(again.squeeze_dim(0)))
    };
    read(Objective::capture(&net(), batch([0, 2, 1]), reshaped));
    // Floats are no classes.
    let floats = |model: &Linear, (x, y): Labeled| {
        overlap(model.forward(x), y.float().one_hot::<2>(CLASSES))
    };
    let message = read(Objective::capture(&net(), batch([0, 2, 1]), floats));
    assert!(message.contains("integers before `one_hot`"), "{message}");
}
