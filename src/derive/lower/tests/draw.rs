//! The points, directions and weights of a row, drawn from a seed.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::case::{Case, Domain, Input};

/// A point, a direction and the weights of the outputs, all drawn from a seed.
pub(super) struct Draw {
    pub point: Vec<Vec<f64>>,
    pub direction: Vec<Vec<f64>>,
    pub weights: Vec<Vec<f64>>,
}

impl Draw {
    pub fn new(case: &Case, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = |shape: &[usize]| spread(shape.iter().product(), &mut rng);
        let shapes = case.inputs.iter().filter_map(|input| match input {
            Input::Float(shape, _) => Some(shape.clone()),
            _ => None,
        });
        let shapes: Vec<_> = shapes.collect();
        let mut direction: Vec<_> = shapes.iter().map(|shape| draw(shape)).collect();
        for (values, leaf) in direction.iter_mut().zip(is_leaf(case)) {
            values.iter_mut().for_each(|value| *value *= f64::from(u8::from(leaf)));
        }
        Self {
            point: shapes.iter().map(|shape| draw(shape)).collect(),
            direction,
            weights: case.outputs.iter().map(|output| draw(&output.shape)).collect(),
        }
    }

    /// The point, moved along a direction.
    pub fn moved(&self, direction: &[Vec<f64>], by: f64) -> Vec<Vec<f64>> {
        let pairs = self.point.iter().zip(direction);
        pairs.map(|(p, v)| p.iter().zip(v).map(|(p, v)| p + by * v).collect()).collect()
    }

    /// One direction per element that is differentiated by.
    pub fn axes(&self, case: &Case) -> Vec<Vec<Vec<f64>>> {
        let zero: Vec<Vec<f64>> = self.point.iter().map(|values| vec![0.0; values.len()]).collect();
        let places = is_leaf(case).into_iter().enumerate().filter(|(_, leaf)| *leaf);
        let places =
            places.flat_map(|(input, _)| (0..zero[input].len()).map(move |index| (input, index)));
        let axes = places.map(|(input, index)| {
            let mut axis = zero.clone();
            axis[input][index] = 1.0;
            axis
        });
        axes.collect()
    }
}

/// Random values in ±1.3 that keep a distance from each other: ties are kinks.
fn spread(count: usize, rng: &mut StdRng) -> Vec<f64> {
    let cell = |index: usize, rng: &mut StdRng| {
        let within = rng.random_range(0.2..0.8);
        1.3 * (2.0 * (index as f64 + within) / count as f64 - 1.0)
    };
    let mut numbers: Vec<f64> = (0..count).map(|index| cell(index, rng)).collect();
    for index in (1..count).rev() {
        numbers.swap(index, rng.random_range(0..=index));
    }
    numbers
}

/// Which of the float inputs are differentiated by.
pub(super) fn is_leaf(case: &Case) -> Vec<bool> {
    let leaves = case.inputs.iter().filter_map(|input| match input {
        Input::Float(_, domain) => Some(!matches!(domain, Domain::Fixed)),
        _ => None,
    });
    leaves.collect()
}
