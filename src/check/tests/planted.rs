//! Errors that are planted in gradients and products: each is found.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{B, classifier};
use crate::{
    check::{
        Outcome,
        derivatives::{Derivatives, Differentiated},
        operators,
    },
    curvature::{GaussNewton, Hessian},
    error::Error,
    objective::Objective,
    operator::{LinearOperator, SelfAdjoint},
    seeds::Seeds,
    space::{ParamSpace, ParamVector},
};

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
                operators::positive(&at, &derivatives, &checked.directions, None).unwrap(),
            ] {
                assert_eq!(line.outcome, Outcome::Failed, "{poison} in {}: {line}", at.precision());
            }
        }
    }
}
