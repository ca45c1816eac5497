//! Planted errors are found, and what is right passes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    prelude::*,
    tensor::activation::{log_softmax, tanh},
};

use super::{
    Check, CurvatureCheckConfig, CurvatureReport, Outcome,
    derivatives::{Derivatives, Differentiated},
};
use crate::{
    curvature::{GaussNewton, Hessian},
    derive::Likelihood,
    error::Error,
    objective::{CaptureConfig, Objective, Reduction},
    operator::{LinearOperator, SelfAdjoint},
    seeds::Seeds,
    space::{ParamSpace, ParamVector},
};

/// A backend on which Burn has both engines.
type B = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Net {
    first: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    second: Param<Tensor<2>>,
}

/// Values between −1 and 1 that look random.
fn values<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (1.7 * i as f64 + phase).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

/// The mean cross-entropy of two layers with tanh on six samples.
fn classifier() -> Objective<B> {
    let model = Net {
        first: Param::from_tensor(values([3, 4], 0.3)),
        bias: Param::from_tensor(values([4], 0.7)),
        second: Param::from_tensor(values([4, 3], 1.1)),
    };
    let batch = (values([6, 3], 2.0), values([6, 3], 2.5).argmax(1));
    let loss = |model: &Net, (x, y): (Tensor<2>, Tensor<2, Int>)| {
        let hidden = tanh(x.matmul(model.first.val()) + model.bias.val().unsqueeze());
        let logits = hidden.matmul(model.second.val());
        let loss = log_softmax(logits.clone(), 1).gather(1, y).mean().neg();
        (logits, loss)
    };
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, batch, loss);
    objective.unwrap().reduced_by(Reduction::Mean).unwrap()
}

/// A matrix whose products are wrong by a thousandth in one element.
struct Wrong {
    matrix: Box<dyn SelfAdjoint<B>>,
    element: usize,
}

fn spoiled(product: &ParamVector<B>, element: usize) -> Result<ParamVector<B>, Error> {
    let mut values = product.to_vec()?;
    values[element] *= 1.001;
    Ok(product.space().vector(&values)?)
}

impl LinearOperator<B> for Wrong {
    fn domain(&self) -> &ParamSpace<B> {
        self.matrix.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        spoiled(&self.matrix.apply(vector)?, self.element)
    }
}

impl SelfAdjoint<B> for Wrong {}

fn wrong(matrix: impl SelfAdjoint<B> + 'static, element: usize) -> Box<dyn SelfAdjoint<B>> {
    Box::new(Wrong { matrix: Box::new(matrix), element })
}

/// A seed and an element that follows from it.
fn plants(objective: &Objective<B>) -> impl Iterator<Item = (u64, usize)> {
    let count = objective.layout().len() as u64;
    (0..100).map(move |seed| (seed, (Seeds::at(seed, 0) % count) as usize))
}

fn differentiated<'a>(
    objective: &Objective<B>,
    derivatives: &'a Derivatives<B>,
    seed: u64,
) -> Differentiated<'a, B> {
    Differentiated::new(objective, derivatives, (2, seed), objective.in_f64().ok())
}

#[test]
fn a_wrong_element_of_a_hessian_product_is_found_in_100_of_100_seeds() {
    let objective = classifier();
    for (seed, element) in plants(&objective) {
        let derivatives = Derivatives {
            hessian: Box::new(move |at| Ok(wrong(Hessian::new(at)?, element))),
            ..Derivatives::new()
        };
        let line = differentiated(&objective, &derivatives, seed).hessian().unwrap();
        assert_eq!(line.outcome, Outcome::Failed, "seed {seed}, element {element}: {line}");
        let layout = objective.layout();
        let block = layout.blocks().iter().find(|block| block.range().contains(&element)).unwrap();
        let place = format!("at element {} of {}", element - block.range().start, block.name());
        assert_eq!(line.note, place, "seed {seed}");
        let right = Derivatives::new();
        let line = differentiated(&objective, &right, seed).hessian().unwrap();
        assert_eq!(line.outcome, Outcome::Passed, "seed {seed}: {line}");
    }
}

#[test]
fn a_wrong_element_of_a_gauss_newton_product_is_found_in_100_of_100_seeds() {
    let objective = classifier();
    for (seed, element) in plants(&objective) {
        let derivatives = Derivatives {
            gauss_newton: Box::new(move |at| Ok(wrong(GaussNewton::new(at)?, element))),
            ..Derivatives::new()
        };
        let line = differentiated(&objective, &derivatives, seed).gauss_newton().unwrap();
        assert_eq!(line.outcome, Outcome::Failed, "seed {seed}, element {element}: {line}");
        let right = Derivatives::new();
        let line = differentiated(&objective, &right, seed).gauss_newton().unwrap();
        assert_eq!(line.outcome, Outcome::Passed, "seed {seed}: {line}");
    }
}

#[test]
fn a_wrong_element_of_the_gradient_is_found_in_100_of_100_seeds() {
    let objective = classifier();
    for (seed, element) in plants(&objective) {
        let derivatives = Derivatives {
            gradient: Box::new(move |at| spoiled(&at.gradient()?, element)),
            ..Derivatives::new()
        };
        let line = differentiated(&objective, &derivatives, seed).gradient().unwrap();
        assert_eq!(line.outcome, Outcome::Failed, "seed {seed}, element {element}: {line}");
    }
}

/// What a wrong rule may do to H v: the elements of H v and of v, and a number that chooses.
type Fault = fn(&mut [f64], &[f64], usize);

const FAULTS: [(&str, Fault); 7] = [
    ("all elements by a thousandth", |product, _, _| {
        product.iter_mut().for_each(|element| *element *= 1.001);
    }),
    ("the sign of an element", |product, _, at| product[at] = -product[at]),
    ("a missing element", |product, _, at| product[at] = 0.0),
    ("two elements exchanged", |product, _, at| product.swap(at, (at + 1) % product.len())),
    ("half of the elements missing", |product, _, at| {
        product.iter_mut().skip(at % 2).step_by(2).for_each(|element| *element = 0.0);
    }),
    ("a term that is not symmetric", |product, v, at| {
        let other = (at + product.len() / 2) % product.len();
        product[at] += 1e-3 * v[other];
        product[other] -= 1e-3 * v[at];
    }),
    ("a term that is not linear", |product, v, at| product[at] += 1e-3 * v[at] * v[at]),
];

#[test]
fn wrong_rules_of_many_kinds_are_found_in_100_of_100_seeds() {
    let objective = classifier();
    for (name, fault) in FAULTS {
        for (seed, element) in plants(&objective) {
            let derivatives = Derivatives {
                hessian: Box::new(move |at: &Objective<B>| {
                    let hessian = Hessian::new(at)?;
                    let wrong = crate::operator::FromFn::new(at.parameters().space(), move |v| {
                        let product = hessian.apply(v)?;
                        let mut values = product.to_vec()?;
                        fault(&mut values, &v.to_vec()?, element);
                        Ok(product.space().vector(&values)?)
                    })?;
                    Ok(Box::new(wrong.assume_self_adjoint()?))
                }),
                ..Derivatives::new()
            };
            let line = differentiated(&objective, &derivatives, seed).hessian().unwrap();
            assert_eq!(line.outcome, Outcome::Failed, "{name}, seed {seed}: {line}");
        }
    }
}

/// Where there is no f64, differences are coarse: they find an error of a third, and do not report what is right.
#[test]
fn differences_in_f32_decide_with_care() {
    let objective = classifier();
    let count = |factor: f64| {
        let derivatives = Derivatives {
            hessian: Box::new(move |at| Ok(Box::new(Hessian::new(at)?.scaled(factor)?))),
            ..Derivatives::new()
        };
        let outcome = |seed| {
            let checked = Differentiated::new(&objective, &derivatives, (2, seed), None);
            checked.hessian().unwrap().outcome
        };
        let outcomes: Vec<Outcome> = (0..100).map(outcome).collect();
        let of = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
        (of(Outcome::Passed), of(Outcome::Failed))
    };
    let (passed, failed) = count(1.0);
    assert!(passed >= 90 && failed == 0, "right: {passed} passed, {failed} failed");
    let (passed, failed) = count(1.3);
    assert!(passed == 0 && failed >= 90, "wrong: {passed} passed, {failed} failed");
}

/// NaN in one product of several, in either precision of the differences.
#[test]
fn products_that_are_not_finite_are_failures() {
    let objective = classifier();
    for poison in [f64::NAN, f64::INFINITY] {
        let poisoned = move |at: &Objective<B>| -> Result<Box<dyn SelfAdjoint<B>>, Error> {
            let matrix = GaussNewton::new(at)?;
            let calls = AtomicUsize::new(0);
            let wrong = crate::operator::FromFn::new(at.parameters().space(), move |v| {
                let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
                let product = matrix.apply(v)?;
                if first { Ok(product.scale(poison)) } else { Ok(product) }
            })?;
            Ok(Box::new(wrong.assume_self_adjoint()?))
        };
        let derivatives = Derivatives {
            hessian: Box::new(poisoned),
            gauss_newton: Box::new(poisoned),
            ..Derivatives::new()
        };
        for in_f64 in [None, objective.in_f64().ok()] {
            let at = in_f64.clone().unwrap_or_else(|| objective.clone());
            let checked = Differentiated::new(&objective, &derivatives, (2, 1), in_f64);
            for line in [
                checked.hessian().unwrap(),
                checked.gauss_newton().unwrap(),
                super::operators::positive(&at, &derivatives, &checked.directions, None).unwrap(),
            ] {
                assert_eq!(line.outcome, Outcome::Failed, "{poison} in {}: {line}", at.precision());
            }
        }
    }
}

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

#[test]
fn another_likelihood_than_that_of_the_loss_is_named() {
    let likelihood = Likelihood::Gaussian { variance: 1.0 };
    let config = CurvatureCheckConfig::new().with_likelihood(likelihood).with_timings(0);
    let report = config.init().unwrap().run(&classifier()).unwrap();
    let failed: Vec<Check> = report.failures().map(|line| line.check).collect();
    assert_eq!(failed, [Check::Likelihood], "{report}");
}
