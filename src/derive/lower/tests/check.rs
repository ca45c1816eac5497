//! Checks of one row.

use burn::backend::Flex;

use super::{
    super::{apply, apply_recorded_twice},
    case::Case,
    draw::Draw,
    harness::{
        Once, Run, Twice, as_burn_does, gradient, hessian_product, numbers, outputs, parameters,
        relative_error, value,
    },
};

/// Largest relative error of gradient and Hessian product. Below the 3e-8 of an f32 reciprocal.
const TOLERANCE: f64 = 3e-9;
const FORWARD_TOLERANCE: f64 = 1e-12;
const STEP: f64 = 2e-4;
const SEEDS: [u64; 2] = [1, 2];

/// What is wrong with a row, if anything.
pub(super) fn check(case: &Case) -> Vec<String> {
    let twice =
        [("eager", apply::<Twice> as Run<Twice>), ("recorded", apply_recorded_twice::<Once>)];
    let at = |seed| {
        let mut failures = check_at(case, seed, apply::<Once>, &twice);
        failures.extend(check_value(case, seed));
        failures
    };
    SEEDS.into_iter().flat_map(at).collect()
}

/// The same for Burn's own rules.
pub(super) fn check_native(case: &Case) -> Vec<String> {
    let twice = [("native", as_burn_does::<Twice> as Run<Twice>)];
    check_at(case, SEEDS[0], as_burn_does::<Once>, &twice)
}

fn check_value(case: &Case, seed: u64) -> Vec<String> {
    let device = Default::default();
    let point = parameters::<Flex>(case, &Draw::new(case, seed).point, &device);
    let own = outputs::<Flex>(case, &point, as_burn_does::<Flex>, &device);
    let lowered = outputs::<Flex>(case, &point, apply::<Flex>, &device);
    let pairs = own.into_iter().zip(lowered);
    let complaints = pairs.filter_map(|(own, lowered)| {
        let error = relative_error(&numbers::<Flex>(lowered), &numbers::<Flex>(own));
        complaint(case, "value", error, FORWARD_TOLERANCE)
    });
    complaints.collect()
}

fn check_at(case: &Case, seed: u64, once: Run<Once>, twice: &[(&str, Run<Twice>)]) -> Vec<String> {
    let draw = Draw::new(case, seed);
    let gradient_at = |point: &[Vec<f64>]| gradient(case, point, &draw, once);
    let along =
        |axis: &Vec<Vec<f64>>| difference(|by| vec![value(case, &draw.moved(axis, by), &draw)]);
    let expected: Vec<f64> = draw.axes(case).iter().flat_map(along).collect();
    let error = relative_error(&gradient_at(&draw.point), &expected);
    let mut failures: Vec<String> =
        complaint(case, "gradient", error, TOLERANCE).into_iter().collect();
    let expected = difference(|by| gradient_at(&draw.moved(&draw.direction, by)));
    for (name, run) in twice {
        let error = relative_error(&hessian_product(case, &draw, *run), &expected);
        failures.extend(complaint(case, &format!("Hessian product ({name})"), error, TOLERANCE));
    }
    failures
}

/// Fourth-order central difference.
fn difference(of: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let [far_back, back, ahead, far_ahead] = [-2.0, -1.0, 1.0, 2.0].map(|steps| of(steps * STEP));
    (0..back.len())
        .map(|i| (8.0 * (ahead[i] - back[i]) - (far_ahead[i] - far_back[i])) / (12.0 * STEP))
        .collect()
}

fn complaint(case: &Case, what: &str, error: f64, tolerance: f64) -> Option<String> {
    let wrong = error.is_nan() || error > tolerance;
    wrong.then(|| format!("{}: {what} off by {error:.1e}", case.name))
}
