//! Long programs: the time to record and differentiate one grows little faster than its length. Where it grows with the
//! square of it, four times the steps take sixteen times the time.

use std::{sync::LazyLock, time::Instant};

use burn::prelude::*;
use burn_curvature::CaptureConfig;

use super::{close, weights};

/// Seconds that this thread has run on a processor, where the system says so: others may run beside it.
fn seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let on_processor = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = on_processor.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

/// 1 − 2⁻⁹
const DECAY: f64 = 0.998_046_875;

/// h ← step(h, w) from 0, ½h² at the end, and its Hessian.
fn recurrence(steps: usize, step: fn(Tensor<1>, Tensor<1>) -> Tensor<1>) -> (f64, f64) {
    let start = seconds();
    let config = CaptureConfig::new().unchecked();
    let objective = config.init(&weights::<1>([0.01]), (), move |model: &super::Weights<1>, ()| {
        let w = model.w.val();
        let start = Tensor::<1>::zeros([1], &w.device());
        (0..steps).fold(start, |h, _| step(h, w.clone())).square().sum() * 0.5
    });
    let objective = objective.unwrap().in_f64().unwrap();
    let one = objective.parameters().space().ones();
    let found = objective.hessian_vector_product(&one).unwrap().to_vec().unwrap();
    (found[0], seconds() - start)
}

/// h ← d h + w: the Hessian is (Σ dᵏ)².
fn linear(steps: usize) -> f64 {
    let (found, seconds) = recurrence(steps, |h, w| h * DECAY + w);
    let sum = (1.0 - DECAY.powi(steps as i32)) / (1.0 - DECAY);
    close(&[found / (sum * sum)], &[1.0]);
    seconds
}

/// h ← tanh(½h + w): with h' = s(½h' + 1) and h'' = s(½h'' − 2h(½h' + 1)²), s = 1 − h², the Hessian is h'² + h h''.
fn saturating(steps: usize) -> f64 {
    let (found, seconds) = recurrence(steps, |h, w| (h * 0.5 + w).tanh());
    let (mut h, mut slope, mut second) = (0.0_f64, 0.0, 0.0);
    for _ in 0..steps {
        h = (0.5 * h + f64::from(0.01_f32)).tanh();
        let inner = 0.5 * slope + 1.0;
        slope = (1.0 - h * h) * inner;
        second = (1.0 - h * h) * (0.5 * second - 2.0 * h * inner * inner);
    }
    close(&[found], &[slope * slope + h * second]);
    seconds
}

#[test]
fn four_times_the_steps_take_less_than_six_times_the_time() {
    for run in [linear, saturating] {
        run(64);
        let least = |steps| (0..2).map(|_| run(steps)).fold(f64::INFINITY, f64::min);
        let (short, long) = (least(768), least(3072));
        assert!(long < 6.0 * short, "{long} s for {short} s");
    }
}

/// Whatever the length of a program, no function calls itself once for each of its operations.
#[test]
fn the_stack_does_not_grow_with_the_length() {
    linear(16_384);
}

/// Σ hₜ² of h ← h + 0.01 Σᵢ tanh(cᵢ h + w), a state that is used eleven times in a step and cut off from its past at every
/// fifth one: every place that was cut off is found.
#[test]
fn stops_of_a_truncated_recurrence_are_found() {
    const STEPS: usize = 160;
    let config = CaptureConfig::new().unchecked();
    let objective = config.init(&weights::<1>([0.01]), (), |model: &super::Weights<1>, ()| {
        let w = model.w.val();
        let mut h = Tensor::<1>::zeros([1], &w.device());
        let mut loss = Tensor::<1>::zeros([1], &w.device());
        for at in 0..STEPS {
            let before = if at % 5 == 4 { h.detach() } else { h };
            let used = (1..11).map(|i| (before.clone() * (0.1 * f64::from(i)) + w.clone()).tanh());
            h = used.fold(before.clone(), |sum, next| sum + next * 0.01);
            loss = loss + h.clone().square();
        }
        loss.sum()
    });
    let program = objective.unwrap().loss_program().unwrap().to_string();
    assert_eq!(program.matches("= StopGradient").count(), 11 * (STEPS / 5));
}
