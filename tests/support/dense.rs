//! Products of dense matrices in f64, by the definition.

/// A matrix by its rows.
pub type Rows = Vec<Vec<f64>>;

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A x
pub fn multiply(a: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

pub fn transposed(a: &[Vec<f64>]) -> Rows {
    (0..a[0].len()).map(|column| a.iter().map(|row| row[column]).collect()).collect()
}

/// A B
pub fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Rows {
    let columns = transposed(b);
    a.iter().map(|row| multiply(&columns, row)).collect()
}
