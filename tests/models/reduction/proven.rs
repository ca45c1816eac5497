//! Scalar losses: what is no mean or sum over samples is refused, on all batches and at all parameters.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::log_softmax,
};
use burn_curvature::{Hessian, LinearOperator, Objective, Reduction};

use super::{
    Slope, THETA, at, class_weights, class_weights_said, close, device, labels, logits,
    not_reduced, padded, padded_and_said, slope,
};

#[test]
fn a_mean_over_the_tokens_that_count_is_refused_or_said() {
    let cases = [
        (vec![labels([0, 0, 0, 0]), labels([1, 2, 2, 2])], (4.0 * 8f64.ln() + 4f64.ln()) / 5.0),
        (vec![labels([1, 2, 2, 2]), labels([0, 0, 0, 0])], (4.0 * 8f64.ln() + 4f64.ln()) / 5.0),
        (
            vec![labels([1, 2, 0, 0]), labels([0, 0, 1, 1])],
            (4.0 * 8f64.ln() + 3.0 * 4f64.ln()) / 7.0,
        ),
    ];
    for (batches, expected) in cases {
        for theta in [THETA, [0.0; 3]] {
            let model = logits(theta);
            let plain = Objective::capture(&model, batches[0].clone(), padded).unwrap();
            let message = not_reduced(plain.over(batches.clone(), Reduction::Mean));
            assert!(message.contains("Loss::weighted"), "{message}");
            assert!(message.contains("a value that the batch decides"), "{message}");
            let own = batches.clone();
            not_reduced(plain.over_stream(Reduction::Mean, move |visit| {
                own.clone().into_iter().try_for_each(visit)
            }));
            not_reduced(plain.reduced_by(Reduction::Mean));
            not_reduced(plain.over(batches.clone(), Reduction::Sum));

            let said = Objective::capture(&model, batches[0].clone(), padded_and_said).unwrap();
            let said = at(&said, &THETA);
            assert_eq!(said.reduction(), Some(Reduction::Mean));
            close(said.over(batches.clone(), Reduction::Mean).unwrap().value().unwrap(), expected);
            let own = batches.clone();
            let stream = said.over_stream(Reduction::Mean, move |visit| {
                own.clone().into_iter().try_for_each(visit)
            });
            close(stream.unwrap().value().unwrap(), expected);
        }
    }
}

#[test]
fn class_weights_are_refused_or_said() {
    let ones = (4f64.ln() + 3.0 * (4.0 / 3.0f64).ln()) / 4.0;
    let cases = [
        (vec![labels([0]), labels([1])], ones),
        (
            vec![labels([0, 1, 0, 1]), labels([1, 1])],
            (2.0 * 4f64.ln() + 12.0 * (4.0 / 3.0f64).ln()) / 14.0,
        ),
    ];
    let theta = [0.0, 3f64.ln(), 0.0];
    for (batches, expected) in cases {
        for theta in [theta, [0.0; 3]] {
            let model = logits(theta);
            let plain = Objective::capture(&model, batches[0].clone(), class_weights).unwrap();
            let message = not_reduced(plain.over(batches.clone(), Reduction::Mean));
            assert!(message.contains("class weights"), "{message}");
        }
        let said = Objective::capture(&logits(theta), batches[0].clone(), class_weights_said);
        let said = at(&said.unwrap(), &theta).over(batches, Reduction::Mean).unwrap();
        assert!((said.value().unwrap() - expected).abs() < 1e-12);
    }
    let batches = [labels([0]), labels([1])];
    let said = Objective::capture(&logits([0.0; 3]), batches[0].clone(), class_weights_said);
    let said = at(&said.unwrap(), &[0.0; 3]).over(batches, Reduction::Mean).unwrap();
    let gradient = said.gradient().unwrap().to_vec().unwrap();
    // Labels 0 and 1 with the weights 1 and 3 at p = ½: (−½ + 3·½)/4.
    for (found, expected) in gradient.iter().zip([0.25, -0.25, 0.0]) {
        close(*found, expected);
    }
}

#[derive(Module, Debug)]
struct Center {
    theta: Param<Tensor<1>>,
}

#[test]
fn samples_are_found_wherever_they_are() {
    let model = Center { theta: Param::from_tensor(Tensor::zeros([2], &device())) };
    let batch = |rows: usize, value: f32| {
        let x = Tensor::<2>::from_floats([[value, 0.0]], &device()).repeat_dim(0, rows);
        (Tensor::<2>::ones([1, 2], &device()), x)
    };
    let loss = |model: &Center, (scale, x): (Tensor<2>, Tensor<2>)| {
        let n = x.dims()[0] as f64;
        (x * scale - model.theta.val().unsqueeze()).powf_scalar(2.0).sum() / (2.0 * n)
    };
    let objective = Objective::capture(&model, batch(5, 1.0), loss).unwrap().in_f64().unwrap();
    for batches in [[batch(5, 1.0), batch(2, 2.0)], [batch(2, 2.0), batch(5, 1.0)]] {
        let risk = objective.over(batches, Reduction::Mean).unwrap();
        close(risk.value().unwrap(), 6.5 / 7.0);
    }
    not_reduced(objective.over([batch(5, 1.0), batch(2, 2.0)], Reduction::Sum));
    // Time first.
    let batch = |samples: usize, value: f32| Tensor::<3>::full([6, samples, 1], value, &device());
    let loss =
        |model: &Slope, x: Tensor<3>| (x * model.w.val().unsqueeze()).powf_scalar(2.0).mean();
    let objective = Objective::capture(&slope(1.0), batch(4, 1.0), loss).unwrap();
    let objective = objective.in_f64().unwrap();
    let risk = objective.over([batch(4, 1.0), batch(2, 2.0)], Reduction::Mean).unwrap();
    close(risk.value().unwrap(), 2.0);
}

#[test]
fn an_exact_fit_hides_no_wrong_name() {
    let x = Tensor::<2>::from_floats([[1.0], [2.0], [3.0], [4.0]], &device());
    let loss = |model: &Slope, x: Tensor<2>| {
        (x.clone().matmul(model.w.val()) - x * 2.0).powf_scalar(2.0).mean()
    };
    for x in [x.clone(), x.clone().narrow(0, 0, 1)] {
        let objective = Objective::capture(&slope(2.0), x.clone(), loss).unwrap();
        let objective = objective.in_f64().unwrap();
        not_reduced(objective.over([x.clone(), x.clone()], Reduction::Sum));
        not_reduced(objective.reduced_by(Reduction::Sum));
        let mean = objective.over([x.clone(), x.clone()], Reduction::Mean).unwrap();
        let one = mean.parameters().space().ones();
        let squares = x.powf_scalar(2.0).mean().into_scalar::<f64>();
        close(
            Hessian::new(&mean).unwrap().apply(&one).unwrap().to_vec().unwrap()[0],
            2.0 * squares,
        );
    }
}

#[test]
fn what_is_no_mean_over_samples_is_refused() {
    let x = Tensor::<2>::from_floats([[1.0], [2.0], [-3.0], [4.0]], &device());
    let batches = [x.clone(), x.narrow(0, 0, 2)];
    type Case = fn(&Slope, Tensor<2>) -> Tensor<1>;
    let cases: [(&str, Case); 5] = [
        ("root", |model, x| (x * model.w.val()).powf_scalar(2.0).mean().sqrt()),
        ("mean of features", |model, x| (x * model.w.val()).mean_dim(0).powf_scalar(2.0).sum()),
        ("centered", |model, x| {
            let z = x * model.w.val();
            (z.clone() - z.mean_dim(0)).powf_scalar(2.0).mean()
        }),
        ("pairs", |model, x| {
            let z = x * model.w.val();
            log_softmax(z.clone().matmul(z.transpose()), 1).mean()
        }),
        ("other factor", |model, x| {
            let n = x.dims()[0] as f64;
            (x * model.w.val()).powf_scalar(2.0).sum() / (n * n)
        }),
    ];
    for (name, loss) in cases {
        for w in [0.01, 1.5] {
            let objective = Objective::capture(&slope(w), batches[0].clone(), loss).unwrap();
            for reduction in [Reduction::Mean, Reduction::Sum] {
                let message = not_reduced(objective.over(batches.clone(), reduction));
                assert!(message.contains("Loss"), "{name}, {w}: {message}");
            }
        }
    }
    // A weight decay is a part of a mean, and of no sum.
    let decay = |model: &Slope| model.w.val().powf_scalar(2.0).sum() * 0.5;
    let mean = move |model: &Slope, x: Tensor<2>| (x * model.w.val()).mean() + decay(model);
    let sum = move |model: &Slope, x: Tensor<2>| (x * model.w.val()).sum() + decay(model);
    let objective = Objective::capture(&slope(2.0), batches[0].clone(), mean).unwrap();
    let risk = objective.in_f64().unwrap().over(batches.clone(), Reduction::Mean).unwrap();
    close(risk.value().unwrap(), 2.0 * 7.0 / 6.0 + 2.0);
    let objective = Objective::capture(&slope(2.0), batches[0].clone(), sum).unwrap();
    let message = not_reduced(objective.over(batches.clone(), Reduction::Sum));
    assert!(message.contains("weight decay"), "{message}");
}

#[test]
fn a_later_batch_keeps_the_reduction() {
    let loss = |model: &Slope, x: Tensor<2>| {
        let z = (x.clone() * model.w.val()).powf_scalar(2.0);
        if x.dims()[0] == 3 { z.sum() } else { z.mean() }
    };
    let x = |rows: usize| Tensor::<2>::ones([rows, 1], &device());
    let objective = Objective::capture(&slope(2.0), x(4), loss).unwrap();
    assert_eq!(objective.on(x(3)).unwrap().value().unwrap(), 12.0);
    let mean = objective.reduced_by(Reduction::Mean).unwrap();
    for rows in [1, 2, 4, 7] {
        assert_eq!(mean.on(x(rows)).unwrap().value().unwrap(), 4.0);
    }
    not_reduced(mean.on(x(3)));
    not_reduced(objective.over([x(4), x(3)], Reduction::Mean));
}

/// Time first, and counted by the batch.
#[derive(Clone)]
struct Sequences(Tensor<3>, usize);

impl burn_curvature::Batch for Sequences {
    fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_tensors(mapper), self.1)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.1)
    }
}

#[test]
fn a_number_of_samples_that_a_batch_states_is_checked() {
    let batch = |samples: usize, stated: usize| {
        Sequences(Tensor::<3>::full([6, samples, 1], samples as f32, &device()), stated)
    };
    let loss =
        |model: &Slope, x: Sequences| (x.0 * model.w.val().unsqueeze()).powf_scalar(2.0).mean();
    let objective = Objective::capture(&slope(1.0), batch(4, 4), loss).unwrap();
    let objective = objective.in_f64().unwrap();
    let risk = objective.over([batch(4, 4), batch(2, 2)], Reduction::Mean).unwrap();
    close(risk.value().unwrap(), (4.0 * 16.0 + 2.0 * 4.0) / 6.0);
    let message = not_reduced(objective.over([batch(4, 4), batch(2, 3)], Reduction::Mean));
    assert!(message.contains("3 samples"), "{message}");
}

#[test]
fn outputs_with_a_bias_are_summed_and_subtracted() {
    #[derive(Module, Debug)]
    struct Biased {
        w: Param<Tensor<2>>,
        b: Param<Tensor<1>>,
    }
    let model = Biased {
        w: Param::from_tensor(Tensor::from_floats([[2.0], [-1.0]], &device())),
        b: Param::from_tensor(Tensor::from_floats([0.5], &device())),
    };
    fn forward(model: &Biased, x: Tensor<2>) -> Tensor<2> {
        x.matmul(model.w.val()) + model.b.val().unsqueeze()
    }
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 1.0], [0.0, -1.0]], &device());
    let batches = [x.clone().narrow(0, 0, 2), x.clone().narrow(0, 2, 1)];
    let objective =
        Objective::capture(&model, x.clone(), |model, x| forward(model, x).sum()).unwrap();
    let sum = objective.over(batches.clone(), Reduction::Sum).unwrap();
    assert_eq!(sum.value().unwrap(), 7.5);
    not_reduced(objective.over(batches.clone(), Reduction::Mean));
    let pairs = batches.map(|x| (x.clone(), x * 3.0));
    let objective = Objective::capture(&model, (x.clone(), x * 3.0), |model, (real, fake)| {
        forward(model, fake).mean() - forward(model, real).mean()
    });
    let mean = objective.unwrap().over(pairs, Reduction::Mean).unwrap();
    assert!((mean.value().unwrap() - 4.0).abs() < 1e-6); // 2·(2·4 − 2)/3
}

/// ℓₙ(w) = ½(w − xₙ)², and a penalty ½(w − a)² around an anchor that the batch holds.
#[test]
fn a_term_without_samples_is_named_with_what_to_do() {
    type Anchored = (Tensor<2>, Tensor<1>);
    let half = |t: Tensor<1>| t.square() * 0.5;
    let penalty = move |w: &Slope, anchor: Tensor<1>| half(w.w.val().reshape([1]) - anchor).log();
    let losses =
        move |w: &Slope, x: Tensor<2>| half((w.w.val().expand(x.dims()) - x).squeeze_dim::<1>(1));
    let batch = |values: &[f32]| -> Anchored {
        let x = Tensor::<1>::from_floats(values, &device()).unsqueeze_dim(1);
        (x, Tensor::from_floats([3.0], &device()))
    };
    let model = slope(1.0);
    let loss = move |w: &Slope, (x, anchor): Anchored| losses(w, x).mean() + penalty(w, anchor);
    let plain = Objective::capture(&model, batch(&[1.0, 2.0, 4.0, 5.0]), loss).unwrap();
    let message = not_reduced(plain.reduced_by(Reduction::Mean));
    assert!(
        message.contains("Log, is computed from tensors of the batch that are common"),
        "{message}"
    );
    assert!(message.contains("Loss::mean_of(losses + term)"), "{message}");

    let loss = move |w: &Slope, (x, anchor): Anchored| {
        let losses = losses(w, x);
        let shared = penalty(w, anchor).expand(losses.dims());
        burn_curvature::Loss::mean_of(losses + shared)
    };
    let said = Objective::capture(&model, batch(&[1.0, 2.0, 4.0, 5.0]), loss).unwrap();
    assert_eq!(said.reduction(), Some(Reduction::Mean));
    let said = said.in_f64().unwrap();
    let said = said.over([batch(&[1.0, 2.0]), batch(&[4.0])], Reduction::Mean).unwrap();
    // (0 + ½ + 4½)/3 and ln 2
    close(said.value().unwrap(), 5.0 / 3.0 + 2f64.ln());

    // Held by the model, frozen, it is a term without samples, which a mean may have.
    let model = (slope(1.0), slope(3.0).no_grad());
    let x = Tensor::<2>::from_floats([[1.0], [2.0], [4.0], [5.0]], &device());
    let held = Objective::capture(&model, x, move |(w, anchor): &(Slope, Slope), x| {
        losses(w, x).mean() + penalty(w, anchor.w.val().reshape([1]))
    });
    let held = held.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    close(held.value().unwrap(), (0.5 + 4.5 + 8.0) / 4.0 + 2f64.ln());
}
