//! LiSSA's steps: their draws, their products, and series that diverge.

use burn::prelude::*;
use burn_curvature::{
    Objective, Reduction,
    errors::OptimizerError,
    optim::{
        Direction, Forcing, LissaNewtonConfig, NewtonOptimizerConfig, Rule, TruncatedCg, Verdict,
    },
    solver::LissaConfig,
};

use super::{
    B,
    logistic::{Logistic, emails, loss},
};
use crate::failure::failure;

/// E-mails in batches that mix the classes, since the file is sorted by class.
fn batches_of_emails() -> (Logistic, Objective<B>, Objective<B>) {
    let (model, (x, y)) = emails();
    let whole: Objective<B> = Objective::capture(&model, (x.clone(), y.clone()), loss).unwrap();
    let whole = whole.in_f64().unwrap();
    let batches = (0..20).map(|k| {
        let rows: Vec<i64> = (k..4601).step_by(20).collect();
        let rows =
            Tensor::<1, Int>::from_data(TensorData::new(rows.clone(), [rows.len()]), &x.device());
        (x.clone().select(0, rows.clone()), y.clone().select(0, rows))
    });
    let risk = whole.over(batches.collect::<Vec<_>>(), Reduction::Mean).unwrap();
    (model, whole, risk)
}

fn weights(model: &Logistic) -> Vec<f64> {
    model.w.val().into_data().iter::<f64>().collect()
}

/// The draws of a step follow from the seed and its number: a run that is taken up goes on digit for digit.
#[test]
fn lissa_is_resumed_with_its_draws() {
    let (mut model, _, risk) = batches_of_emails();
    let series = LissaConfig::new().with_scale(Some(6.0)).with_depth(60).with_repeats(1);
    let config = LissaNewtonConfig::new().with_series(series).with_weight_decay(0.1).optimizer();
    let mut whole = config.init(&risk).unwrap();
    for _ in 0..3 {
        let mut resumed = config.resume(&risk, &whole.state().unwrap()).unwrap();
        let (other, expected) = resumed.step_on(&model, &risk).unwrap();
        let (fresh, _) = config.init(&risk).unwrap().step_on(&model, &risk).unwrap();
        let number = whole.state().unwrap().step();
        let step;
        (model, step) = whole.step_on(&model, &risk).unwrap();
        assert_eq!((&step, weights(&model)), (&expected, weights(&other)));
        assert_eq!(weights(&fresh) == weights(&model), number == 0);
    }
}

/// LiSSA's steps over batches against the exact Newton steps, on a convex problem.
#[test]
fn lissa_follows_newton_within_its_noise() {
    let (model, whole, risk) = batches_of_emails();
    let decay = 0.1;
    let exact = TruncatedCg::new().with_forcing(Forcing::Fixed(1e-13));
    let newton =
        NewtonOptimizerConfig::new(Direction::ConjugateGradient(exact), Rule::Fixed { rate: 1.0 });
    let mut newton = newton.with_weight_decay(decay).init(&whole).unwrap();
    let (exact, first) = newton.step_on(&model, &whole).unwrap();
    let series = LissaConfig::new().with_scale(Some(6.0)).with_depth(400).with_repeats(2);
    let mut lissa =
        LissaNewtonConfig::new().with_series(series).with_weight_decay(decay).init(&risk).unwrap();
    let (found, step) = lissa.step_on(&model, &risk).unwrap();
    assert_eq!(step.verdict, Verdict::Taken);
    assert_eq!(step.products, 800 + 20); // and one with all batches, for the residual
    assert!((step.gradient_norm - first.gradient_norm).abs() < 1e-12);
    let error = crate::relative_error(&weights(&found), &weights(&exact));
    assert!(error < 0.1, "{error}");
    // Another step draws other batches; the same seed and step the same ones.
    let (again, _) = lissa.step_on(&model, &risk).unwrap();
    assert_ne!(weights(&again), weights(&found));
    let series = LissaConfig::new().with_scale(Some(6.0)).with_depth(400).with_repeats(2);
    let mut other =
        LissaNewtonConfig::new().with_series(series).with_weight_decay(decay).init(&risk).unwrap();
    assert_eq!(weights(&other.step_on(&model, &risk).unwrap().0), weights(&found));
}

/// Without a scale the products that estimate it are counted too: up to 20 on each of eight batches.
#[test]
fn products_for_the_scale_are_counted() {
    let (model, _, risk) = batches_of_emails();
    let series = LissaConfig::new().with_depth(30).with_repeats(1);
    let config = LissaNewtonConfig::new().with_series(series).with_weight_decay(0.1);
    let (_, step) = config.init(&risk).unwrap().step_on(&model, &risk).unwrap();
    let estimate = step.products - 30 - 20;
    assert!((8..=160).contains(&estimate), "{step}");
}

/// A series that diverges is an error that names the scale, with several repeats too, and the optimizer is as it was.
#[test]
fn a_diverging_series_is_refused() {
    let (model, _, risk) = batches_of_emails();
    for repeats in [1, 3] {
        let series = LissaConfig::new().with_scale(Some(0.1)).with_repeats(repeats);
        let config = LissaNewtonConfig::new().with_series(series).with_weight_decay(0.1);
        let mut optimizer = config.init(&risk).unwrap();
        let refused = optimizer.step_on(&model, &risk);
        let Some(OptimizerError::SeriesDiverged { scale, largest }) = failure(&refused) else {
            panic!("{refused:?}");
        };
        assert!(*scale == 0.1 && *largest > 0.2, "{scale} {largest}");
        assert_eq!(optimizer.state().unwrap().step(), 0);
    }
}
