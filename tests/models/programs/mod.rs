//! Random networks, losses and data sets: what is computed is what Burn's own gradients say by differences, and what is
//! refused is what theory does not cover.

mod factors;
mod net;
mod oracle;

use burn_curvature::{
    CaptureConfig, Error, GaussNewton, Hessian, LinearOperator, Objective, Reduction,
    errors::ObjectiveError,
};

use crate::random::SplitMix64;
use net::{Kind, Net, Step, draw};
use oracle::{Batch, FORMS, Form, Task, Vector, batch, differences, loss};

/// How many networks a test draws.
const SEEDS: u64 = 24;

/// Tolerance for derivatives, relative to 1 + the norm: Burn divides by numbers in f32.
const CLOSE: f64 = 1e-6;

#[track_caller]
fn close(what: &str, seed: u64, found: &[f64], expected: &[f64]) {
    let norm = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let is_close = found.len() == expected.len() && error <= CLOSE * (1.0 + norm);
    assert!(is_close, "{what}, seed {seed}: {found:?} for {expected:?}");
}

/// A network with its loss and three batches of different sizes.
struct Case {
    task: Task,
    batches: Vec<Batch>,
    /// Whether samples depend on each other.
    coupled: bool,
    drops: bool,
    objective: Objective,
}

/// `None` if every parameter was frozen.
fn case(seed: u64) -> Option<Case> {
    let mut random = SplitMix64::new(seed);
    let kind = Kind {
        norms: random.below(2) == 0,
        dropout: random.below(4) == 0,
        frozen: random.below(3) == 0,
        repeated: random.below(2) == 0,
    };
    let drawn = draw(kind, &mut random);
    let classes = drawn.widths[1] > 1 && random.below(2) == 0;
    let task = Task { drawn, form: FORMS[random.below(5)], classes };
    let has = |test: fn(&Step) -> bool| task.drawn.steps.iter().any(test);
    let coupled = has(|step| matches!(step, Step::Norm(_)));
    let drops = has(|step| matches!(step, Step::Drop));
    let sizes = [0; 3].map(|_| 1 + random.below(5) + usize::from(coupled));
    let batches: Vec<Batch> =
        sizes.into_iter().map(|n| batch(&task.drawn, n, &mut random)).collect();
    let mut config = CaptureConfig::new();
    if coupled || drops {
        config = config.training(seed);
    }
    let trains = task.drawn.net.matrices.iter().any(|weight| weight.is_require_grad())
        || task.drawn.net.vectors.iter().any(|vector| vector.is_require_grad());
    let objective = capture(config, &task, &batches[0]);
    if objective.is_err() && !trains {
        return None;
    }
    Some(Case { objective: objective.unwrap(), task, batches, coupled, drops })
}

fn capture(config: CaptureConfig, task: &Task, batch: &Batch) -> Result<Objective, Error> {
    let (steps, form, classes) = (task.drawn.steps.clone(), task.form, task.classes);
    config.init(&task.drawn.net, batch.clone(), move |net: &Net, batch: Batch| {
        loss(net, (&steps, form, classes), batch)
    })
}

/// Gradient, Hessian and Gauss-Newton products on one batch, in training mode where there are norms.
#[test]
fn products_are_those_of_burns_gradients() {
    for seed in 0..SEEDS {
        let Some(Case { task, batches, drops, objective, .. }) = case(seed) else { continue };
        let (theta, first) = (objective.parameters(), &batches[..1]);
        let v = theta.space().normal(seed);
        let gradient = objective.gradient().unwrap().to_vec().unwrap();
        let product = || objective.hessian_vector_product(&v).unwrap().to_vec().unwrap();
        let found = product();
        let threads: Vec<Vec<f64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(product)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(threads.iter().all(|other| *other == found), "seed {seed}");
        if drops {
            // Burn draws other masks: the loss itself is the reference.
            let at = |theta: &Vector| objective.at_keeping_buffers(theta).unwrap();
            let slope = differences(theta, &v, |theta| vec![at(theta).value().unwrap()]);
            let v = v.to_vec().unwrap();
            let inner: f64 = gradient.iter().zip(&v).map(|(g, v)| g * v).sum();
            close("slope", seed, &[inner], &slope);
            continue;
        }
        close("value", seed, &[objective.value().unwrap()], &[task.value_at(theta, first)]);
        close("gradient", seed, &gradient, &task.gradient(theta, first));
        close("product", seed, &found, &task.hessian_product(theta, &v, first));
        let gauss_newton = GaussNewton::new(&objective).unwrap().apply(&v).unwrap();
        let expected = task.gauss_newton_product(theta, &v, &batches[0]);
        close("Gauss-Newton", seed, &gauss_newton.to_vec().unwrap(), &expected);
    }
}

/// Over batches of different sizes, held and streamed: (Σ sums)/(Σ weights), or refused where samples depend on each other
/// and the closure does not say what it is a mean of.
#[test]
fn ragged_data_sets_are_those_of_burns_gradients() {
    let mut refused = 0;
    for seed in 0..SEEDS {
        let Some(Case { task, batches, coupled, drops, objective }) = case(seed) else { continue };
        let is_sum = matches!(task.form, Form::Sum | Form::SumOf);
        let [right, wrong] = if is_sum {
            [Reduction::Sum, Reduction::Mean]
        } else {
            [Reduction::Mean, Reduction::Sum]
        };
        assert!(objective.over(batches.clone(), wrong).is_err(), "seed {seed}");
        if drops {
            continue;
        }
        let (theta, stream) = (objective.parameters(), batches.clone());
        let v = theta.space().normal(seed);
        for risk in [
            objective.over(batches.clone(), right),
            objective
                .over_stream(right, move |visit| stream.clone().into_iter().try_for_each(visit)),
        ] {
            let risk = match risk {
                Ok(risk) => risk,
                Err(error) => {
                    let is_known =
                        matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. }));
                    let states = !matches!(task.form, Form::Mean | Form::Sum);
                    assert!(is_known && coupled && !states, "seed {seed}: {error}");
                    refused += 1;
                    continue;
                }
            };
            let at = risk.value_and_gradient().unwrap();
            close("value", seed, &[at.value], &[task.value_at(theta, &batches)]);
            let gradient = at.gradient.to_vec().unwrap();
            close("gradient", seed, &gradient, &task.gradient(theta, &batches));
            let product = Hessian::new(&risk).unwrap().apply(&v).unwrap().to_vec().unwrap();
            close("product", seed, &product, &task.hessian_product(theta, &v, &batches));
        }
    }
    assert!(refused > 0, "no network with a norm and a plain mean was drawn");
}
