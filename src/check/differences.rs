//! Central differences of a function of one variable, extrapolated to step zero, next to a derivative.
//!
//! ```text
//! D(h) = (f(h) − f(−h)) / 2h = f′(0) + c h² + …      R = D(h) + (D(h) − D(h/ρ)) / (ρ⁻² − 1),  ρ < 1 the ratio of steps
//! ```
//!
//! The steps shrink until R agrees with the derivative; if it never does, the R that changed least from one step to the
//! next shows whether the derivative is wrong or the differences do not settle, as at a kink.
//! Richardson 1911; Ridders 1982, *Accurate computation of F′(x) and F′(x) F″(x)*.

use crate::{error::Error, tensor::Precision};

/// Steps and tolerance of differences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Differences {
    /// The largest deviation that counts as agreement.
    pub allowed: f64,
    /// What is added to each element's scale, in units of the root mean square of all.
    floor: f64,
    first_step: f64,
    ratio: f64,
    steps: i32,
    /// Rounding of the function, relative to its largest element.
    rounding: f64,
    /// The most that rounding may come to in differences that decide, relative to the root mean square of the derivative.
    most_noise: f64,
}

impl Differences {
    fn step(&self, index: i32) -> f64 {
        self.first_step * self.ratio.powi(index)
    }

    /// Those for functions that are computed in a precision, along directions whose elements are about 1.
    ///
    /// f64 leaves ten digits between truncation and rounding. In f32 differences are good for one or two digits.
    pub fn of(precision: Precision) -> Self {
        let rounding = 16.0 * precision.epsilon();
        match precision {
            Precision::F64 => Self {
                allowed: 1e-6,
                floor: 0.1,
                first_step: 1e-4,
                ratio: 0.25,
                steps: 6,
                rounding,
                most_noise: 1e-3,
            },
            Precision::F32 => Self {
                allowed: 5e-2,
                floor: 1.0,
                first_step: 2e-2,
                ratio: 0.5,
                steps: 5,
                rounding,
                most_noise: 0.3,
            },
        }
    }
}

/// How a derivative compares with differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Agreement {
    /// They agree to this deviation.
    Agree(f64),
    /// They differ by this deviation, at an element.
    Differ(f64, usize),
    /// The differences change by this much from step to step: they cannot decide.
    Unsettled(f64),
    /// They agree up to rounding of the function, which is this much of the derivative: any derivative of its size would.
    Drowned(f64),
    /// The derivative is NaN or infinite, first in this element.
    NotFinite(usize),
}

/// Compares the derivative of `f` at 0 with `derivative`. Calls `f` twice per step.
pub(super) fn compare(
    f: &dyn Fn(f64) -> Result<Vec<f64>, Error>,
    derivative: &[f64],
    rules: &Differences,
) -> Result<Agreement, Error> {
    if let Some(at) = derivative.iter().position(|element| !element.is_finite()) {
        return Ok(Agreement::NotFinite(at));
    }
    let mut before: Option<Vec<f64>> = None;
    let mut last: Option<Vec<f64>> = None;
    let mut best: Option<(f64, (f64, usize))> = None;
    for step in 0..rules.steps {
        let h = rules.step(step);
        let (quotient, size) = central(&f(h)?, &f(-h)?, h);
        let noise = rules.rounding * size / h;
        if let Some(before) = &before {
            let extrapolated = extrapolate(&quotient, before, rules.ratio);
            let found = deviation(&extrapolated, derivative, rules.floor, noise);
            if found.0 <= rules.allowed {
                let share = noise / root_mean_square(derivative);
                let plain = deviation(&extrapolated, derivative, rules.floor, 0.0).0;
                let decides = share <= rules.most_noise || plain <= rules.allowed;
                return Ok(if decides {
                    Agreement::Agree(found.0)
                } else {
                    Agreement::Drowned(share)
                });
            }
            if let Some(last) = &last {
                let change = deviation(&extrapolated, last, rules.floor, noise).0;
                if best.is_none_or(|(least, _)| change < least) {
                    best = Some((change, found));
                }
            }
            last = Some(extrapolated);
        }
        before = Some(quotient);
    }
    let (change, (found, at)) = best.unwrap_or((f64::INFINITY, (f64::INFINITY, 0)));
    if change > 0.1 * found || change.is_nan() || found.is_nan() || is_kinked(f, at, rules)? {
        return Ok(Agreement::Unsettled(change));
    }
    Ok(Agreement::Differ(found, at))
}

/// Whether the slopes to both sides of 0 differ, in one element. Between them, D(h) is their mean, at every h.
fn is_kinked(
    f: &dyn Fn(f64) -> Result<Vec<f64>, Error>,
    at: usize,
    rules: &Differences,
) -> Result<bool, Error> {
    let h = rules.step(rules.steps - 1);
    let value = |t: f64| Ok::<_, Error>(f(t)?.get(at).copied().unwrap_or(0.0));
    let (up, here, down) = (value(h)?, value(0.0)?, value(-h)?);
    let (right, left) = ((up - here) / h, (here - down) / h);
    let noise = rules.rounding * up.abs().max(down.abs()) / h;
    Ok((right - left).abs() > 1e-2 * (right.abs() + left.abs()) + noise)
}

/// D(h), and the largest value of the function.
fn central(up: &[f64], down: &[f64], h: f64) -> (Vec<f64>, f64) {
    let largest = up.iter().chain(down).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    (up.iter().zip(down).map(|(up, down)| (up - down) / (2.0 * h)).collect(), largest)
}

fn extrapolate(quotient: &[f64], before: &[f64], ratio: f64) -> Vec<f64> {
    let share = 1.0 / (ratio.powi(-2) - 1.0);
    quotient.iter().zip(before).map(|(now, before)| now + share * (now - before)).collect()
}

/// The largest |found − expected| / (|expected| + floor · root mean square), less the noise, and where it is.
fn deviation(found: &[f64], expected: &[f64], floor: f64, noise: f64) -> (f64, usize) {
    let floor = floor * root_mean_square(expected);
    let mut worst = (0.0, 0);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs() - noise;
        let relative = if difference <= 0.0 { 0.0 } else { difference / (expected.abs() + floor) };
        if relative > worst.0 || relative.is_nan() {
            worst = (relative, at);
        }
    }
    worst
}

fn root_mean_square(values: &[f64]) -> f64 {
    let square: f64 = values.iter().map(|x| x * x).sum();
    (square / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use super::{Agreement, Differences, compare};
    use crate::tensor::Precision;

    const F64: Precision = Precision::F64;

    fn judged(f: impl Fn(f64) -> f64, derivative: f64) -> Agreement {
        compare(&|t| Ok(vec![f(t)]), &[derivative], &Differences::of(F64)).unwrap()
    }

    #[test]
    fn smooth_functions_agree_with_their_derivatives() {
        assert!(
            matches!(judged(|t| (3.0 + t).exp(), 3.0_f64.exp()), Agreement::Agree(d) if d < 1e-9)
        );
        assert!(matches!(judged(|t| (1.0 + t).ln(), 1.0), Agreement::Agree(d) if d < 1e-9));
        assert!(matches!(judged(|_| 7.0, 0.0), Agreement::Agree(0.0)));
        // So steep that the first steps are too large.
        assert!(matches!(judged(|t| (1e4 * t).sin(), 1e4), Agreement::Agree(_)));
    }

    #[test]
    fn a_wrong_derivative_differs_by_what_it_is_wrong() {
        let Agreement::Differ(by, 0) = judged(|t| (3.0 + t).exp(), 1.001 * 3.0_f64.exp()) else {
            panic!("not found");
        };
        assert!((by - 1e-3 / 1.1).abs() < 1e-5, "{by}");
    }

    #[test]
    fn a_kink_beside_the_point_is_stepped_over() {
        let f = |t: f64| if t > 1e-5 { t + 100.0 * (t - 1e-5) } else { t };
        assert!(matches!(judged(f, 1.0), Agreement::Agree(_)));
        assert!(matches!(judged(f, 1.01), Agreement::Differ(..)));
    }

    /// Of a large function only the rounding is left in differences, with which any slope of their size agrees.
    #[test]
    fn slopes_below_the_rounding_of_the_function_are_not_decided() {
        for slope in [1.0, 1.3, -1.0] {
            assert!(
                matches!(judged(|t| 1e12 + t, slope), Agreement::Drowned(share) if share > 1.0)
            );
            assert!(matches!(judged(|t| 1.0 + 1e-12 * t, 1e-12 * slope), Agreement::Drowned(_)));
        }
        assert!(matches!(judged(|t| 1e3 + t, 1.0), Agreement::Agree(_)));
        assert!(matches!(judged(|t| 1e3 + t, 1.001), Agreement::Differ(..)));
        assert!(matches!(judged(|_| 1e12, 0.0), Agreement::Agree(0.0)));
    }

    #[test]
    fn jumps_and_nan_do_not_settle() {
        assert!(matches!(
            judged(|t| if t > 0.0 { 1.0 } else { 0.0 }, 1.0),
            Agreement::Unsettled(_)
        ));
        assert!(matches!(judged(|_| f64::NAN, 1.0), Agreement::Unsettled(_)));
        assert_eq!(judged(|t| t, f64::NAN), Agreement::NotFinite(0));
        // At a kink the central difference is the mean of both slopes, at every step.
        assert!(matches!(judged(f64::abs, 1.0), Agreement::Unsettled(_)));
    }
}
