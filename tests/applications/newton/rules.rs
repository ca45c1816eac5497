//! What each rule does with good and bad proposals, on functions where that is known.

use burn::{lr_scheduler::linear::LinearLrSchedulerConfig, prelude::*};
use burn_curvature::{
    LinearOperator, Objective, Reduction,
    optim::{
        Armijo, Curvature, DampingRule, Direction, Forcing, HessianFreeConfig,
        NewtonOptimizerConfig, Preconditioner, Rule, TruncatedCg, Verdict,
    },
    solver::{ConjugateGradientConfig, LinearSolver},
};

use super::{
    B, Point,
    functions::{booth, rosenbrock},
    number, objective,
};
use crate::classifier::{Classifier, cross_entropy, samples};

fn exact() -> TruncatedCg {
    TruncatedCg::new().with_forcing(Forcing::Fixed(1e-13))
}

fn config(rule: Rule) -> NewtonOptimizerConfig {
    NewtonOptimizerConfig::new(Direction::ConjugateGradient(exact()), rule)
}

/// A quadratic h₀ + ½(w − m)ᵀH(w − m): δ·rate leaves (1 − rate)² of the difference to the minimum.
#[test]
fn fixed_rates_are_taken_and_judged() {
    let start = Point::at(&[-8.0, 9.0]);
    let objective = objective(&start, booth);
    for (rate, verdict) in [(0.5, Verdict::Taken), (1.5, Verdict::Taken), (3.0, Verdict::Raised)] {
        let mut optimizer = config(Rule::Fixed { rate }).init(&objective).unwrap();
        let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
        assert_eq!((step.verdict, step.rate), (verdict, rate));
        assert!(step.is_taken());
        let left = step.value_after.unwrap() / step.value;
        assert!((left - (1.0 - rate).powi(2)).abs() < 1e-9, "{step}");
        assert!((end.values()[0] - (-8.0 + 9.0 * rate)).abs() < 1e-9);
    }
}

/// Burn's schedulers set the rate.
#[test]
fn schedulers_set_the_rate() {
    let mut scheduler = LinearLrSchedulerConfig::new(0.8, 0.2, 3).init().unwrap();
    let mut model = Point::at(&[-8.0, 9.0]);
    let objective = objective(&model, booth);
    let mut optimizer = config(Rule::Fixed { rate: 1.0 }).init(&objective).unwrap();
    for _ in 0..3 {
        let rate = scheduler.step().base();
        optimizer.set_learning_rate(rate).unwrap();
        let step;
        (model, step) = optimizer.step(&model, number(1.0)).unwrap();
        assert_eq!(step.rate, rate);
        let left = step.value_after.unwrap() / step.value;
        assert!((left - (1.0 - rate).powi(2)).abs() < 1e-6, "{step}");
    }
}

/// −ln(1 + x)… the loss is infinite beyond the step: no rule takes it, and the model stays.
#[test]
fn steps_to_infinity_are_not_taken() {
    // f = exp(800 (x − 1)²) with a slope that makes the Gauss step too long: ½x² + overflow beyond |x| > 2.
    fn wall(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        // The Newton step of −x at x = 0 with curvature 0.01 leads to 100, where the exponential overflows.
        x.clone() * -1.0 + (x.clone() * x.clone()) * 0.005 + ((x - 50.0) * 40.0).exp()
    }
    let start = Point::at(&[0.0]);
    let objective = objective(&start, wall);
    let lm = |search| Rule::LevenbergMarquardt { adaptation: DampingRule::Nielsen, search };
    let rules = [
        (Rule::Fixed { rate: 1.0 }, Verdict::NotFinite),
        (lm(None), Verdict::NotFinite),
        (Rule::TrustRegion { radius: 500.0, largest: 1e3, accept: 0.1 }, Verdict::NotFinite),
        (Rule::Armijo(Armijo::new()), Verdict::Taken),
    ];
    for (rule, verdict) in rules {
        let mut optimizer = config(rule).with_damping(1e-6).init(&objective).unwrap();
        let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
        assert_eq!(step.verdict, verdict, "{rule:?} {step}");
        if verdict == Verdict::Taken {
            assert!(step.rate < 1.0 && step.value_after.unwrap() < step.value, "{step}");
            continue;
        }
        assert_eq!((end.values(), step.value_after), (start.values(), None));
        match rule {
            Rule::LevenbergMarquardt { .. } => assert_eq!(optimizer.damping(), 2e-6),
            Rule::TrustRegion { .. } => assert_eq!(optimizer.radius(), Some(125.0)),
            _ => {}
        }
    }
}

/// λ × 3/2 and the radius / 4 where the promise is broken; λ / (3/2) and the radius × 2 where it is kept.
#[test]
fn damping_and_radius_follow_the_ratio() {
    let martens =
        Rule::LevenbergMarquardt { adaptation: DampingRule::Ratio { raise: 1.5 }, search: None };
    let region = Rule::TrustRegion { radius: 1.0, largest: 1e3, accept: 0.1 };
    // Booth is its own quadratic model: ρ = 1.
    let start = Point::at(&[-8.0, 9.0]);
    let kept = objective(&start, booth);
    let mut optimizer = config(martens).with_damping(0.3).init(&kept).unwrap();
    let (_, step) = optimizer.step(&start, number(1.0)).unwrap();
    assert!((step.reduction_ratio.unwrap() - 1.0).abs() < 1e-9);
    assert!((optimizer.damping() - 0.2).abs() < 1e-15);
    let mut optimizer = config(region).init(&kept).unwrap();
    let (_, step) = optimizer.step(&start, number(1.0)).unwrap();
    assert!((step.length - 1.0).abs() < 1e-12);
    assert_eq!((optimizer.radius(), step.verdict), (Some(2.0), Verdict::Taken));

    // Rosenbrock's curved valley from (−1.2, 1): the full step of the second iteration rises by far.
    let start = Point::at(&[-1.175_280_5, 1.380_673_7]);
    let broken = objective(&start, rosenbrock);
    let mut optimizer = config(martens).with_damping(1e-6).init(&broken).unwrap();
    let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
    assert!(step.reduction_ratio.unwrap() < 0.0, "{step}");
    assert_eq!((step.verdict, end.values()), (Verdict::Rejected, start.values()));
    assert!((optimizer.damping() - 1.5e-6).abs() < 1e-20);
    let wide = Rule::TrustRegion { radius: 10.0, largest: 1e3, accept: 0.1 };
    let mut optimizer = config(wide).init(&broken).unwrap();
    let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
    assert_eq!((step.verdict, end.values()), (Verdict::Rejected, start.values()));
    assert_eq!(optimizer.radius(), Some(2.5));
}

/// A step refused is tried again more damped, until it is taken: the path still ends at the minimizer.
#[test]
fn refused_steps_lead_on() {
    let mut model = Point::at(&[-1.2, 1.0]);
    let gauss = exact();
    let rule = Rule::LevenbergMarquardt { adaptation: DampingRule::Nielsen, search: None };
    let config =
        NewtonOptimizerConfig::new(Direction::ConjugateGradient(gauss), rule).with_damping(1e-4);
    let mut optimizer = config.init(&objective(&model, rosenbrock)).unwrap();
    let mut refused = 0;
    for _ in 0..60 {
        let step;
        (model, step) = optimizer.step(&model, number(1.0)).unwrap();
        refused += usize::from(step.verdict == Verdict::Rejected);
    }
    assert!(refused > 0);
    assert!(model.values().iter().all(|x| (x - 1.0).abs() < 1e-9), "{:?}", model.values());
}

fn classifier() -> (Classifier, crate::classifier::Samples, Objective<B>) {
    let device = Device::default().autodiff();
    let (model, batch) = (Classifier::new(1, &device), samples(12, 101, &device));
    let objective: Objective<B> = Objective::capture(&model, batch.clone(), cross_entropy).unwrap();
    (model, batch, objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap())
}

/// The direction of Hessian-free is −(G + (λ + η)I)⁻¹∇h, whatever the preconditioner, if the solve is not cut short.
#[test]
fn hessian_free_solves_the_damped_gauss_newton_system() {
    let (model, batch, objective) = classifier();
    let (damping, decay) = (0.1, 1e-3);
    let gradient = objective.gradient().unwrap().axpy(decay, objective.parameters()).unwrap();
    let matrix =
        burn_curvature::GaussNewton::new(&objective).unwrap().damped(damping + decay).unwrap();
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-12).init().unwrap();
    let expected = solver.solve(&matrix, &gradient.neg()).unwrap().x.norm().unwrap();
    for probes in [0, 4] {
        let mut optimizer = HessianFreeConfig::new()
            .with_damping(damping)
            .with_weight_decay(decay)
            .with_relative_progress(1e-13)
            .with_probes(probes)
            .init(&objective)
            .unwrap();
        let (_, step) = optimizer.step(&model, batch.clone()).unwrap();
        assert_eq!(step.verdict, Verdict::Taken);
        // Backtracking over iterates found the last one best, and the line search its full length.
        assert_eq!(step.rate, 1.0);
        assert!((step.length / expected - 1.0).abs() < 0.05, "{} {expected} {step}", step.length);
    }
}

/// With the rules of the paper, h falls at every step, λ follows, and later solves start from the last one.
#[test]
fn hessian_free_trains_a_classifier() {
    let (start, batch, objective) = classifier();
    let mut ends = Vec::new();
    for probes in [0, 8] {
        let config = HessianFreeConfig::new().with_probes(probes).with_weight_decay(1e-3);
        let mut optimizer = config.init(&objective).unwrap();
        let (mut model, mut values) = (start.clone(), Vec::new());
        for _ in 0..25 {
            let step;
            (model, step) = optimizer.step(&model, batch.clone()).unwrap();
            values.push(step.value);
            if let (true, Some(after)) = (step.is_taken(), step.value_after) {
                assert!(after < step.value + 1e-12);
            }
        }
        assert!(values[24] < 0.3 * values[0], "{values:?}");
        assert!(optimizer.damping() < 0.1);
        ends.push(values[24]);
    }
    assert!((ends[0] - ends[1]).abs() < 0.02, "{ends:?}");
}

/// The preconditioner's diagonal in expectation: Σ gₙ²/N of one weight is the empirical Fisher matrix.
#[test]
fn squared_gradients_are_a_preconditioner_for_gauss_newton_too() {
    let (model, batch, objective) = classifier();
    let squares = Preconditioner::SquaredGradients { exponent: 0.75, probes: 16, seed: 3 };
    let direction =
        exact().with_curvature(Curvature::GaussNewton).with_preconditioner(Some(squares));
    let directions = [exact().with_curvature(Curvature::GaussNewton), direction];
    let steps = directions.map(|direction| {
        let rule = Rule::Armijo(Armijo::new());
        let config = NewtonOptimizerConfig::new(Direction::ConjugateGradient(direction), rule);
        let mut optimizer = config.with_damping(1e-2).init(&objective).unwrap();
        optimizer.step(&model, batch.clone()).unwrap().1
    });
    // Exact solves: the same step.
    assert!((steps[0].length / steps[1].length - 1.0).abs() < 1e-8, "{}\n{}", steps[0], steps[1]);
}

/// A direction of length zero is not a step: f = x has no curvature to divide by.
#[test]
fn no_direction_is_no_step() {
    let start = Point::at(&[1.0]);
    let objective = objective(&start, |p| p.x(0));
    let mut optimizer = config(Rule::Fixed { rate: 1.0 }).init(&objective).unwrap();
    let (end, step) = optimizer.step(&start, number(1.0)).unwrap();
    assert_eq!(step.is_taken(), end.values() != start.values(), "{step}");
}

/// The line search after λ is adapted starts from the value at rate 1, which is known.
#[test]
fn the_value_of_the_whole_step_is_computed_once() {
    let start = Point::at(&[1.0, -2.0]);
    let objective = objective(&start, |p| p.w.val().square().sum());
    let adaptation = DampingRule::Ratio { raise: 1.5 };
    for search in [None, Some(Armijo::new())] {
        let config = config(Rule::LevenbergMarquardt { adaptation, search }).with_damping(0.1);
        let mut optimizer = config.init(&objective).unwrap();
        let (_, step) = optimizer.step(&start, number(1.0)).unwrap();
        assert_eq!((step.verdict, step.evaluations), (Verdict::Taken, 1), "{search:?}");
    }
}
