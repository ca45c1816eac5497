//! Levenberg–Marquardt against a dense reference, certified values, and what is no sum of squares.

use burn::prelude::*;
use burn_curvature::{
    Objective, Reduction,
    errors::{DeriveError, OptimizerError},
    optim::{LevenbergMarquardtConfig, NewtonOptimizerState, NewtonStep, Verdict},
};

use super::{B, Point};
use crate::{failure::failure, oracle::solve};

/// Misra1a of NIST's reference data sets for nonlinear regression: y ≈ b₁(1 − exp(−b₂x)).
const X: [f64; 14] = [
    77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0,
];
const Y: [f64; 14] = [
    10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47,
    81.78,
];
/// Certified b₁, b₂ and sum of squares.
const CERTIFIED: [f64; 3] = [2.389_421_291_8e2, 5.501_564_318_1e-4, 1.245_513_889_4e-1];

fn tensor(values: &[f64]) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&Device::default().autodiff(), burn::tensor::DType::F64))
}

/// Residuals for w = (b₁/100, 1000 b₂).
fn residuals(p: &Point, (x, y): (Tensor<1>, Tensor<1>)) -> Tensor<1> {
    let curve = (x * p.x(1) * -1e-3).exp() * -1.0 + 1.0;
    curve * p.x(0) * 100.0 - y
}

fn half(p: &Point, data: (Tensor<1>, Tensor<1>)) -> (Tensor<1>, Tensor<1>) {
    let r = residuals(p, data);
    (r.clone(), (r.clone() * r).sum() * 0.5)
}

/// The same by hand: r and J.
fn dense(w: [f64; 2]) -> (Vec<f64>, Vec<[f64; 2]>) {
    let rows = X.iter().zip(Y).map(|(x, y)| {
        let decay = (-1e-3 * w[1] * x).exp();
        let r = 100.0 * w[0] * (1.0 - decay) - y;
        (r, [100.0 * (1.0 - decay), 100.0 * w[0] * 1e-3 * x * decay])
    });
    rows.unzip()
}

fn value(w: [f64; 2]) -> f64 {
    0.5 * dense(w).0.iter().map(|r| r * r).sum::<f64>()
}

/// One step of Madsen, Nielsen & Tingleff's algorithm 3.16 with dense matrices.
fn dense_step(w: &mut [f64; 2], damping: &mut f64, growth: &mut f64) {
    let (r, j) = dense(*w);
    let entry = |a: usize, b: usize| j.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let gradient: Vec<f64> =
        (0..2).map(|a| j.iter().zip(&r).map(|(row, r)| row[a] * r).sum()).collect();
    let matrix: Vec<Vec<f64>> = (0..2)
        .map(|a| (0..2).map(|b| entry(a, b) + if a == b { *damping } else { 0.0 }).collect())
        .collect();
    let step = solve(&matrix, &[-gradient[0], -gradient[1]]);
    // L(0) − L(δ) = ½ δᵀ(λδ − g)
    let gain: f64 =
        0.5 * step.iter().zip(&gradient).map(|(d, g)| d * (*damping * d - g)).sum::<f64>();
    let moved = [w[0] + step[0], w[1] + step[1]];
    let ratio = (value(*w) - value(moved)) / gain;
    if ratio > 0.0 {
        *w = moved;
        *damping *= (1.0 - (2.0 * ratio - 1.0).powi(3)).max(1.0 / 3.0);
        *growth = 2.0;
    } else {
        *damping *= *growth;
        *growth *= 2.0;
    }
}

/// The same path as by dense matrices, refused steps included, to NIST's certified values.
#[test]
fn the_path_is_that_of_the_dense_method_and_ends_at_the_certified_values() {
    for start in [[5.0, 0.1], [2.5, 0.5]] {
        let mut model = Point::at(&start);
        let data = (tensor(&X), tensor(&Y));
        let objective: Objective<B> =
            Objective::capture(&model, data.clone(), half).unwrap().in_f64().unwrap();
        let mut optimizer = LevenbergMarquardtConfig::new()
            .with_forcing(burn_curvature::optim::Forcing::Fixed(1e-13))
            .init(&objective)
            .unwrap();
        let (mut w, mut damping, mut growth) = (start, 1e-3, 2.0);
        let mut steps: Vec<NewtonStep> = Vec::new();
        for _ in 0..60 {
            let step;
            (model, step) = optimizer.step(&model, data.clone()).unwrap();
            let far = step.gradient_norm > 1e-2;
            steps.push(step);
            if !far {
                continue; // where ρ is rounding, two programs round differently
            }
            dense_step(&mut w, &mut damping, &mut growth);
            let error = model.values().into_iter().zip(w).map(|(a, b)| (a - b).abs() / b.abs());
            assert!(
                error.fold(0.0, f64::max) < 1e-6,
                "{:?} {w:?}\n{}",
                model.values(),
                steps.last().unwrap()
            );
            assert!(
                (optimizer.damping() / damping - 1.0).abs() < 1e-3,
                "{} {damping}",
                optimizer.damping()
            );
        }
        let found = model.values();
        let squares = 2.0 * value([found[0], found[1]]);
        let found = [100.0 * found[0], 1e-3 * found[1], squares];
        for (found, certified) in found.iter().zip(CERTIFIED) {
            assert!((found / certified - 1.0).abs() < 1e-9, "{found:?} {certified:?}");
        }
        let last = steps.last().unwrap();
        assert_eq!(last.verdict, Verdict::Stationary, "{last}");
    }
}

/// λ and its growth are part of the state: a run that is taken up after any step goes on digit for digit.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let data = (tensor(&X), tensor(&Y));
    let mut refused = 0;
    for start in [[5.0, 0.1], [2.5, 0.5], [1.0, 3.0]] {
        let mut model = Point::at(&start);
        let objective: Objective<B> =
            Objective::capture(&model, data.clone(), half).unwrap().in_f64().unwrap();
        let config = LevenbergMarquardtConfig::new().with_damping(1e-6).optimizer();
        let mut whole = config.init(&objective).unwrap();
        for _ in 0..20 {
            let state = whole.state().unwrap();
            let read = NewtonOptimizerState::from_bytes(state.to_bytes().unwrap()).unwrap();
            let mut resumed = config.resume(&objective, &read).unwrap();
            let (other, expected) = resumed.step(&model, data.clone()).unwrap();
            let step;
            (model, step) = whole.step(&model, data.clone()).unwrap();
            refused += usize::from(step.verdict == Verdict::Rejected);
            assert_eq!((&step, model.values()), (&expected, other.values()));
            assert_eq!(whole.state().unwrap(), resumed.state().unwrap());
        }
    }
    assert!(refused > 1); // so that the growth of λ mattered
}

/// A mean of squares is fitted as well as half a sum: λ scales with the factor.
#[test]
fn means_of_squares_are_least_squares_too() {
    let data = (tensor(&X), tensor(&Y));
    let paths = [7.0, 1.0].map(|c| {
        let mut model = Point::at(&[2.5, 0.5]);
        let objective: Objective<B> = if c == 1.0 {
            Objective::capture(&model, data.clone(), |p: &Point, data| {
                let r = residuals(p, data);
                (r.clone(), (r.clone() * r).mean())
            })
        } else {
            Objective::capture(&model, data.clone(), half)
        }
        .unwrap();
        // ½ = 7/14
        let config = LevenbergMarquardtConfig::new().with_damping(1e-2 * c);
        let mut optimizer = config.init(&objective.in_f64().unwrap()).unwrap();
        for _ in 0..5 {
            (model, _) = optimizer.step(&model, data.clone()).unwrap();
        }
        model.values()
    });
    assert!(
        paths[0].iter().zip(&paths[1]).all(|(a, b)| (a - b).abs() < 1e-6 * b.abs()),
        "{paths:?}"
    );
}

/// At a fit the gradient is nothing but rounding, and residuals are residuals all the same.
#[test]
fn a_fit_is_taken_up_again_in_f32() {
    let data = (tensor(&X), tensor(&Y));
    let loss = |p: &Point, data| {
        let r = residuals(p, data);
        (r.clone(), (r.clone() * r).mean())
    };
    let mut model = Point::at(&[2.5, 0.5]);
    let objective: Objective<B> = Objective::capture(&model, data.clone(), loss).unwrap();
    let mut optimizer = LevenbergMarquardtConfig::new().init(&objective).unwrap();
    loop {
        let (moved, step) = optimizer.step(&model, data.clone()).unwrap();
        model = moved;
        if !step.is_taken() && step.step > 20 {
            break;
        }
    }
    let at_fit = objective.at_model(&model).unwrap();
    let residual = at_fit.outputs().unwrap().norm().unwrap();
    assert!(at_fit.gradient().unwrap().norm().unwrap() < 1e-4 * residual);
    LevenbergMarquardtConfig::new().init(&at_fit).unwrap();
}

#[test]
fn what_is_no_sum_of_squares_is_refused() {
    let model = Point::at(&[2.5, 0.5]);
    let data = (tensor(&X), tensor(&Y));
    let plain: Objective<B> = Objective::capture(&model, data.clone(), |p: &Point, data| {
        let r = residuals(p, data);
        (r.clone() * r).sum()
    })
    .unwrap();
    let refused = LevenbergMarquardtConfig::new().init(&plain.in_f64().unwrap());
    assert!(matches!(failure(&refused), Some(DeriveError::NoOutputs)), "{refused:?}");
    // The predictions in place of the residuals; and the fourth power.
    type Loss = fn(&Point, (Tensor<1>, Tensor<1>)) -> (Tensor<1>, Tensor<1>);
    let others: [Loss; 2] = [
        |p, (x, y)| {
            let z = residuals(p, (x, y.clone())) + y.clone();
            let r = z.clone() - y;
            (z, (r.clone() * r).sum())
        },
        |p, data| {
            let r = residuals(p, data);
            (r.clone(), r.powf_scalar(4.0).sum())
        },
    ];
    for other in others {
        let objective: Objective<B> = Objective::capture(&model, data.clone(), other).unwrap();
        let refused = LevenbergMarquardtConfig::new().init(&objective.in_f64().unwrap());
        let Some(OptimizerError::NotLeastSquares { difference }) = failure(&refused) else {
            panic!("{refused:?}");
        };
        assert!(*difference > 1e-3);
    }
}

/// Every batch of a data set is looked at, and how the loss grows with the residuals.
#[test]
fn what_is_no_sum_of_squares_over_a_data_set_is_refused() {
    let model = Point::at(&[2.5, 0.5]);
    let batches = || [0..6, 6..14].map(|rows| (tensor(&X[rows.clone()]), tensor(&Y[rows])));
    let captured = |loss: fn(Tensor<1>) -> Tensor<1>| {
        let closure = move |p: &Point, data| {
            let r = residuals(p, data);
            (r.clone(), loss(r))
        };
        let captured = Objective::<B>::capture(&model, batches()[0].clone(), closure);
        captured.unwrap().in_f64().unwrap()
    };
    let method = LevenbergMarquardtConfig::new();
    let refused = |objective: &Objective<B>| {
        let found = method.init(objective);
        matches!(failure(&found), Some(OptimizerError::NotLeastSquares { .. }))
    };
    for (reduction, loss) in [
        (Reduction::Sum, (|r| r.powf_scalar(2.0).sum() * 0.5) as fn(Tensor<1>) -> Tensor<1>),
        (Reduction::Mean, |r| r.powf_scalar(2.0).mean()),
    ] {
        assert!(method.init(&captured(loss).over(batches(), reduction).unwrap()).is_ok());
    }
    let fourth = captured(|r| r.powf_scalar(4.0).sum());
    assert!(refused(&fourth.over(batches(), Reduction::Sum).unwrap()));
    // The gradient is along the residuals, and the loss is of another degree.
    assert!(refused(&captured(|r| r.powf_scalar(2.0).sum().powf_scalar(2.0))));
    assert!(refused(&captured(|r| r.powf_scalar(2.0).sum() + 100.0)));
    assert!(refused(&captured(|r| -r.powf_scalar(2.0).sum())));
}
