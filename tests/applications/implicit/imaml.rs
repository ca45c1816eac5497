//! Meta-gradients against the dense formula and differences of adapted test losses, and inner solvers, in f64.

use burn::{module::Param, prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, Hessian, Objective, ParamVector, StopReason,
    errors::{ConfigError, ImplicitError, VectorError},
    implicit::{
        HyperObjective, ImamlConfig, InnerCurvature, InnerSolver, MetaReport, ProximalProblem,
        Verdict,
    },
    materialize,
    solver::DirectMethod,
};

use super::{
    solvers,
    world::{World, entries, richardson},
};
use crate::{
    compare::relative_error, dense::dot, failure::failure, oracle::solve, random::SplitMix64,
};

#[derive(Module, Debug)]
struct Softmax {
    w: Param<Tensor<2>>,
}

pub(super) type Samples = (Tensor<2>, Tensor<1, Int>);

const INPUTS: usize = 5;
const CLASSES: usize = 3;

fn loss(model: &Softmax, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = x.matmul(model.w.val());
    let losses = -log_softmax(z.clone(), 1).gather(1, y.unsqueeze_dim(1));
    (z, losses.mean())
}

pub(super) fn samples(seed: u64, count: usize) -> Samples {
    let device = Device::flex().autodiff();
    let mut numbers = SplitMix64::new(seed);
    let x: Vec<f32> = (0..count * INPUTS).map(|_| numbers.normal() as f32).collect();
    let y: Vec<i64> = (0..count).map(|_| numbers.below(CLASSES) as i64).collect();
    let x = Tensor::from_data(TensorData::new(x, [count, INPUTS]), &device);
    (x, Tensor::from_data(TensorData::new(y, [count]), &device))
}

fn tasks() -> Vec<(Samples, Samples)> {
    (0..3).map(|task| (samples(10 + task, 6), samples(20 + task, 8))).collect()
}

/// The loss in f64, at a random start.
pub(super) fn objective(seed: u64) -> Objective {
    let model = Softmax {
        w: Param::from_tensor(Tensor::zeros([INPUTS, CLASSES], &Device::flex().autodiff())),
    };
    let captured = Objective::capture(&model, samples(1, 6), loss).unwrap().in_f64().unwrap();
    let start = captured.parameters().space().normal(seed).scale(0.3);
    captured.at(&start).unwrap()
}

fn exact() -> InnerSolver {
    InnerSolver::NewtonCg { steps: 60, gradient_norm: 1e-14 }
}

#[test]
fn meta_gradients_are_those_of_differences_and_of_the_dense_formula() {
    for (seed, regularization) in [(1, 0.5), (2, 0.05), (3, 2.0)] {
        let objective = objective(seed);
        let config = ImamlConfig::new(regularization).with_inner(exact());
        let imaml = config.init(&objective).unwrap();
        let mut expected = vec![0.0; INPUTS * CLASSES];
        for (training, test) in tasks() {
            let (phi, _) = imaml.adapt(training.clone()).unwrap();
            let there = objective.on(training).unwrap().at(&phi).unwrap();
            let hessian = materialize(&Hessian::new(&there).unwrap()).unwrap();
            let n = hessian.rows();
            let row = |i| -> Vec<f64> {
                let entry =
                    |j| f64::from(u8::from(i == j)) + hessian.entry(i, j).unwrap() / regularization;
                (0..n).map(entry).collect()
            };
            let slope = objective.on(test).unwrap().at(&phi).unwrap().gradient().unwrap();
            let solved = solve(&(0..n).map(row).collect(), &entries(&slope));
            expected.iter_mut().zip(solved).for_each(|(sum, x)| *sum += x / 3.0);
        }
        for (name, solver) in solvers() {
            let meta = imaml.meta_gradient(tasks(), solver.as_ref()).unwrap();
            assert_eq!(meta.report.doubtful().count(), 0, "{name}\n{}", meta.report);
            let error = relative_error(&entries(&meta.gradient), &expected);
            assert!(error < 1e-12, "{name}: {error:e}");
        }
        let outer = |theta: &ParamVector| -> f64 {
            let there = imaml.at(theta).unwrap();
            let of = |(training, test): (Samples, Samples)| {
                let (phi, _) = there.adapt(training).unwrap();
                objective.on(test).unwrap().at(&phi).unwrap().value().unwrap()
            };
            tasks().into_iter().map(of).sum::<f64>() / 3.0
        };
        for at in [0, 7, 14] {
            let unit: Vec<f64> =
                (0..expected.len()).map(|j| f64::from(u8::from(j == at))).collect();
            let unit = objective.parameters().space().vector(&unit).unwrap();
            let along = |h| outer(&objective.parameters().clone().axpy(h, &unit).unwrap());
            let found = richardson(along);
            assert!((found - expected[at]).abs() < 1e-9, "{found} {}", expected[at]);
        }
    }
}

/// The caller's inner solver, gradient descent, the Gauss-Newton matrix of a linear model: the same meta-gradient.
#[test]
fn inner_solvers_agree() {
    let objective = objective(4);
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-13).init().unwrap();
    let config = ImamlConfig::new(0.5).with_inner(exact());
    let imaml = config.init(&objective).unwrap();
    let expected = entries(&imaml.meta_gradient(tasks(), &solver).unwrap().gradient);
    let descent = |problem: &ProximalProblem| -> Result<ParamVector, Error> {
        let mut phi = problem.center().clone();
        for _ in 0..400 {
            phi = phi.clone().axpy(-0.5, &problem.value_and_gradient(&phi)?.gradient)?;
        }
        Ok(phi)
    };
    let own = imaml.meta_gradient_with(tasks(), &solver, descent).unwrap();
    assert!(relative_error(&entries(&own.gradient), &expected) < 1e-12);
    let descent = InnerSolver::GradientDescent { steps: 400, rate: 0.5 };
    for config in [
        config.clone().with_inner(descent),
        config.clone().with_curvature(InnerCurvature::GaussNewton),
    ] {
        let found = config.init(&objective).unwrap().meta_gradient(tasks(), &solver).unwrap();
        assert!(relative_error(&entries(&found.gradient), &expected) < 1e-12);
    }
    let text = serde_json::to_string(&own.report).unwrap();
    let read: MetaReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read.to_string(), own.report.to_string());
}

#[test]
fn doubtful_tasks_are_reported() {
    let objective = objective(5);
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let imaml = ImamlConfig::new(0.05).init(&objective).unwrap();
    let lazy = imaml.meta_gradient_with(tasks(), &solver, |problem| {
        let slope = problem.value_and_gradient(problem.center())?.gradient;
        Ok(problem.center().clone().axpy(-0.1, &slope)?)
    });
    let lazy = lazy.unwrap().report;
    assert!(lazy.tasks.iter().all(|task| task.verdict == Verdict::NotStationary), "{lazy}");
    assert!(lazy.advice().contains("more inner steps"));
    let short = ConjugateGradientConfig::new().with_max_iterations(Some(1)).init().unwrap();
    let short = imaml.meta_gradient(tasks(), &short).unwrap().report;
    assert_eq!(short.doubtful().count(), 3);
    assert!(short.tasks.iter().all(|task| task.solve.stop == StopReason::IterationLimit));
    assert!(short.tasks.iter().all(|task| task.verdict == Verdict::Unsolved), "{short}");
    // A loss with a maximum at the start, held there.
    let saddle = Objective::capture(
        &Softmax { w: Param::from_tensor(Tensor::zeros([1, 1], &Device::flex().autodiff())) },
        Tensor::<1>::ones([1], &Device::flex().autodiff()),
        |model, scale| {
            (model.w.val().powi_scalar(4) - model.w.val().powi_scalar(2)).sum()
                + model.w.val().sum() * scale * 0.001
        },
    );
    let imaml = ImamlConfig::new(0.5).init(&saddle.unwrap()).unwrap();
    let one = || Tensor::<1>::ones([1], &Device::flex().autodiff());
    let stay = |problem: &ProximalProblem| Ok(problem.center().clone());
    let found = imaml.meta_gradient_with([(one(), one())], &solver, stay).unwrap().report;
    assert_eq!(found.tasks[0].verdict, Verdict::Indefinite, "{found}");
    assert!(found.advice().contains("raise λ"));
    let factors = DirectConfig::new().with_method(DirectMethod::BunchKaufman).init().unwrap();
    let found = imaml.meta_gradient_with([(one(), one())], &factors, stay).unwrap().report;
    assert_eq!(found.tasks[0].verdict, Verdict::Indefinite, "{found}");
    // In f32 such a λ is infinite, and the gradient of its term at the start no number.
    let imaml = ImamlConfig::new(1e40).init(imaml.objective()).unwrap();
    let found = imaml.meta_gradient([(one(), one())], &solver).unwrap().report;
    assert!(found.tasks[0].stationarity.is_nan(), "{found}");
    assert_eq!(found.tasks[0].verdict, Verdict::NotStationary, "{found}");
}

/// ℒ̂ = −½(uᵀφ)² with ‖u‖ = 1 and λ = 1: I − uuᵀ is singular, in f32 up to either sign of ε.
#[test]
fn a_singular_task_is_not_indefinite_by_rounding() {
    let solver = DirectConfig::new().init().unwrap();
    let device = Device::flex().autodiff();
    let mut negative = 0;
    for seed in 0..20 {
        let g = SplitMix64::new(seed).normals(3);
        let norm = dot(&g, &g).sqrt();
        let u: Vec<f32> = g.iter().map(|g| (g / norm) as f32).collect();
        let u = || Tensor::<1>::from_floats(u.as_slice(), &device);
        let model = Softmax { w: Param::from_tensor(u().unsqueeze_dim(1)) };
        let loss = Objective::capture(&model, u(), |model, u| {
            (model.w.val().flatten::<1>(0, 1) * u).sum().powi_scalar(2) * -0.5
        });
        let imaml = ImamlConfig::new(1.0).init(&loss.unwrap()).unwrap();
        let stay = |problem: &ProximalProblem| Ok(problem.center().clone());
        let found = imaml.meta_gradient_with([(u(), u())], &solver, stay).unwrap().report;
        let task = &found.tasks[0];
        negative += usize::from(task.smallest_eigenvalue.is_some_and(|smallest| smallest < 0.0));
        assert_ne!(task.verdict, Verdict::Indefinite, "{found}");
    }
    assert!(negative > 0);
}

#[test]
fn bad_tasks_and_inner_solvers_are_refused() {
    let objective = objective(6);
    let solver = ConjugateGradientConfig::new().init().unwrap();
    for regularization in [0.0, -1.0, f64::NAN] {
        let found = ImamlConfig::new(regularization).init(&objective);
        assert_eq!(failure::<_, ConfigError>(&found).unwrap().field, "regularization");
    }
    let none = InnerSolver::GradientDescent { steps: 0, rate: 0.1 };
    assert!(ImamlConfig::new(1.0).with_inner(none).init(&objective).is_err());
    let imaml = ImamlConfig::new(1.0).init(&objective).unwrap();
    let found = imaml.meta_gradient(Vec::<(Samples, Samples)>::new(), &solver);
    assert_eq!(failure(&found), Some(&ImplicitError::NoTasks));
    let found = imaml.meta_gradient_with(tasks(), &solver, |_| panic!("no luck"));
    match failure(&found) {
        Some(ImplicitError::InnerSolver { task: 0, message }) => {
            assert!(message.contains("no luck"))
        }
        other => panic!("{other:?}"),
    }
    let found = imaml.meta_gradient_with(tasks(), &solver, |problem| {
        Ok(problem.center().space().full(f64::NAN))
    });
    assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })));
    let other = World::new(1, (6, 2)).captured(&[0.0, 0.0]).unwrap().0;
    let found = imaml.meta_gradient_with(tasks(), &solver, |_| Ok(other.parameters()));
    assert!(matches!(failure(&found), Some(VectorError::LayoutMismatch { .. })));
    let wrong = samples(1, 6).0;
    assert!(imaml.meta_gradient([(wrong.clone(), wrong)], &solver).is_err());
}

#[test]
fn inner_problems_are_minimized_from_anywhere() {
    for seed in [1, 2, 3] {
        let world = World::new(seed, (12, 4));
        let (inner, _) = world.captured(&[3.0, -2.0, 1.0, 0.5]).unwrap();
        let (inner, report) = exact().minimize(&inner).unwrap();
        let expected = world.minimizer(&world.eta);
        assert!(relative_error(&entries(&inner.parameters()), &expected) < 1e-12, "{report:?}");
        let loose = InnerSolver::NewtonCg { steps: 2, gradient_norm: 1e-14 };
        let (_, report) = loose.minimize(&world.captured(&[3.0; 4]).unwrap().0).unwrap();
        assert_eq!((report.converged, report.steps), (Some(false), 2));
    }
    // From beside a maximum, where Newton's step leads up.
    let device = Device::flex().autodiff();
    let scalar =
        |value: f32| Softmax { w: Param::from_tensor(Tensor::full([1, 1], value, &device)) };
    let inner = HyperObjective::capture(&scalar(0.1), &scalar(1.0), (), |model, hyper, ()| {
        let w = model.w.val();
        (w.clone().powi_scalar(4) * 0.25 - hyper.w.val() * w.powi_scalar(2) * 0.5).sum()
    });
    let (inner, report) = exact().minimize(&inner.unwrap().in_f64().unwrap()).unwrap();
    assert!((entries(&inner.parameters())[0].abs() - 1.0).abs() < 1e-12, "{report:?}");
}
