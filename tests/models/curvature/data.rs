//! Data sets: sizes of batches, streams, memory budgets, progress.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::prelude::*;
use burn_curvature::{
    Adjoint, CaptureConfig, EmpiricalFisher, FiniteSum, Fisher, GaussNewton, Hessian, Jacobian,
    Likelihood, LinearOperator, Objective, ParamVector, Reduction,
};

use crate::{B, Classifier, Samples, cross_entropy, relative_error, samples, summed_cross_entropy};

pub(super) const SAMPLES: usize = 10;

/// All samples in batches of a size, the last one ragged.
pub(super) fn batches(size: usize) -> Vec<Samples> {
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

pub(super) fn captured(reduction: Reduction) -> Objective<B> {
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
fn progress_is_reported_batch_by_batch() {
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
