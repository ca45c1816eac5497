//! Rates and steps left, from residuals given by hand.

use burn_curvature::{
    ParamSpace,
    solver::{Convergence, Iteration},
};

/// After iterations with these residuals.
fn after(convergence: &mut Convergence, first: usize, residuals: &[f64]) {
    let space: ParamSpace = ParamSpace::flat(1).unwrap();
    let x = space.zeros();
    for (at, &residual) in residuals.iter().enumerate() {
        convergence.observe(&Iteration {
            index: first + at,
            residual: 7.0 * residual,
            relative_residual: residual,
            curvature: 1.0,
            objective: 0.0,
            x: &x,
        });
    }
}

#[test]
fn the_rate_is_that_of_the_last_ten_steps() {
    let mut convergence = Convergence::new();
    assert_eq!((convergence.rate(), convergence.steps_left(0.1)), (None, None));
    assert_eq!(convergence.to_string(), "no step yet");
    after(&mut convergence, 1, &[1e3]);
    assert_eq!((convergence.rate(), convergence.steps_left(0.1)), (None, None));
    assert_eq!(convergence.steps_left(1e4), Some(0));
    let falling: Vec<f64> = (0..11).map(|k| 0.8_f64.powi(k)).collect();
    after(&mut convergence, 2, &falling);
    assert!((convergence.rate().unwrap() - 0.8).abs() < 1e-12); // 1e3 is forgotten
    // 0.8^k ≤ 0.01 from k = 21 on, of which ten are done.
    assert_eq!(convergence.steps_left(0.01), Some(11));
    assert_eq!((convergence.steps_left(0.0), convergence.steps_left(f64::NAN)), (None, None));
}

#[test]
fn another_solve_starts_anew() {
    let mut convergence = Convergence::new();
    after(&mut convergence, 1, &[1.0, 0.1, 0.01]);
    assert!((convergence.rate().unwrap() - 0.1).abs() < 1e-12);
    after(&mut convergence, 1, &[1.0]);
    assert_eq!((convergence.iterations(), convergence.rate()), (1, None));
    after(&mut convergence, 2, &[0.5]);
    assert_eq!(convergence.rate(), Some(0.5));
}

#[test]
fn what_does_not_converge_has_no_end() {
    for residuals in [[1.0, 1.0], [1.0, 2.0], [1.0, f64::NAN], [1.0, f64::INFINITY]] {
        let mut convergence = Convergence::new();
        after(&mut convergence, 1, &residuals);
        assert_eq!(convergence.steps_left(0.1), None, "{residuals:?}");
    }
    let mut exact = Convergence::new();
    after(&mut exact, 1, &[0.5, 0.0]);
    assert_eq!((exact.rate(), exact.steps_left(0.0)), (Some(0.0), Some(0)));
    after(&mut exact, 3, &[0.0]);
    assert_eq!((exact.rate(), exact.steps_left(1e-3)), (Some(0.0), Some(0)));
}
