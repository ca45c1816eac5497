//! Reports as a whole: what is wrong is named, and what is right passes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::{module::Param, prelude::*};

use super::classifier;
use crate::{
    check::{Check, CurvatureCheckConfig, CurvatureReport, Outcome, derivatives::Derivatives},
    curvature::Hessian,
    derive::Likelihood,
    objective::{CaptureConfig, Objective, Reduction},
    operator::LinearOperator,
};

/// An error that is not symmetric is found without differences too.
#[test]
fn the_report_says_what_is_wrong() {
    let objective = classifier();
    let derivatives = Derivatives {
        hessian: Box::new(|at| {
            let hessian = Hessian::new(at)?;
            let turn = at.parameters().space().normal(7);
            let skewed = crate::operator::FromFn::new(at.parameters().space(), move |v| {
                let product = hessian.apply(v)?;
                let factor = 0.1 * v.blocks().len() as f64 * v.dot(&v.space().ones())?;
                Ok(product.axpy(factor, &turn.clone().cast(v.precision())?)?)
            })?;
            Ok(Box::new(skewed.assume_self_adjoint()?))
        }),
        ..Derivatives::new()
    };
    let check = CurvatureCheckConfig::new().with_timings(1).init().unwrap();
    let report = check.run_on(&objective, &derivatives).unwrap();
    let failed: Vec<Check> = report.failures().map(|line| line.check).collect();
    assert_eq!(failed, [Check::HessianProduct, Check::Symmetry], "{report}");
    let text = report.to_string();
    for expected in ["✓ ", "✗ ", "– ", Check::Symmetry.advice(), "in gradients of", "; this check "]
    {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let saved = serde_json::to_string(&report).unwrap();
    let loaded = serde_json::from_str::<CurvatureReport>(&saved).unwrap().lines;
    assert_eq!(loaded.len(), report.lines.len());
    for (loaded, line) in loaded.iter().zip(&report.lines) {
        assert_eq!(
            (loaded.check, loaded.outcome, &loaded.note),
            (line.check, line.outcome, &line.note)
        );
        // serde_json loses the last digit of a float.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-15 * b.abs();
        let same = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(a == b, |(a, b)| close(a, b));
        assert!(same(loaded.found, line.found) && same(loaded.allowed, line.allowed), "{line:?}");
    }
}

#[test]
fn a_right_model_passes_every_line() {
    let passes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passes);
    let objective = classifier().with_progress(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let config = CurvatureCheckConfig::new().with_likelihood(Likelihood::Categorical);
    let report = config.init().unwrap().run(&objective).unwrap();
    assert!(report.is_ok(), "{report}");
    let skipped: Vec<Check> = report.skipped().map(|line| line.check).collect();
    assert_eq!(skipped, [], "{report}");
    assert_eq!(report.layers.len(), 2);
    // EKFAC has the best diagonal in K-FAC's bases.
    assert!(report.layers.iter().all(|layer| layer.kfac > 0.0 && layer.ekfac.is_some()));
    // Most passes are products or losses, which cost less than a gradient.
    let passes = passes.load(Ordering::Relaxed);
    assert!(passes < 110, "{passes} passes");
}

/// Where nothing can be compared, nothing is called right.
#[test]
fn a_model_without_layers_has_no_line_on_layers() {
    let model = super::Net {
        first: Param::from_tensor(super::values([6, 3], 0.3)),
        bias: Param::from_tensor(super::values([4], 0.7)).no_grad(),
        second: Param::from_tensor(super::values([4, 3], 1.1)).no_grad(),
    };
    let batch = (super::values([6, 3], 2.0), super::values([6, 3], 2.5));
    let loss = |model: &super::Net, (x, y): (Tensor<2>, Tensor<2>)| {
        let z = x * model.first.val();
        (z.clone(), (z - y).square().sum() * 0.5)
    };
    let objective: Objective<super::B> =
        Objective::capture_with(&CaptureConfig::new(), &model, batch, loss).unwrap();
    let objective = objective.reduced_by(Reduction::Sum);
    let likelihood = Likelihood::Gaussian { variance: 1.0 };
    let config = CurvatureCheckConfig::new().with_likelihood(likelihood).with_timings(0);
    let report = config.init().unwrap().run(&objective.unwrap()).unwrap();
    assert_eq!(report.line(Check::Likelihood).unwrap().outcome, Outcome::Passed, "{report}");
    for check in [Check::KfacBlocks, Check::KfacTrace] {
        assert_eq!(report.line(check).unwrap().outcome, Outcome::Skipped, "{report}");
    }
}

#[test]
fn another_likelihood_than_that_of_the_loss_is_named() {
    let likelihood = Likelihood::Gaussian { variance: 1.0 };
    let config = CurvatureCheckConfig::new().with_likelihood(likelihood).with_timings(0);
    let report = config.init().unwrap().run(&classifier()).unwrap();
    let failed: Vec<Check> = report.failures().map(|line| line.check).collect();
    assert_eq!(failed, [Check::Likelihood], "{report}");
}

/// A constant in the loss drowns its gradient in rounding: what cannot be decided is not called right.
#[test]
fn a_gradient_below_the_rounding_of_the_loss_is_not_decided() {
    for constant in [1e3, 1e12] {
        let objective = super::classifier_with(constant);
        let derivatives = Derivatives {
            gradient: Box::new(|at| Ok(at.gradient()?.scale(1.01))),
            ..Derivatives::new()
        };
        let check = CurvatureCheckConfig::new().with_timings(0).init().unwrap();
        let report = check.run_on(&objective, &derivatives).unwrap();
        let outcome = report.line(Check::Gradient).unwrap().outcome;
        let expected = if constant > 1e6 { Outcome::Skipped } else { Outcome::Failed };
        assert_eq!(outcome, expected, "{report}");
        assert_eq!(report.line(Check::HessianProduct).unwrap().outcome, Outcome::Passed);
    }
}
