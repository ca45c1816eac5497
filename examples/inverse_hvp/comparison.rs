//! How far solutions are from the exact one, and statistics over many.

/// The middle of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// The largest of some values.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// How far a vector is from the exact one.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// ‖x − exact‖ / ‖exact‖.
    pub relative_error: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
}

impl Comparison {
    /// Compares the entries of two vectors.
    pub fn of(x: &[f64], exact: &[f64]) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let difference: Vec<f64> = x.iter().zip(exact).map(|(a, b)| a - b).collect();
        let norm = dot(exact, exact).sqrt();
        Self {
            relative_error: dot(&difference, &difference).sqrt() / norm,
            cosine: dot(x, exact) / (dot(x, x).sqrt() * norm),
        }
    }
}
