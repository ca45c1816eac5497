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

/// h ← d h + w from 0, ½h² at the end: the Hessian is (Σ dᵏ)².
fn recurrence(steps: usize) -> f64 {
    let start = seconds();
    let config = CaptureConfig::new().unchecked();
    let objective = config.init(&weights::<1>([0.01]), (), move |model: &super::Weights<1>, ()| {
        let w = model.w.val();
        let mut h = Tensor::<1>::zeros([1], &w.device());
        for _ in 0..steps {
            h = h * DECAY + w.clone();
        }
        h.square().sum() * 0.5
    });
    let objective = objective.unwrap().in_f64().unwrap();
    let one = objective.parameters().space().ones();
    let found = objective.hessian_vector_product(&one).unwrap().to_vec().unwrap();
    let sum = (1.0 - DECAY.powi(steps as i32)) / (1.0 - DECAY);
    close(&[found[0] / (sum * sum)], &[1.0]);
    seconds() - start
}

#[test]
fn four_times_the_steps_take_less_than_eight_times_the_time() {
    recurrence(64);
    let least = |steps| (0..3).map(|_| recurrence(steps)).fold(f64::INFINITY, f64::min);
    let (short, long) = (least(1024), least(4096));
    assert!(long < 8.0 * short, "{long} s for {short} s");
}
