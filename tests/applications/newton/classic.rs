//! Classic functions to 1e-10 by Newton-CG and in a trust region; a quadratic in one step.

use burn::{module::Param, prelude::*, tensor::DType};
use burn_curvature::{
    CaptureConfig, Objective, Precision,
    optim::{
        Forcing, NewtonCgConfig, NewtonOptimizer, NewtonOptimizerConfig, NewtonStep,
        TrustRegionNewtonConfig, Verdict,
    },
};

use super::{
    B, Point,
    functions::{CLASSICS, Classic, booth, brown, powell, rosenbrock},
    objective, run,
};
use crate::backends::TestBackend;

/// The distance to the closest of the minimizers.
fn distance(classic: &Classic, found: &[f64]) -> f64 {
    let distances = classic.minimizers.iter().map(|minimizer| {
        let squares = minimizer.iter().zip(found).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    });
    distances.fold(f64::INFINITY, f64::min)
}

/// Every step that is taken lowers f, within rounding, and the end is a minimizer to 1e-10.
fn minimizes(init: impl Fn(&Objective<B>) -> NewtonOptimizer<B>) {
    for classic in CLASSICS {
        let start = Point::at(classic.start);
        let mut optimizer = init(&objective(&start, classic.f));
        let (end, steps) = run(&mut optimizer, start, 1e-12, 100);
        let story = format!("{}\n{}", classic.name, story(&steps));
        for step in steps.iter().filter(|step| step.is_taken()) {
            let after = step.value_after.unwrap();
            assert!(after <= step.value + 1e-13 * step.value.abs(), "{story}");
        }
        assert!(steps.last().unwrap().gradient_norm <= 1e-10, "{story}");
        assert!(distance(classic, &end.values()) <= 1e-10, "{:?}\n{story}", end.values());
        if classic.minimizers.len() == 1 {
            let found = steps.last().unwrap().value;
            assert!((found - classic.minimum).abs() <= 1e-13, "{found:e}\n{story}");
        }
    }
}

/// No gradient counts as vanished because it is small beside the first one.
fn to_rounding(config: NewtonOptimizerConfig, objective: &Objective<B>) -> NewtonOptimizer<B> {
    config.with_gradient_tolerance(0.0).init(objective).unwrap()
}

#[test]
fn newton_cg_finds_minimizers_to_ten_digits() {
    minimizes(|objective| to_rounding(NewtonCgConfig::new().optimizer(), objective));
}

#[test]
fn trust_regions_find_minimizers_to_ten_digits() {
    minimizes(|objective| to_rounding(TrustRegionNewtonConfig::new().optimizer(), objective));
}

/// With exact solves the convergence is quadratic: the last gradients square.
#[test]
fn the_convergence_is_quadratic() {
    // Quadratics take one step; on the way to Wood's minimum the gradient is small at a saddle.
    let others = ["Booth", "sphere", "Wood"];
    for classic in CLASSICS.iter().filter(|classic| !others.contains(&classic.name)) {
        let start = Point::at(classic.start);
        let config = NewtonCgConfig::new().with_forcing(Forcing::Fixed(1e-12));
        let mut optimizer = config.init(&objective(&start, classic.f)).unwrap();
        let (_, steps) = run(&mut optimizer, start, 1e-12, 100);
        let norms: Vec<f64> = steps.iter().map(|step| step.gradient_norm).collect();
        let first = norms[0];
        // From the first gradient below 1e-3 on, each is below the power 1.7 of the one before, or at rounding.
        let small = norms.iter().position(|norm| *norm < 1e-4 * first.max(1.0)).unwrap();
        for pair in norms[small..].windows(2) {
            // Goldstein & Price's polynomial is rounded by 2e-11, and the steps end there.
            let ended = pair[0] < 1e-10 && pair[1] == pair[0];
            assert!(
                pair[1] < pair[0].powf(1.5) * 1e2 || pair[1] < 1e-11 || ended,
                "{}: {norms:?}",
                classic.name
            );
        }
    }
}

/// By Newton-CG and in a trust region, with exact solves and whole steps.
fn exact(objective: &Objective<B>, radius: f64) -> [NewtonOptimizer<B>; 2] {
    let exact = Forcing::Fixed(1e-12);
    let region = TrustRegionNewtonConfig::new().with_forcing(exact).with_radius(radius);
    [
        to_rounding(NewtonCgConfig::new().with_forcing(exact).optimizer(), objective),
        to_rounding(region.with_largest_radius(2.0 * radius).optimizer(), objective),
    ]
}

fn story(steps: &[NewtonStep]) -> String {
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A singular minimum: each whole step leaves two thirds of the way. At a distance d the smallest eigenvalue of the Hessian
/// is 2.9 d², and the entries of the Hessian are rounded by 202·2⁻⁵³ = 2e-14: below d = 9e-8 the step along that direction
/// is no longer determined by f64, so that 1e-10 cannot be reached in x. In f, which is 4.4 d⁴, it is by far.
#[test]
fn at_a_singular_minimum_convergence_is_linear() {
    let start = Point::at(&[3.0, -1.0, 0.0, 1.0]);
    for mut optimizer in exact(&objective(&start, powell), 100.0) {
        let (end, steps) = run(&mut optimizer, start.clone(), 1e-29, 80);
        let story = story(&steps);
        assert!(end.values().iter().all(|x| x.abs() <= 1e-7), "{:?}\n{story}", end.values());
        assert!(steps.last().unwrap().value <= 1e-26, "{story}");
        // ∇h is cubic in the distance.
        let factor = (2.0_f64 / 3.0).powi(3);
        for pair in steps[5..30].windows(2) {
            let ratio = pair[1].gradient_norm / pair[0].gradient_norm;
            assert!((ratio - factor).abs() < 0.02, "{ratio}\n{story}");
        }
    }
}

/// Coordinates that differ by twelve orders of magnitude, and eigenvalues as well.
#[test]
fn a_badly_scaled_minimum_is_found_to_ten_digits() {
    let start = Point::at(&[1.0, 1.0]);
    for mut optimizer in exact(&objective(&start, brown), 1e7) {
        let (end, steps) = run(&mut optimizer, start.clone(), 1e-12, 30);
        let story = story(&steps);
        let [x, y] = [end.values()[0] / 1e6 - 1.0, end.values()[1] / 2e-6 - 1.0];
        assert!(x.abs() <= 1e-10 && y.abs() <= 1e-10, "{x:e} {y:e}\n{story}");
    }
}

/// A quadratic in one step, by each rule that takes whole steps.
#[test]
fn a_quadratic_takes_one_step() {
    let start = Point::at(&[-8.0, 9.0]);
    let objective = objective(&start, booth);
    let exact = Forcing::Fixed(1e-14);
    let optimizers = [
        NewtonCgConfig::new().with_forcing(exact).init(&objective).unwrap(),
        TrustRegionNewtonConfig::new()
            .with_forcing(exact)
            .with_radius(100.0)
            .init(&objective)
            .unwrap(),
    ];
    for mut optimizer in optimizers {
        let (end, step) = optimizer.step(&start, super::number(1.0)).unwrap();
        assert_eq!(step.verdict, Verdict::Taken);
        assert!(end.values().iter().zip([1.0, 3.0]).all(|(x, y)| (x - y).abs() < 1e-12));
        let (gradient, products) = (step.gradients, step.products);
        assert_eq!((gradient, step.evaluations), (1, 1), "{step}");
        assert!(products <= 4, "{step}");
        // The quadratic model is f itself.
        let change = step.value_after.unwrap() - step.value;
        assert!((step.predicted.unwrap() - change).abs() < 1e-10, "{step}");
    }
}

/// Rosenbrock's valley by both methods on a typed backend, in f32 and in f64, from a model in the precision.
fn the_valley<T: TestBackend>() {
    for (precision, dtype, tolerance) in
        [(Precision::F32, DType::F32, 1e-4), (Precision::F64, DType::F64, 1e-10)]
    {
        let device = T::user_device().autodiff();
        let tensor = |values: Vec<f64>| {
            let shape = [values.len()];
            Tensor::<1>::from_data(TensorData::new(values, shape), (&device, dtype))
        };
        let start = Point { w: Param::from_tensor(tensor(vec![-1.2, 1.0])) };
        let one = tensor(vec![1.0]);
        let objective: Objective<T> = Objective::capture_with(
            &CaptureConfig::new(),
            &start,
            one.clone(),
            |point: &Point, one: Tensor<1>| rosenbrock(point) * one,
        )
        .unwrap();
        let objective = objective.in_precision(precision).unwrap();
        let optimizers = [
            NewtonCgConfig::new().init(&objective).unwrap(),
            TrustRegionNewtonConfig::new().init(&objective).unwrap(),
        ];
        for mut optimizer in optimizers {
            let mut model = start.clone();
            for _ in 0..60 {
                (model, _) = optimizer.step(&model, one.clone()).unwrap();
            }
            let end: Vec<f64> = model.w.val().into_data().iter::<f64>().collect();
            assert!(end.iter().all(|x| (x - 1.0).abs() < tolerance), "{precision} {end:?}");
        }
    }
}

on_backends!(the_valley: ndarray, flex);
