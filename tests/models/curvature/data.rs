//! Data sets: sizes of batches, streams, memory budgets, progress.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::prelude::*;
use burn_curvature::{
    Adjoint, CaptureConfig, EmpiricalFisher, FiniteSum, Fisher, GaussNewton, Hessian, Jacobian,
    Likelihood, LinearOperator, Objective, ParamVector, Reduction, errors::ObjectiveError,
};

use crate::{B, Classifier, Samples, cross_entropy, relative_error, samples, summed_cross_entropy};

const SAMPLES: usize = 10;

/// All samples in batches of a size, the last one ragged.
fn batches(size: usize) -> Vec<Samples> {
    let device = Device::flex().autodiff();
    let (x, y) = samples(SAMPLES, 77, &device);
    (0..SAMPLES)
        .step_by(size)
        .map(|from| {
            let range = from..(from + size).min(SAMPLES);
            (x.clone().slice([range.clone()]), y.clone().slice([range]))
        })
        .collect()
}

fn captured(reduction: Reduction) -> Objective<B> {
    let device = Device::flex().autodiff();
    let loss = match reduction {
        Reduction::Mean => cross_entropy,
        Reduction::Sum => summed_cross_entropy,
    };
    let model = Classifier::new(8, &device);
    let first = batches(4).swap_remove(0);
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, first, loss);
    objective.unwrap().in_f64().unwrap()
}

/// Everything that is summed over the batches.
fn figures(risk: &Objective<B>, reduction: Reduction) -> Vec<ParamVector<B>> {
    let v = risk.parameters().space().normal(5);
    let at = risk.value_and_gradient().unwrap();
    assert!((at.value - risk.value().unwrap()).abs() < 1e-12);
    let stated = risk.reduced_by(reduction).unwrap();
    let exact = Fisher::exact(&stated, Likelihood::Categorical).unwrap();
    vec![
        at.gradient.clone(),
        at.gradient.space().full(at.value),
        Hessian::new(risk).unwrap().apply(&v).unwrap(),
        GaussNewton::new(risk).unwrap().apply(&v).unwrap(),
        exact.apply(&v).unwrap(),
        EmpiricalFisher::new(&stated).unwrap().apply(&v).unwrap(),
    ]
}

#[test]
fn the_sizes_of_batches_do_not_matter() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let objective = captured(reduction);
        let whole = objective.on(batches(SAMPLES).swap_remove(0)).unwrap();
        let expected = figures(&whole, reduction);
        for size in [1, 3, 4, 10] {
            let risk = objective.over(batches(size), reduction).unwrap();
            assert_eq!(risk.batches(), SAMPLES.div_ceil(size));
            for (found, expected) in figures(&risk, reduction).iter().zip(&expected) {
                let error = relative_error(found, expected);
                assert!(error < 1e-12, "{reduction:?}, batches of {size}: {error}");
            }
        }
    }
}

#[test]
fn a_stream_is_the_batches_held() {
    let reduction = Reduction::Mean;
    let objective = captured(reduction);
    let held = objective.over(batches(4), reduction).unwrap();
    let stream =
        objective.over_stream(reduction, |visit| batches(4).into_iter().try_for_each(visit));
    let stream = stream.unwrap();
    assert!(stream.is_streamed() && !held.is_streamed());
    for (found, expected) in figures(&stream, reduction).iter().zip(&figures(&held, reduction)) {
        assert_eq!(found.to_vec().unwrap(), expected.to_vec().unwrap());
    }
    let jacobians = [&stream, &held].map(|risk| Jacobian::new(risk).unwrap());
    let v = held.parameters().space().normal(1);
    let u = held.outputs().unwrap().space().normal(2);
    assert_eq!(u.len(), 3 * SAMPLES);
    assert_eq!(u.layout().blocks().len(), 3);
    let [tangents, cotangents] = [
        jacobians.each_ref().map(|j| j.apply(&v).unwrap()),
        jacobians.each_ref().map(|j| j.apply_adjoint(&u).unwrap()),
    ];
    assert_eq!(tangents[0].to_vec().unwrap(), tangents[1].to_vec().unwrap());
    assert_eq!(cotangents[0].to_vec().unwrap(), cotangents[1].to_vec().unwrap());
    let (left, right) = (u.dot(&tangents[0]).unwrap(), v.dot(&cotangents[0]).unwrap());
    assert!((left - right).abs() < 1e-12 * left.abs().max(1.0));
}

#[test]
fn a_budget_changes_what_is_kept_and_no_number() {
    let objective = captured(Reduction::Mean).over(batches(3), Reduction::Mean).unwrap();
    let v = objective.parameters().space().normal(5);
    let product = |budget: usize| {
        let newton = GaussNewton::new(&objective.with_memory_budget(budget)).unwrap();
        newton.prepare().unwrap();
        let kept = newton.kept_bytes();
        let twice = [newton.apply(&v).unwrap(), newton.apply(&v).unwrap()];
        assert_eq!(newton.kept_bytes(), kept);
        let [first, second] = twice.map(|product| product.to_vec().unwrap());
        assert_eq!(first, second);
        (kept, first)
    };
    let (all, expected) = product(usize::MAX);
    assert!(all > 0);
    for budget in [0, all / 2, all] {
        let (kept, found) = product(budget);
        assert!(kept <= budget);
        assert_eq!(found, expected);
    }
    let (half, _) = product(all / 2);
    assert!(half > 0 && half < all);
}

#[test]
fn a_sampled_fisher_matrix_does_not_change_when_it_is_recomputed() {
    let objective = captured(Reduction::Mean).over(batches(3), Reduction::Mean).unwrap();
    let v = objective.parameters().space().normal(5);
    let product = |budget: usize| {
        let objective = objective.with_memory_budget(budget);
        let fisher = Fisher::monte_carlo(&objective, Likelihood::Categorical, 3, 1);
        fisher.unwrap().apply(&v).unwrap().to_vec().unwrap()
    };
    assert_eq!(product(0), product(usize::MAX));
}

#[test]
fn an_operator_is_the_mean_of_its_terms() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let risk = captured(reduction).over(batches(4), reduction).unwrap();
        let v = risk.parameters().space().normal(5);
        let operators: [Box<dyn FiniteSum<B>>; 2] =
            [Box::new(Hessian::new(&risk).unwrap()), Box::new(GaussNewton::new(&risk).unwrap())];
        for operator in operators {
            assert_eq!(operator.terms(), 3);
            let mut mean = v.space().zeros();
            for index in 0..3 {
                let term = operator.apply_term(index, &v).unwrap();
                mean = mean.axpy(1.0 / 3.0, &term).unwrap();
            }
            let error = relative_error(&mean, &operator.apply(&v).unwrap());
            assert!(error < 1e-12, "{reduction:?}: {error}");
            let error = operator.apply_term(3, &v).unwrap_err().to_string();
            assert!(error.contains("3 terms"), "{error}");
        }
    }
}

#[test]
fn progress_is_told_batch_by_batch() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let risk = captured(Reduction::Mean).over(batches(3), Reduction::Mean).unwrap();
    let risk = risk.with_progress(move |progress| {
        assert_eq!(progress.total, 4);
        assert_eq!(progress.done, 1 + seen.fetch_add(1, Ordering::Relaxed) % 4);
    });
    risk.gradient().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    Hessian::new(&risk).unwrap().apply(risk.parameters()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 8);
}

#[test]
fn an_empty_data_set_is_refused() {
    let none: Vec<Samples> = Vec::new();
    let error = captured(Reduction::Mean).over(none, Reduction::Mean).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::NoBatches));
    let stream = captured(Reduction::Mean)
        .over_stream(Reduction::Mean, |_: &mut dyn FnMut(Samples) -> _| Ok(()));
    assert_eq!(stream.unwrap_err().downcast_ref(), Some(&ObjectiveError::NoBatches));
}

#[test]
fn a_wrong_reduction_is_refused() {
    let error = captured(Reduction::Mean).over(batches(4), Reduction::Sum).unwrap_err();
    assert!(error.to_string().contains("Sum"), "{error}");
    let error = captured(Reduction::Sum).over(batches(4), Reduction::Mean).unwrap_err();
    assert!(error.to_string().contains("Mean"), "{error}");
    let risk = captured(Reduction::Mean).over(batches(4), Reduction::Mean).unwrap();
    let error = risk.reduced_by(Reduction::Sum).unwrap_err();
    let (expected, found) = (Reduction::Mean, Reduction::Sum);
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::OtherReduction { expected, found }));
}

#[test]
fn a_stream_that_changes_or_fails_is_refused() {
    let calls = AtomicUsize::new(0);
    let objective = captured(Reduction::Mean);
    let shrinking = objective.over_stream(Reduction::Mean, move |visit| {
        let lost = calls.fetch_add(1, Ordering::Relaxed);
        batches(4).into_iter().take(3 - lost).try_for_each(visit)
    });
    let error = shrinking.unwrap().value().unwrap_err().to_string();
    assert!(error.contains("3 batches") && error.contains("2 batches"), "{error}");
    let failing = objective.over_stream(Reduction::Mean, |visit: &mut dyn FnMut(Samples) -> _| {
        visit(batches(4).swap_remove(0))?;
        Err(ObjectiveError::data("the file is truncated"))
    });
    let error = failing.unwrap_err().to_string();
    assert!(error.contains("the file is truncated"), "{error}");
}

#[test]
fn a_wrong_reduction_is_refused_behind_a_batch_of_one_sample() {
    let ragged = || {
        let mut ragged = batches(3);
        ragged.reverse();
        ragged
    };
    let objective = captured(Reduction::Mean);
    assert_eq!(ragged()[0].0.dims(), [1, 4]);
    let error = objective.over(ragged(), Reduction::Sum).unwrap_err();
    assert!(error.to_string().contains("Sum"), "{error}");
    let stream = objective
        .over_stream(Reduction::Sum, move |visit| ragged().into_iter().try_for_each(visit));
    let error = stream.unwrap_err();
    assert!(error.to_string().contains("Sum"), "{error}");
}

/// What was prepared for the batches of the first pass must not meet those of another order.
#[test]
fn a_stream_that_reorders_batches_of_other_sizes_is_refused() {
    let passes = AtomicUsize::new(0);
    let stream = captured(Reduction::Mean).over_stream(Reduction::Mean, move |visit| {
        let mut batches = batches(4);
        if passes.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            batches.reverse();
        }
        batches.into_iter().try_for_each(visit)
    });
    let error = stream.unwrap().value().unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::StreamChanged { .. })), "{error}");
    assert!(error.to_string().contains("batch 0"), "{error}");
}

#[test]
fn samples_are_found_behind_a_first_tensor_that_does_not_count_them() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let (x, weights) = (samples(7, 1, &device).0, Tensor::<1>::ones([3], &device));
    let batch = |range: std::ops::Range<usize>| (weights.clone(), x.clone().slice([range]));
    let loss = |model: &Classifier, (weights, x): (Tensor<1>, Tensor<2>)| {
        (model.forward(x) * weights.unsqueeze::<2>()).powf_scalar(2.0).mean()
    };
    let objective: Objective<B> =
        Objective::capture_with(&CaptureConfig::new(), &model, batch(0..7), loss).unwrap();
    let objective = objective.in_f64().unwrap();
    let risk = objective.over([batch(0..5), batch(5..7)], Reduction::Mean).unwrap();
    let (found, expected) = (risk.gradient().unwrap(), objective.gradient().unwrap());
    assert!(relative_error(&found, &expected) < 1e-12);
}

#[test]
fn a_closure_that_takes_one_number_of_samples_only_is_named() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let x = samples(5, 1, &device).0;
    let loss = |model: &Classifier, x: Tensor<2>| model.forward(x).reshape([5, 3]).mean();
    let objective: Objective<B> =
        Objective::capture_with(&CaptureConfig::new(), &model, x.clone(), loss).unwrap();
    let error = objective.over([x.clone(), x], Reduction::Mean).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(ObjectiveError::Halved { samples: 5, .. })),
        "{error}"
    );
}

/// Time first: `[steps, samples, features]`, which only the batch itself can count.
#[derive(Clone)]
struct Sequences(Tensor<3>);

impl burn_curvature::Batch for Sequences {
    fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_tensors(mapper))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.0.dims()[1])
    }
}

#[test]
fn a_batch_may_count_its_samples_itself() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(8, &device);
    let whole = samples(12, 3, &device).0.reshape([2, 6, 4]);
    let loss = |model: &Classifier, batch: Sequences| {
        let [steps, samples, features] = batch.0.dims();
        let z = model.forward(batch.0.reshape([steps * samples, features]));
        z.powf_scalar(2.0).sum() / (samples as f64)
    };
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), &model, Sequences(whole.clone()), loss);
    let objective = objective.unwrap().in_f64().unwrap();
    let parts = [0..4, 4..6].map(|range| Sequences(whole.clone().slice([0..2, range])));
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    let (found, expected) = (risk.gradient().unwrap(), objective.gradient().unwrap());
    assert!(relative_error(&found, &expected) < 1e-12);
}
