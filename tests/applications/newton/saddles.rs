//! Saddles: left by negative curvature; and what Steihaug's point is in the hard case.

use burn::{module::Param, prelude::*};
use burn_curvature::{
    Hessian, Objective, materialize,
    optim::{
        Armijo, Direction, NewtonCgConfig, NewtonOptimizer, NewtonOptimizerConfig, Rule,
        TruncatedCg, TrustRegionNewtonConfig, Verdict,
    },
};

use super::{B, Point, number, objective, run};

/// x² + y⁴/4 − y²/2: a saddle at 0, minima at (0, ±1) with f = −¼.
fn saddle(p: &Point) -> Tensor<1> {
    let (x, y) = (p.x(0), p.x(1));
    let y2 = y.clone() * y;
    x.clone() * x + y2.clone() * y2.clone() * 0.25 - y2 * 0.5
}

fn methods(objective: &Objective<B>) -> [NewtonOptimizer<B>; 2] {
    [
        NewtonCgConfig::new().init(objective).unwrap(),
        TrustRegionNewtonConfig::new().init(objective).unwrap(),
    ]
}

/// At the saddle itself, where ∇f = 0; on the line y = 0 that Newton's method follows into it; and beside it.
#[test]
fn saddles_are_left() {
    for start in [[0.0, 0.0], [1.0, 0.0], [0.3, 1e-9], [-0.5, 0.2]] {
        let start = Point::at(&start);
        for mut optimizer in methods(&objective(&start, saddle)) {
            let (end, steps) = run(&mut optimizer, start.clone(), -1.0, 40);
            let lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
            let story = lines.join("\n");
            assert!(
                steps.iter().any(|step| step.verdict == Verdict::NegativeCurvature),
                "{:?}\n{story}",
                start.values()
            );
            let curvatures = steps.iter().filter_map(|step| step.negative_curvature);
            assert!(curvatures.into_iter().all(|curvature| (-1.0001..0.0).contains(&curvature)));
            // The end is a minimum, and stationary.
            let last = steps.last().unwrap();
            assert_eq!(last.verdict, Verdict::Stationary, "{story}");
            let [x, y] = end.values()[..] else { panic!() };
            assert!(x.abs() < 1e-10 && (y.abs() - 1.0).abs() < 1e-10, "{x} {y}\n{story}");
        }
    }
}

/// A saddle is left, and a minimum kept, in units whose squares f32 cannot hold.
#[test]
fn saddles_are_left_in_small_units() {
    let origin = Tensor::from_floats([0.0, 0.0], &Device::default().autodiff());
    let origin = Point { w: Param::from_tensor(origin) };
    for (sign, verdict) in [(-1.0, Verdict::NegativeCurvature), (1.0, Verdict::Stationary)] {
        let f = move |p: &Point, one: Tensor<1>| {
            let (x, y) = (p.x(0), p.x(1));
            (x.clone() * x * 2.0 + y.clone() * y * sign) * one * 1e-16
        };
        let one = Tensor::ones([1], &Device::default().autodiff());
        let objective = Objective::capture(&origin, one, f).unwrap();
        for mut optimizer in methods(&objective) {
            let (_, step) = optimizer.step_on(&origin, &objective).unwrap();
            assert_eq!(step.verdict, verdict, "{step}");
        }
    }
}

/// The products of the attempt that left the range of f32 count as well: it is found at the first one.
#[test]
fn all_products_of_the_search_are_counted() {
    let origin = Tensor::from_floats([0.0, 0.0], &Device::default().autodiff());
    let origin = Point { w: Param::from_tensor(origin) };
    let products = |unit: f64| {
        let f = move |p: &Point, one: Tensor<1>| {
            let (x, y) = (p.x(0), p.x(1));
            (x.clone() * x * 2.0 - y.clone() * y) * one * unit
        };
        let one = Tensor::ones([1], &Device::default().autodiff());
        let objective = Objective::capture(&origin, one, f).unwrap();
        let found = methods(&objective).map(|mut one| one.step_on(&origin, &objective).unwrap().1);
        found.map(|step| step.products)
    };
    assert_eq!(products(1e-16), products(1.0).map(|count| count + 1));
}

/// A step away from a saddle stays in the region, in f32 too, and a refused one makes the next one shorter.
#[test]
fn saddles_are_left_within_the_region() {
    let start = Tensor::from_floats([1.0, 0.0], &Device::default().autodiff());
    let start = Point { w: Param::from_tensor(start) };
    // h along y: −y² + cy⁴, which rises at 10⁻³ for c > 10⁶.
    for (quartic, lengths) in [(1.0, &[1e-3][..]), (1e7, &[1e-3, 2.5e-4])] {
        let f = move |p: &Point, one: Tensor<1>| {
            let (x, y) = (p.x(0) - 1.0, p.x(1));
            let y2 = y.clone() * y;
            (x.clone() * x - y2.clone() + y2.clone() * y2 * quartic) * one
        };
        let one = Tensor::ones([1], &Device::default().autodiff());
        let objective = Objective::capture(&start, one, f).unwrap();
        let config = TrustRegionNewtonConfig::new().with_radius(1e-3);
        let mut optimizer = config.init(&objective).unwrap();
        for (tried, length) in lengths.iter().enumerate() {
            let (_, step) = optimizer.step_on(&start, &objective).unwrap();
            assert!((step.length / length - 1.0).abs() < 1e-5, "{step}");
            let last = tried + 1 == lengths.len();
            let verdict = if last { Verdict::NegativeCurvature } else { Verdict::Rejected };
            assert_eq!(step.verdict, verdict, "{step}");
        }
    }
}

/// Without the search for negative curvature the saddle is where it ends.
#[test]
fn saddles_are_not_left_where_nobody_looks() {
    let start = Point::at(&[1.0, 0.0]);
    let direction = TruncatedCg::new().with_leave_saddles(false);
    let config = NewtonOptimizerConfig::new(
        Direction::ConjugateGradient(direction),
        Rule::Armijo(Armijo::new()),
    );
    let mut optimizer = config.init(&objective(&start, saddle)).unwrap();
    let (end, steps) = run(&mut optimizer, start, -1.0, 10);
    assert_eq!(steps.last().unwrap().verdict, Verdict::Stationary);
    assert!(end.values().iter().all(|x| x.abs() < 1e-12));
}

/// A minimum is not left: the curvature there is positive, and no step is taken.
#[test]
fn minima_are_not_left() {
    let start = Point::at(&[0.0, 1.0]);
    for mut optimizer in methods(&objective(&start, saddle)) {
        let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
        assert_eq!(step.verdict, Verdict::Stationary);
        assert!(!step.is_taken());
        assert!(step.products > 0); // it looked
        assert_eq!(end.values(), start.values());
    }
}

/// Steihaug's point against the minimum of the model on the disk by brute force: on the boundary along negative curvature; within
/// half of the best decrease if the Hessian is positive definite; and the hard case, in which it stays far above it.
#[test]
fn steihaug_against_the_dense_minimum_of_the_model() {
    for (start, radius, least) in [
        ([0.4, 2.0], 0.3, 0.5),   // positive definite, boundary
        ([0.4, 2.0], 5.0, 0.999), // positive definite, inside
        ([0.4, 0.3], 0.5, 0.0),   // indefinite
        ([0.4, 0.0], 0.5, 0.0),   // indefinite, hard case
    ] {
        let start = Point::at(&start);
        let objective = objective(&start, saddle);
        let mut optimizer = TrustRegionNewtonConfig::new()
            .with_radius(radius)
            .with_accept(0.0)
            .init(&objective)
            .unwrap();
        let (_, step) = optimizer.step(&start, number(1.0)).unwrap();
        let gradient = objective.gradient().unwrap().to_vec().unwrap();
        let hessian = materialize(&Hessian::new(&objective).unwrap()).unwrap();
        let model = |d: [f64; 2]| -> f64 {
            let h = hessian.values();
            gradient[0] * d[0]
                + gradient[1] * d[1]
                + 0.5 * (h[0] * d[0] * d[0] + 2.0 * h[1] * d[0] * d[1] + h[3] * d[1] * d[1])
        };
        let mut best = 0.0f64;
        for i in 0..=200 {
            for j in 0..720 {
                let (r, angle) =
                    (radius * i as f64 / 200.0, std::f64::consts::TAU * j as f64 / 720.0);
                best = best.min(model([r * angle.cos(), r * angle.sin()]));
            }
        }
        let predicted = step.predicted.unwrap();
        assert!(step.length <= radius * (1.0 + 1e-12), "{step}");
        assert!(
            predicted <= least * best + 1e-12 && predicted >= best * 1.001,
            "{predicted} {best}\n{step}"
        );
        let norm = (gradient[0].powi(2) + gradient[1].powi(2)).sqrt();
        let largest = hessian.values().iter().fold(0.0f64, |a, b| a.max(b.abs())); // H is diagonal
        let descent = -0.5 * norm * radius.min(norm / largest);
        assert!(predicted <= descent + 1e-12, "less than the steepest descent: {step}");
        let hard = start.values()[1] == 0.0;
        assert_eq!(step.negative_curvature.is_some(), start.values()[1] == 0.3, "{step}");
        if hard {
            // The Newton step to the saddle, which is inside; the minimum of the model lies on the boundary.
            assert!((step.length - 0.4).abs() < 1e-9 && predicted > 0.95 * best, "{step}");
        }
    }
}
