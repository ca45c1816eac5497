//! The eigen-decompositions of all blocks, and what a function of the damped matrix needs of them. Knows numbers and
//! names, no device.

use serde::{Deserialize, Serialize};

use super::{map::expect_number, moment::Eigen};
use crate::{
    error::Error,
    operator::OperatorError,
    space::{ParamBlock, ParamLayout},
    state::numbers,
};

/// The eigen-decompositions of one layer's factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LayerSpectrum {
    /// Name of the weight.
    pub name: String,
    pub a: Eigen,
    pub g: Eigen,
    /// Their eigenvalues combined, or corrected, `[groups, d_in, d_out]`.
    #[serde(with = "numbers")]
    pub diagonal: Vec<f64>,
}

impl LayerSpectrum {
    /// With K-FAC's own eigenvalues, the products of those of A and G.
    pub fn new(name: &str, a: Eigen, g: Eigen) -> Self {
        Self { name: name.into(), diagonal: outer(&a, &g), a, g }
    }

    /// The same bases with another diagonal.
    pub fn with_diagonal(&self, diagonal: Vec<f64>) -> Self {
        Self { name: self.name.clone(), a: self.a.clone(), g: self.g.clone(), diagonal }
    }
}

/// The eigen-decompositions of all blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spectra {
    pub layers: Vec<LayerSpectrum>,
    /// Of the blocks of parameters that belong to no layer, by position.
    pub dense: Vec<(usize, Eigen)>,
}

impl Spectra {
    /// All eigenvalues.
    pub fn eigenvalues(&self) -> impl Iterator<Item = f64> {
        let layers = self.layers.iter().flat_map(|layer| &layer.diagonal);
        let dense = self.dense.iter().flat_map(|(_, eigen)| &eigen.values);
        layers.chain(dense).copied()
    }

    /// The bases of every layer.
    pub fn bases(&self) -> Vec<(Eigen, Eigen)> {
        let layers = self.layers.iter();
        layers.map(|layer| (layer.a.clone(), layer.g.clone())).collect()
    }

    /// The same bases with other diagonals, layer by layer.
    pub fn with_diagonals(&self, diagonals: impl IntoIterator<Item = Vec<f64>>) -> Self {
        let layers = self.layers.iter().zip(diagonals);
        Self {
            layers: layers.map(|(layer, diagonal)| layer.with_diagonal(diagonal)).collect(),
            dense: self.dense.clone(),
        }
    }

    /// Checks a damping for functions that divide by the damped eigenvalues.
    pub fn expect_damping(&self, damping: f64) -> Result<(), Error> {
        expect_number(damping)?;
        let smallest = self.eigenvalues().fold(f64::INFINITY, f64::min);
        if smallest + damping > 0.0 {
            return Ok(());
        }
        Err(OperatorError::KfacSingular { damping }.into())
    }

    /// log det of the damped matrix of so many rows; those of no block are zero before damping.
    pub fn log_determinant(&self, damping: f64, total: usize) -> Result<f64, Error> {
        let (mut count, mut sum) = (0, 0.0);
        for value in self.eigenvalues() {
            count += 1;
            sum += (value + damping).ln();
        }
        let rest = total.saturating_sub(count);
        match (rest, damping > 0.0) {
            (0, _) => Ok(sum),
            (_, true) => Ok(sum + rest as f64 * damping.ln()),
            (_, false) => Err(OperatorError::KfacSingular { damping }.into()),
        }
    }

    /// The decompositions that needed damping.
    pub fn retries(&self, layout: &ParamLayout) -> Vec<DampedRetry> {
        let mut retries = Vec::new();
        for layer in &self.layers {
            retries.extend(DampedRetry::of(&layer.name, RetriedMatrix::Input, &layer.a));
            retries.extend(DampedRetry::of(&layer.name, RetriedMatrix::Output, &layer.g));
        }
        for (position, eigen) in &self.dense {
            let name = layout.blocks().get(*position).map(ParamBlock::name);
            let name = name.unwrap_or_default();
            retries.extend(DampedRetry::of(name, RetriedMatrix::Block, eigen));
        }
        retries
    }
}

/// Which matrix of a layer a [`DampedRetry`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RetriedMatrix {
    /// A, of the layer's inputs.
    Input,
    /// G, of the gradients of its outputs.
    Output,
    /// The exact block of a parameter that belongs to no layer.
    Block,
}

/// A matrix whose eigen-decomposition failed at first, and came out with some damping.
///
/// The damping is taken off the eigenvalues again; those that are smaller than it are lost in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DampedRetry {
    /// Name of the weight, or of the parameter that belongs to no layer.
    pub parameter: String,
    /// Which of its matrices.
    pub matrix: RetriedMatrix,
    /// The damping in units of the matrix' mean eigenvalue.
    pub damping: f64,
}

impl DampedRetry {
    pub(super) fn of(parameter: &str, matrix: RetriedMatrix, eigen: &Eigen) -> Option<Self> {
        (eigen.damped_by > 0.0).then(|| Self {
            parameter: parameter.into(),
            matrix,
            damping: eigen.damped_by,
        })
    }
}

/// λᵢ·λⱼ group by group.
fn outer(a: &Eigen, g: &Eigen) -> Vec<f64> {
    let groups = a.values.chunks(a.size).zip(g.values.chunks(g.size));
    groups.flat_map(|(a, g)| a.iter().flat_map(move |a| g.iter().map(move |g| a * g))).collect()
}
