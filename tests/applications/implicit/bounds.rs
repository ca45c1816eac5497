//! The error bound on random strongly convex problems, solved inexactly inside and out.

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig,
    implicit::{HyperObjective, ImplicitConfig, LipschitzConstants},
};

use super::{
    refusals::{Scalar, device, scalar, vector},
    world::{World, entries},
};
use crate::{dense::dot, random::SplitMix64};

const SIZE: (usize, usize) = (20, 8);

/// Constants that hold everywhere: |σ″| ≤ 1/(6√3), |σ′| ≤ ¼.
fn constants(world: &World) -> (f64, LipschitzConstants) {
    let d = world.d();
    let decays: Vec<f64> = world.eta[..d].iter().map(|e| e.exp()).collect();
    let weights = world.eta[d..].iter().map(|a| 1.0 / (1.0 + (-a).exp()));
    let norms: Vec<f64> = world.x.iter().map(|x| dot(x, x).sqrt()).collect();
    let (mut hessian, mut mixed) = (0.0, decays.iter().fold(0.0, |m: f64, e| m.max(e * e)));
    for (a, norm) in weights.zip(&norms) {
        hessian += a * norm.powi(3) / (6.0 * 3.0_f64.sqrt());
        mixed += (a * (1.0 - a) * norm * norm / 4.0).powi(2);
    }
    let squares = world.validation.0.iter().map(|x| dot(x, x) / 4.0);
    let outer_gradient = squares.sum::<f64>() / world.y.len() as f64;
    let smallest = decays.iter().copied().fold(f64::INFINITY, f64::min);
    let mixed = mixed.sqrt();
    (smallest, LipschitzConstants { hessian, mixed, outer_gradient, outer_direct: 0.125 })
}

#[test]
fn the_error_is_below_the_bound_and_the_bound_below_a_hundred_errors() {
    let first = World::new(0, SIZE);
    let (inner, outer) = first.captured(&[0.0; SIZE.1]).unwrap();
    let device = Device::flex().autodiff();
    let mut ratios = [Vec::new(), Vec::new()];
    for seed in 0..100 {
        let world = World::new(1000 + seed, SIZE);
        let eta = inner.hyperparameters().space().vector(&world.eta).unwrap();
        let minimizer = world.minimizer(&world.eta);
        let at = |objective: &HyperObjective, w: &[f64]| {
            objective.at(&objective.parameters().space().vector(w).unwrap(), &eta).unwrap()
        };
        let inner = inner.on(world.training(&device)).unwrap();
        let outer = outer.on(world.validation(&device)).unwrap();
        let exact = ConjugateGradientConfig::new().with_relative_tolerance(1e-13).init().unwrap();
        let truth = ImplicitConfig::new().with_error_bound(false).init(&at(&inner, &minimizer));
        let truth = truth.unwrap().hypergradient(&at(&outer, &minimizer), &exact).unwrap();
        assert!(truth.report.solve.stop.is_success());

        let mut numbers = SplitMix64::new(seed);
        let distance = 10.0_f64.powf(-1.5 - 3.0 * numbers.uniform());
        let tolerance = 10.0_f64.powf(-1.0 - 4.0 * numbers.uniform());
        let w: Vec<f64> = minimizer.iter().map(|w| w + distance * numbers.normal()).collect();
        let solver = ConjugateGradientConfig::new().with_relative_tolerance(tolerance);
        let solver = solver.init().unwrap();
        let (convexity, lipschitz) = constants(&world);
        let stated = ImplicitConfig::new()
            .with_strong_convexity(Some(convexity))
            .with_lipschitz(Some(lipschitz));
        for (config, ratios) in [ImplicitConfig::new(), stated].iter().zip(&mut ratios) {
            let function = config.init(&at(&inner, &w)).unwrap();
            let found = function.hypergradient(&outer, &solver).unwrap();
            assert!(found.report.solve.stop.is_success(), "{}", found.report);
            let error = found.gradient.clone().sub(&truth.gradient).unwrap().norm().unwrap();
            let bound = found.report.error.unwrap_or_else(|| panic!("{}", found.report));
            assert_eq!(bound.proven, config.lipschitz.is_some());
            let away = w.iter().zip(&minimizer).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let most = found.report.distance_bound.map_or(away, |most| most * (1.0 + 1e-9));
            assert!(away <= most, "seed {seed}: {away:e} from the minimizer, at most {most:e}");
            assert_eq!(found.report.distance_bound.is_some(), bound.proven);
            let ratio = bound.total() / error;
            assert!(
                (1.0..=100.0).contains(&ratio),
                "seed {seed}: distance {distance:e}, tolerance {tolerance:e}: error {error:e}, {bound:?}"
            );
            ratios.push(ratio);
        }
        assert!(entries(&truth.gradient).iter().all(|entry| entry.is_finite()));
    }
    for ratios in &mut ratios {
        ratios.sort_by(f64::total_cmp);
        assert_eq!(ratios.len(), 100);
    }
}

/// The constants of the theorem matter: with ones that are too small the bound is not one.
#[test]
fn the_parts_of_a_bound_are_those_of_their_causes() {
    let world = World::new(3, SIZE);
    let minimizer = world.minimizer(&world.eta);
    let solver = |tolerance| {
        ConjugateGradientConfig::new().with_relative_tolerance(tolerance).init().unwrap()
    };
    let bound = |w: &[f64], tolerance| {
        let (inner, outer) = world.captured(w).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        function.hypergradient(&outer, &solver(tolerance)).unwrap().report.error.unwrap()
    };
    let at_minimum = bound(&minimizer, 1e-2);
    assert!(at_minimum.stationarity < 1e-2 * at_minimum.solve, "{at_minimum:?}");
    let away: Vec<f64> = minimizer.iter().map(|w| w + 1e-3).collect();
    let solved = bound(&away, 1e-12);
    assert!(solved.solve < 1e-6 * solved.stationarity, "{solved:?}");
}

/// θ* = bη and L = aᵀw − cη with c the f32 next to aᵀb: both parts of the hypergradient are a hundred million times their
/// difference, and all that is left of it in f32 is their rounding.
#[test]
fn parts_that_cancel_leave_their_rounding() {
    let device = device();
    for seed in 0..5 {
        let mut numbers = SplitMix64::new(seed);
        let mut drawn = || -> Vec<f32> {
            numbers.normals(1000).iter().map(|number| number.abs() as f32).collect()
        };
        let (a, b) = (drawn(), drawn());
        let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let c = product as f32;
        let of = |values: &[f32]| Tensor::<1>::from_floats(values, &device);
        let (model, hyper) = (vector(&b), scalar(1.0));
        let inner =
            HyperObjective::capture(&model, &hyper, of(&b), |model: &Scalar, eta: &Scalar, b| {
                (model.value.val() - b * eta.value.val()).powi_scalar(2).sum() * 0.5
            });
        let outer = HyperObjective::capture(
            &model,
            &hyper,
            of(&a),
            move |model: &Scalar, eta: &Scalar, a| {
                (model.value.val() * a).sum() - (eta.value.val() * c).sum()
            },
        );
        let (inner, outer) = (inner.unwrap(), outer.unwrap());
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let constants =
            LipschitzConstants { hessian: 0.0, mixed: 0.0, outer_gradient: 0.0, outer_direct: 0.0 };
        let estimated = ImplicitConfig::new();
        let proven =
            estimated.clone().with_strong_convexity(Some(1.0)).with_lipschitz(Some(constants));
        for config in [estimated, proven] {
            let found = config.init(&inner).unwrap().hypergradient(&outer, &solver).unwrap();
            let error = (entries(&found.gradient)[0] - (product - f64::from(c))).abs();
            let bound = found.report.error.unwrap().total();
            assert!(error <= bound && bound < 1e-5 * product, "{error:e} {bound:e} {product:e}");
        }
    }
}
