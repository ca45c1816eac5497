//! Two gradients of one loss, compared block by block.

use crate::space::ParamLayout;

/// How many times the change of one of them that is rounding two gradients may be apart.
const ROUNDING: f64 = 4.0;

/// The recorded gradient and Burn's at one point.
pub(super) struct Gradients {
    pub recorded: Vec<f64>,
    pub burn: Vec<f64>,
    /// Changes that are rounding: of the recorded one in f64, where the device has it, and of Burn's at parameters that are
    /// rounded otherwise, if they have been computed.
    pub rounding: Vec<Vec<f64>>,
}

/// The largest relative difference, and in which parameter it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub relative: f64,
    pub parameter: String,
}

impl Difference {
    /// Whether it is within a tolerance; NaN is not.
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.relative <= tolerance
    }
}

impl Gradients {
    /// The largest of ‖g − g_Burn‖ / max(‖g_Burn‖, 1e-2 ‖whole g_Burn‖) over the blocks.
    ///
    /// The second term tolerates rounding in a parameter whose gradient almost vanishes.
    pub fn difference(&self, layout: &ParamLayout) -> Difference {
        largest(layout, &self.differences(layout), &self.scales(layout))
    }

    /// Whether both gradients are zero, so that they cannot differ.
    pub fn vanish(&self) -> bool {
        self.recorded.iter().chain(&self.burn).all(|value| *value == 0.0)
    }

    /// Whether every element is finite.
    pub fn are_finite(&self) -> bool {
        self.recorded.iter().chain(&self.burn).all(|value| value.is_finite())
    }

    /// ‖g − g_Burn‖ of every block, as far as rounding does not explain it.
    fn differences(&self, layout: &ParamLayout) -> Vec<f64> {
        let blocks = layout.blocks().iter().map(|block| {
            let (ours, theirs) = (&self.recorded[block.range()], &self.burn[block.range()]);
            let difference = norm(ours.iter().zip(theirs).map(|(a, b)| a - b));
            let changes = self.rounding.iter();
            let changes = changes.map(|change| norm(change[block.range()].iter().copied()));
            let rounding = changes.fold(0.0, f64::max);
            // Also keeps NaN.
            if difference <= ROUNDING * rounding { 0.0 } else { difference }
        });
        blocks.collect()
    }

    /// The size of Burn's gradient in every block.
    fn scales(&self, layout: &ParamLayout) -> Vec<f64> {
        let whole = norm(self.burn.iter().copied());
        let blocks = layout.blocks().iter();
        blocks.map(|it| norm(self.burn[it.range()].iter().copied()).max(1e-2 * whole)).collect()
    }
}

/// The largest difference near a point: of the gradients there, and of those at the point itself relative to the size
/// of the former.
///
/// A recording of another loss differs near the point as it does at the point. Rounding, which is all that differs where
/// the gradient vanishes, is negligible compared with the gradients around. `None` if there is nothing near the point.
pub(super) fn difference_near(
    layout: &ParamLayout,
    point: &Gradients,
    near: &[Gradients],
) -> Option<Difference> {
    let here = point.differences(layout);
    let found = near.iter().flat_map(|gradients| {
        let beside = largest(layout, &here, &gradients.scales(layout));
        [gradients.difference(layout), beside]
    });
    found.reduce(larger)
}

fn largest(layout: &ParamLayout, differences: &[f64], scales: &[f64]) -> Difference {
    let ratios = differences.iter().zip(scales).map(|(d, scale)| d / scale.max(f64::MIN_POSITIVE));
    let named = ratios.zip(layout.blocks());
    let named =
        named.map(|(relative, it)| Difference { relative, parameter: it.name().to_string() });
    let none = Difference { relative: 0.0, parameter: String::new() };
    named.reduce(larger).unwrap_or(none)
}

fn larger(a: Difference, b: Difference) -> Difference {
    if a.relative.is_nan() || a.relative >= b.relative { a } else { b }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::{Difference, Gradients, difference_near};
    use crate::{seeds::Seeds, space::ParamLayout};

    const TOLERANCE: f64 = 1e-3;

    fn layout() -> Arc<ParamLayout> {
        ParamLayout::from_shapes([("w", vec![4, 3]), ("b", vec![3]), ("v", vec![5])]).unwrap()
    }

    /// Elements between −1 and 1.
    fn random(seed: u64, len: usize) -> Vec<f64> {
        let mut seeds = Seeds::new(seed);
        (0..len).map(|_| seeds.next() as f64 / u64::MAX as f64 * 2.0 - 1.0).collect()
    }

    /// A gradient whose blocks have sizes between 0.1 and 1.
    fn gradient(seed: u64, layout: &ParamLayout) -> Vec<f64> {
        let mut values = random(seed, layout.len());
        for (at, block) in layout.blocks().iter().enumerate() {
            let factor = 10f64.powi(-((seed as usize + at) as i32 % 2));
            values[block.range()].iter_mut().for_each(|value| *value *= factor);
        }
        values
    }

    fn exact(burn: Vec<f64>) -> Gradients {
        Gradients { recorded: burn.clone(), burn, rounding: Vec::new() }
    }

    /// Adds an error of a relative size in one block; the rounding is that of f32.
    fn wrong(seed: u64, layout: &ParamLayout, relative: f64) -> Gradients {
        let mut gradients = exact(gradient(seed, layout));
        let block = &layout.blocks()[seed as usize % layout.blocks().len()];
        let size = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let error = random(seed + 1000, block.len());
        let factor = relative * size(&gradients.burn[block.range()]) / size(&error);
        for (value, error) in gradients.recorded[block.range()].iter_mut().zip(error) {
            *value += factor * error;
        }
        gradients.rounding = vec![gradients.burn.iter().map(|value| 1e-7 * value).collect()];
        gradients
    }

    #[test]
    fn a_planted_error_above_the_tolerance_is_found_for_every_seed() {
        let layout = layout();
        for seed in 0..100 {
            for relative in [1.01 * TOLERANCE, 0.1, 10.0] {
                let found = wrong(seed, &layout, relative).difference(&layout);
                assert!(!found.is_within(TOLERANCE), "{relative}: {found:?}");
                assert!((found.relative / relative - 1.0).abs() < 1e-6, "{relative}: {found:?}");
                let block = layout.blocks()[seed as usize % 3].name();
                assert_eq!(found.parameter, block);
            }
            let found = wrong(seed, &layout, 0.9 * TOLERANCE).difference(&layout);
            assert!(found.is_within(TOLERANCE), "{found:?}");
        }
    }

    /// At an optimum all is rounding, and nearby the planted error is not.
    #[test]
    fn near_an_optimum_a_planted_error_is_found_for_every_seed() {
        let layout = layout();
        for seed in 0..100 {
            let rounding = |offset| random(seed + offset, layout.len()).into_iter();
            let recorded = rounding(1).map(|value| 1e-8 * value).collect();
            let burn = rounding(2).map(|value| 1e-8 * value).collect();
            let point = Gradients { recorded, burn, rounding: Vec::new() };
            assert!(!point.difference(&layout).is_within(TOLERANCE));
            let near = |relative| [0, 1, 2].map(|at| wrong(3 * seed + at, &layout, relative));
            let found = difference_near(&layout, &point, &near(1e-6)).unwrap();
            assert!(found.is_within(TOLERANCE), "{found:?}");
            let found = difference_near(&layout, &point, &near(1.01 * TOLERANCE)).unwrap();
            assert!(!found.is_within(TOLERANCE), "{found:?}");
        }
    }

    /// A branch that is taken at the point alone.
    #[test]
    fn an_error_at_the_point_is_not_forgiven_because_the_gradients_agree_nearby() {
        let layout = layout();
        for seed in 0..100 {
            let point = wrong(seed, &layout, 0.5);
            let near = [exact(gradient(seed + 7, &layout)), exact(gradient(seed + 8, &layout))];
            let found = difference_near(&layout, &point, &near).unwrap();
            assert!(!found.is_within(TOLERANCE), "{found:?}");
        }
        assert_eq!(difference_near(&layout, &exact(gradient(1, &layout)), &[]), None);
    }

    #[test]
    fn what_either_gradient_changes_by_is_rounding_and_nan_is_not() {
        let layout = layout();
        let mut gradients = wrong(1, &layout, 0.01);
        let pairs = gradients.recorded.iter().zip(&gradients.burn);
        let change = |factor: f64| pairs.clone().map(|(a, b)| factor * (a - b)).collect();
        let (small, large): (Vec<f64>, Vec<f64>) = (change(0.2), change(0.3));
        gradients.rounding = vec![small.clone()];
        assert!(!gradients.difference(&layout).is_within(TOLERANCE));
        for changes in [vec![small.clone(), large.clone()], vec![large, small]] {
            gradients.rounding = changes;
            assert_eq!(gradients.difference(&layout).relative, 0.0);
        }
        gradients.recorded[13] = f64::NAN;
        let found: Difference = gradients.difference(&layout);
        assert!(!found.is_within(TOLERANCE) && found.parameter == "b", "{found:?}");
    }
}
