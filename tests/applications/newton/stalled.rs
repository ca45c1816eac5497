//! Where no step lowers the loss: every rule ends with a verdict, with λ and the radius within limits.

use burn::prelude::*;
use burn_curvature::{
    Objective,
    optim::{
        Armijo, DampingRule, Direction, NewtonCgConfig, NewtonOptimizer, NewtonOptimizerConfig,
        NewtonOptimizerState, NewtonStep, Rule, TruncatedCg, TrustRegionNewtonConfig, Verdict,
    },
};

use super::{B, Point, functions::booth, number, objective};

fn lm(adaptation: DampingRule, search: Option<Armijo>) -> Rule {
    Rule::LevenbergMarquardt { adaptation, search }
}

/// All rules that refuse steps, with the steps that each may take to find out.
fn rules() -> [(Rule, usize); 6] {
    let martens = DampingRule::Ratio { raise: 1.5 };
    [
        (lm(DampingRule::Nielsen, None), 20),
        (lm(DampingRule::Nielsen, Some(Armijo::new())), 20),
        (lm(martens, None), 220),
        (lm(martens, Some(Armijo::new())), 220),
        (Rule::TrustRegion { radius: 1.0, largest: 1e3, accept: 0.1 }, 60),
        (Rule::Armijo(Armijo::new()), 1),
    ]
}

fn optimizer(rule: Rule, objective: &Objective<B>) -> NewtonOptimizer<B> {
    let direction = Direction::ConjugateGradient(TruncatedCg::new());
    NewtonOptimizerConfig::new(direction, rule).with_damping(1e-3).init(objective).unwrap()
}

/// Steps until one stalls.
fn until_stalled(
    optimizer: &mut NewtonOptimizer<B>,
    model: &mut Point,
    most: usize,
) -> Vec<NewtonStep> {
    let mut steps = Vec::new();
    while steps.len() < most {
        let step;
        (*model, step) = optimizer.step(model, number(1.0)).unwrap();
        let stalled = step.verdict == Verdict::Stalled;
        steps.push(step);
        if stalled {
            break;
        }
    }
    steps
}

/// Nothing is taken from a point, whatever the rule: it stalls, stays so, and λ and the radius stay finite.
fn stalls_at_once(f: fn(&Point) -> Tensor<1>, start: f64) {
    let start = Point::at(&[start]);
    let objective = objective(&start, f);
    for (rule, most) in rules() {
        let mut optimizer = optimizer(rule, &objective);
        let mut model = start.clone();
        let steps = until_stalled(&mut optimizer, &mut model, most);
        let last = steps.last().unwrap();
        assert_eq!(last.verdict, Verdict::Stalled, "{rule:?} after {} steps: {last}", steps.len());
        assert!(steps.iter().all(|step| !step.is_taken()), "{rule:?}");
        assert!(last.gradient_norm > 1.0, "{last}"); // not stationary by any measure
        let state = optimizer.state().unwrap();
        for _ in 0..100 {
            let (_, step) = optimizer.step(&model, number(1.0)).unwrap();
            assert_eq!(step.verdict, Verdict::Stalled, "{rule:?} {step}");
        }
        assert!(optimizer.damping() <= 1e32 && optimizer.damping() >= 1e-3, "{rule:?}");
        assert!(optimizer.radius().is_none_or(|radius| radius >= 0.99e-32), "{rule:?}");
        assert_eq!(model.values(), start.values());
        // Saved, read and resumed, it says the same.
        let state = NewtonOptimizerState::from_bytes(state.to_bytes().unwrap()).unwrap();
        let mut resumed = optimizer.config().resume(&objective, &state).unwrap();
        assert_eq!(resumed.step(&model, number(1.0)).unwrap().1.verdict, Verdict::Stalled);
    }
}

/// Downhill is NaN, at θ and h other than zero, and at zero, where nothing is below rounding.
#[test]
fn at_the_edge_of_a_region_without_values_steps_stall() {
    fn edge(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        x.clone() * -2.0 + (x * -1.0 + 1.0).powf_scalar(2.5)
    }
    stalls_at_once(edge, 1.0);
    fn edge_at_zero(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        x.clone() * -2.0 + (x * -1.0).powf_scalar(2.5)
    }
    stalls_at_once(edge_at_zero, 0.0);
}

/// h rises along its recorded gradient, part of which the closure has cut off.
#[test]
fn along_the_gradient_of_another_function_steps_stall() {
    fn cut(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        (x.clone() * x.clone()).detach() * 3.0 - x * 2.0
    }
    stalls_at_once(cut, 1.0);
}

/// 1 + w² with waves of height 10⁻² and length 10⁻⁶ that the gradient knows nothing of.
#[test]
fn in_noise_steps_end_with_a_verdict() {
    fn noisy(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        let waves = (x.clone().detach() * 6e6).sin() * 1e-2;
        x.clone() * x + waves + 1.0
    }
    for (rule, _) in rules() {
        let mut model = Point::at(&[0.7]);
        let objective = objective(&model, noisy);
        let mut optimizer = optimizer(rule, &objective);
        let steps = until_stalled(&mut optimizer, &mut model, 2000);
        let last = steps.last().unwrap();
        let ended = matches!(last.verdict, Verdict::Stalled | Verdict::Stationary);
        assert!(ended, "{rule:?} after {} steps: {last}", steps.len());
        assert!(model.values()[0].abs() < 0.7 && last.value < 1.49, "{rule:?} {last}");
        assert!(optimizer.damping().is_finite());
    }
}

/// A rate or a λ of its own choice leads on.
#[test]
fn a_stalled_optimizer_goes_on_with_a_smaller_damping() {
    fn edge_at_zero(p: &Point) -> Tensor<1> {
        let x = p.x(0);
        x.clone() * -2.0 + (x * -1.0).powf_scalar(2.5)
    }
    let mut stalled = Point::at(&[0.0]);
    let objective = objective(&stalled, edge_at_zero);
    let mut optimizer = optimizer(lm(DampingRule::Nielsen, None), &objective);
    let steps = until_stalled(&mut optimizer, &mut stalled, 20);
    assert_eq!(steps.last().unwrap().verdict, Verdict::Stalled);
    assert!(optimizer.damping() > 1e20);
    optimizer.set_damping(1.0).unwrap();
    let moved = objective.parameters().space().vector(&[-9.0]).unwrap();
    let moved: Point = moved.add_to(&stalled, 1.0).unwrap();
    let (_, step) = optimizer.step(&moved, number(1.0)).unwrap();
    assert_eq!((step.damping, step.verdict), (1.0, Verdict::Taken), "{step}");
}

/// λ does not fall to zero either, from where nothing would raise it again.
#[test]
fn damping_stays_above_zero() {
    let start = Point::at(&[-8.0, 9.0]);
    let objective = objective(&start, booth);
    let rule = lm(DampingRule::Ratio { raise: 1e9 }, None);
    let mut optimizer = optimizer(rule, &objective);
    for _ in 0..50 {
        let (_, step) = optimizer.step(&start, number(1.0)).unwrap();
        assert_eq!(step.verdict, Verdict::Taken);
    }
    assert!((optimizer.damping() / 1e-32 - 1.0).abs() < 1e-12, "{}", optimizer.damping());
}

/// λ or a radius that leaves no step of any effect is not a stationary point.
#[test]
fn a_step_too_short_to_matter_is_no_stationary_point() {
    let f = |p: &Point| booth(p) + 1.0;
    let far = Point::at(&[1.0, -2.0]);
    let objective = objective(&far, f);
    let region = TrustRegionNewtonConfig::new().with_radius(1e-18).optimizer();
    let damped = |damping| NewtonCgConfig::new().with_damping(damping).optimizer();
    // The square of a step of length 1e-299 is zero.
    for config in [region, damped(1e30), damped(1e300)] {
        let (_, step) = config.init(&objective).unwrap().step(&far, number(1.0)).unwrap();
        assert_eq!(step.verdict, Verdict::Stalled, "{step}");
    }
    // At the minimum itself λ shortens nothing that matters.
    let near = Point::at(&[1.0 + 1e-15, 3.0]);
    let objective = super::objective(&near, f);
    for damping in [1e-3, 1.0, 1e3] {
        let config = NewtonCgConfig::new().with_damping(damping).optimizer();
        let (_, step) = config.init(&objective).unwrap().step(&near, number(1.0)).unwrap();
        let end = matches!(step.verdict, Verdict::Stationary | Verdict::WithinRounding);
        assert!(end, "{step}");
    }
}
