//! LiSSA as an optimizer on a binary task of digits with rows of norm 1 and weight decay 1e-3, over three seeds: passes over
//! the data until h is within 1e-8 of its minimum. SVRG, written out here, is compared with it, also where κ ≈ n, and there it
//! wins.

#[path = "../../examples/newton/problem.rs"]
mod problem;

use burn::tensor::Device;
use burn_curvature::{
    Objective, Reduction,
    optim::{LissaNewtonConfig, NewtonCgConfig},
    solver::LissaConfig,
};

use crate::{
    Outcome,
    digits::{Digits, PIXELS},
    figures::Figures,
    random::SplitMix64,
};
use problem::{DECAY, Logistic, loss, samples};

/// Images of a term, steps of the series, and its scale: above the largest curvature, ¼ + η.
const BATCH: usize = 5;
const DEPTH: usize = 360;
const SCALE: f64 = 0.26;
const GOAL: f64 = 1e-8;
const LIMIT: f64 = 40.0;

/// Passes until h is within the goal of its minimum, from zero: a gradient is one, a product with a term its share.
fn lissa(seed: u64, decay: f64) -> Result<f64, Box<dyn std::error::Error>> {
    let device = Device::default().autodiff();
    let (x, y) = samples(&device, seed)?;
    let count = x.dims()[0];
    let mut model = Logistic::new(&device);
    let whole: Objective = Objective::capture(&model, (x.clone(), y.clone()), loss)?.in_f64()?;
    let batches = (0..count).step_by(BATCH).map(|from| {
        let rows = from..(from + BATCH).min(count);
        (x.clone().slice([rows.clone(), 0..PIXELS]), y.clone().slice([rows, 0..1]))
    });
    let risk = whole.over(batches.collect::<Vec<_>>(), Reduction::Mean)?;
    let mut newton = NewtonCgConfig::new().with_weight_decay(decay).init(&whole)?;
    let (mut best, mut minimum) = (model.clone(), f64::INFINITY);
    for _ in 0..20 {
        let step;
        (best, step) = newton.step_on(&best, &whole)?;
        minimum = step.value;
    }
    let series = LissaConfig::new().with_repeats(1).with_depth(DEPTH).with_seed(seed);
    let config = LissaNewtonConfig::new().with_series(series.with_scale(Some(SCALE)));
    let mut optimizer = config.with_weight_decay(decay).init(&risk)?;
    let mut passes = 0.0;
    while passes < LIMIT {
        let step;
        // Gradients over the whole batch, which is the same number; terms from the data set.
        (model, step) = optimizer.step_with_curvature(&model, &whole, &risk)?;
        passes += 1.0 + (DEPTH * BATCH) as f64 / count as f64;
        let left = step.value_after.unwrap_or(f64::NAN) - minimum;
        println!("passes {passes:.1}: {left:.2e}; {}", step.verdict);
        if left < GOAL {
            break;
        }
    }
    Ok(passes)
}

/// Passes of SVRG at rate 1 (Johnson & Zhang 2013), with as many stochastic steps as samples between full gradients.
fn svrg(seed: u64, decay: f64) -> Result<f64, Box<dyn std::error::Error>> {
    let digits = Digits::load()?;
    let rows: Vec<Vec<f64>> = digits
        .pixels
        .chunks(PIXELS)
        .map(|row| {
            let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            row.iter().map(|x| f64::from(*x) / norm).collect()
        })
        .collect();
    let labels: Vec<f64> = digits.labels.iter().map(|digit| f64::from(*digit >= 5)).collect();
    let dot = |row: &[f64], w: &[f64]| row.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let count = rows.len();
    let gradient = |w: &[f64]| {
        let mut sum: Vec<f64> = w.iter().map(|w| decay * w).collect();
        for (row, y) in rows.iter().zip(&labels) {
            let factor = (sigmoid(dot(row, w)) - y) / count as f64;
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += factor * x);
        }
        sum
    };
    let mut numbers = SplitMix64::new(seed);
    let (mut w, mut passes) = (vec![0.0; PIXELS], 0.0);
    while passes < LIMIT {
        let (anchor, mean) = (w.clone(), gradient(&w));
        // h − h* ≤ ‖∇h‖²/2η: a bound, so that no minimum is needed.
        if mean.iter().map(|g| g * g).sum::<f64>() / (2.0 * decay) < GOAL {
            break;
        }
        for _ in 0..count {
            let at = numbers.below(count);
            let factor = sigmoid(dot(&rows[at], &w)) - sigmoid(dot(&rows[at], &anchor));
            for j in 0..PIXELS {
                w[j] -= factor * rows[at][j] + decay * (w[j] - anchor[j]) + mean[j];
            }
        }
        passes += 2.0;
    }
    Ok(passes)
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn lissa_newton() -> Outcome {
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        figures.expect(&format!("lissa.{seed}.passes"), lissa(seed, DECAY)?, 1.0..=14.0);
        figures.note(&format!("svrg.{seed}.passes"), svrg(seed, DECAY)?);
    }
    // κ = ¼/η ≈ 1797 = n: variance-reduced gradients win. LiSSA is stopped at the limit.
    let hard = 0.25 / 1797.0;
    let (ours, theirs) = (lissa(1, hard)?, svrg(1, hard)?);
    figures.note("lissa.hard.passes", ours);
    figures.expect("svrg.hard.passes", theirs, 1.0..=LIMIT - 2.0);
    figures.expect("lissa.hard.passes_over_svrg", ours / theirs, 1.0..=f64::INFINITY);
    assert!(figures.print());
    Ok(())
}
