//! Time before samples, and outputs whose rows are places.

use burn::{module::Module, nn, prelude::*, tensor::activation::softmax};
use burn_curvature::{
    CaptureConfig, LinearOperator, Objective, Reduction,
    errors::KfacError,
    kfac::{KfacApproximation, KfacFisher},
};

use super::{
    super::{GAUSSIAN, squared, without_draws, worst},
    B, Batch, CLASSES, DRAWN, Deep, One, close, config, device, diagonal, labels, one_weight,
    random,
};

/// A batch that puts time first.
#[derive(Clone)]
struct ByTime {
    x: Tensor<3>,
    y: Tensor<2>,
}

impl burn_curvature::Batch for ByTime {
    fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
        Self { y: self.y.map_tensors(mapper), x: self.x.map_tensors(mapper) }
    }

    fn samples(&self) -> Option<usize> {
        Some(self.y.dims()[0])
    }
}

/// z is the mean over time of x w. Sample 0 has x = 1, 5, sample 1 has 3, 7: reduced Σ of (3², 5²) = 34.
#[test]
fn time_first_is_understood() {
    let by_time = Tensor::<3>::from_floats([[[1.0], [3.0]], [[5.0], [7.0]]], &device());
    let batch = ByTime { x: by_time, y: Tensor::from_floats([[2.0], [3.0]], &device()) };
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &one_weight(1.0),
        batch,
        |model: &One, ByTime { x, y }: ByTime| {
            let z: Tensor<2> = x.matmul(model.w.val().unsqueeze()).mean_dim(0).squeeze_dim(0);
            (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
        },
    );
    let objective = objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Sum).unwrap();
    let v = objective.parameters().space().ones();
    let found = |fisher| {
        let config = config(fisher, KfacApproximation::Reduce);
        config.init(&objective, GAUSSIAN).unwrap().apply(&v).unwrap().to_vec().unwrap()[0]
    };
    assert!((found(KfacFisher::Exact) - 34.0).abs() < 1e-10, "{}", found(KfacFisher::Exact));
    let drawn = found(KfacFisher::MonteCarlo { draws: 20_000, seed: 1 });
    assert!((drawn - 34.0).abs() < 1.0, "{drawn}");
}

/// 3 → 4 → 2 with the mean over time: the same numbers, time first and samples first.
#[test]
fn time_first_has_the_factors_of_samples_first() {
    let (x, y) = (random::<3>([6, 5, 3], 1), random::<2>([5, 2], 2));
    let product = |time_first: bool, approximation| {
        let x = if time_first { x.clone() } else { x.clone().swap_dims(0, 1) };
        let objective = Objective::<B>::capture_with(
            &CaptureConfig::new(),
            &Deep::new(&[3, 4, 2], true),
            (y.clone(), x),
            move |model: &Deep, (y, x): (Tensor<2>, Tensor<3>)| {
                let time = usize::from(!time_first);
                let z: Tensor<2> = model.forward(x).mean_dim(time).squeeze_dim(time);
                (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
            },
        );
        let objective = objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Sum).unwrap();
        let config = config(KfacFisher::Empirical, approximation);
        let v = objective.parameters().space().normal(3);
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        [kfac.apply(&v), ekfac.apply(&v)].map(|found| found.unwrap().to_vec().unwrap())
    };
    for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
        let (one, two) = (product(true, approximation), product(false, approximation));
        for (one, two) in one.iter().flatten().zip(two.iter().flatten()) {
            assert!((one - two).abs() < 1e-11, "{approximation:?}: {one}, {two}");
        }
    }
}

#[derive(Module, Debug)]
struct Attending {
    query: nn::Linear,
    value: nn::Linear,
    output: nn::Linear,
}

/// A language model in small: a class at every place, attention from place to place.
fn language(merged: bool) -> Objective<B> {
    let layer = |widths: &[usize]| Deep::new(widths, true).layers.remove(0);
    let model = Attending { query: layer(&[4, 4]), value: layer(&[4, 4]), output: layer(&[4, 3]) };
    let forward = |model: &Attending, x: Tensor<3>| {
        let scores = model.query.forward(x.clone()).matmul(x.clone().swap_dims(1, 2));
        let mixed = softmax(scores, 2).matmul(model.value.forward(x));
        model.output.forward(mixed)
    };
    let batch = (random([4, 5, 4], 5), labels(20));
    let config = CaptureConfig::new();
    let loss =
        |z: Tensor<2>, y| nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z, y);
    let objective = if merged {
        Objective::<B>::capture_with(&config, &model, batch, move |model, (x, y): Batch| {
            let z = forward(model, x).reshape([20, 3]);
            (z.clone(), loss(z, y))
        })
    } else {
        Objective::<B>::capture_with(&config, &model, batch, move |model, (x, y): Batch| {
            let z = forward(model, x);
            // Summed over the places and averaged over the sequences.
            (z.clone(), loss(z.reshape([20, 3]), y) * 5.0)
        })
    };
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
}

#[test]
fn rows_that_are_places_are_refused_by_name_or_drawn() {
    for merged in [true, false] {
        let objective = language(merged);
        let exact = config(KfacFisher::Exact, KfacApproximation::Expand);
        let error = exact.init(&objective, CLASSES).unwrap_err();
        let Some(KfacError::Places { parameter, .. }) = error.downcast_ref() else {
            panic!("{error}");
        };
        assert!(parameter.ends_with(".weight"), "{parameter}");
        assert!(error.to_string().contains("MonteCarlo"), "{error}");
        let empirical = config(KfacFisher::Empirical, KfacApproximation::Expand);
        let made = empirical.init(&objective, CLASSES);
        assert_eq!(made.is_err(), merged);
        for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
            let kfac = config(DRAWN, approximation).init(&objective, CLASSES).unwrap();
            assert_eq!(kfac.layers().len(), 3, "{}", kfac.coverage());
        }
        let ekfac = config(DRAWN, KfacApproximation::Expand);
        let ekfac = ekfac.init_ekfac(&objective, CLASSES).unwrap();
        if !merged {
            let truth = diagonal(&objective, CLASSES, DRAWN);
            let expected: f64 = truth.to_vec().unwrap().iter().sum();
            close(ekfac.trace().unwrap(), expected, "corrected");
        }
    }
}

/// A sequence is one sample: drawn places of merged rows average to the exact blocks.
#[test]
fn drawn_places_tend_to_the_fisher_matrix() {
    let objective = language(true);
    let truth: f64 =
        diagonal(&objective, CLASSES, KfacFisher::Exact).to_vec().unwrap().iter().sum();
    let fisher = KfacFisher::MonteCarlo { draws: 2000, seed: 3 };
    let ekfac = config(fisher, KfacApproximation::Expand).init_ekfac(&objective, CLASSES).unwrap();
    let found = ekfac.trace().unwrap();
    assert!((found - truth).abs() < 0.05 * truth, "{found}, {truth}");
}

/// Rows that nothing mixes: exact at every place, although outputs have places.
#[test]
fn a_loss_at_every_place_is_exact_where_nothing_mixes_places() {
    let model = Deep::new(&[3, 4, 2], true);
    for form in [[4, 5, 3], [2, 33, 3], [1, 5, 3]] {
        let objective =
            squared(&model, random(form, 8), Reduction::Mean, |model, x| model.forward::<3>(x));
        let error = worst(&objective, GAUSSIAN, &without_draws());
        assert!(error < 1e-12, "{form:?}: {error}");
    }
}
