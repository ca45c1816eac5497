//! What follows from quadrature rules: densities on a grid, traces of functions.

use serde::{Deserialize, Serialize};

use crate::{error::Error, operator::OperatorError, spectrum::Estimate};

use super::super::SpectrumError;

/// Nodes and weights for the eigenvalues of a matrix as one probe sees them; the weights sum to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuadratureRule {
    /// From the smallest to the largest.
    pub nodes: Vec<f64>,
    /// One for each node.
    pub weights: Vec<f64>,
}

/// The distribution of the eigenvalues of a self-adjoint operator, as quadrature rules.
///
/// See [`DensityEstimator`](crate::spectrum::DensityEstimator).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectralDensity {
    /// Number of unknowns n, which is the number of eigenvalues.
    pub unknowns: usize,
    /// One rule for each probe.
    pub rules: Vec<QuadratureRule>,
    /// Products with the operator.
    pub products: usize,
}

/// A smoothed density of eigenvalues, with an error bar; its integral is 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DensityCurve {
    /// Where the density was evaluated.
    pub points: Vec<f64>,
    /// The density there.
    pub density: Vec<f64>,
    /// Its standard error over the probes.
    pub standard_error: Vec<f64>,
    /// Standard deviation of the smoothing Gaussian.
    pub width: f64,
}

impl QuadratureRule {
    /// Σ τⱼ f(θⱼ)
    fn integrate(&self, function: impl Fn(f64) -> f64) -> f64 {
        let pairs = self.nodes.iter().zip(&self.weights);
        pairs.map(|(node, weight)| weight * function(*node)).sum()
    }
}

impl SpectralDensity {
    /// The smallest node: an upper bound of the smallest eigenvalue, close to it after enough steps.
    pub fn smallest(&self) -> f64 {
        self.nodes().fold(f64::INFINITY, f64::min)
    }

    /// The largest node: a lower bound of the largest eigenvalue, close to it after enough steps.
    pub fn largest(&self) -> f64 {
        self.nodes().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Points from the smallest to the largest node and `margin` beyond either, evenly spaced.
    pub fn grid(&self, points: usize, margin: f64) -> Vec<f64> {
        let (low, high) = (self.smallest() - margin, self.largest() + margin);
        let step = (high - low) / points.saturating_sub(1).max(1) as f64;
        (0..points).map(|i| low + i as f64 * step).collect()
    }

    /// The density at some points, smoothed by a Gaussian of standard deviation `width`.
    ///
    /// ```text
    /// φ(t) = 1/n Σₖ g(t − λₖ) ≈ mean over probes of Σⱼ τⱼ g(t − θⱼ)
    /// ```
    ///
    /// # Errors
    /// [`SpectrumError::Width`].
    pub fn on_grid(&self, points: &[f64], width: f64) -> Result<DensityCurve, Error> {
        let height = 1.0 / (width * std::f64::consts::TAU.sqrt());
        if !(width.is_finite() && width > 0.0 && height.is_finite()) {
            return Err(SpectrumError::Width { found: width }.into());
        }
        let at = |point: f64| {
            self.mean(|node| {
                let distance = (point - node) / width;
                height * (-0.5 * distance * distance).exp()
            })
        };
        let estimates: Vec<Estimate> = points.iter().map(|point| at(*point)).collect();
        Ok(DensityCurve {
            points: points.to_vec(),
            density: estimates.iter().map(|e| e.estimate).collect(),
            standard_error: estimates.iter().map(|e| e.standard_error).collect(),
            width,
        })
    }

    /// tr f(A) = Σₖ f(λₖ), with the standard error over the probes.
    ///
    /// The error bar does not cover the quadrature error, which is zero for polynomials of low degree, small for
    /// functions that are smooth on the spectrum, and up to the weight of one node for a step.
    ///
    /// # Errors
    /// [`SpectrumError::FunctionValue`] if the function is not finite at a node.
    pub fn trace_of(&self, function: impl Fn(f64) -> f64) -> Result<Estimate, Error> {
        let value = |node: f64| (node, function(node));
        if let Some((at, value)) = self.nodes().map(value).find(|(_, v)| !v.is_finite()) {
            return Err(SpectrumError::FunctionValue { at, value }.into());
        }
        let mean = self.mean(function);
        let n = self.unknowns as f64;
        Ok(Estimate {
            estimate: n * mean.estimate,
            standard_error: n * mean.standard_error,
            ..mean
        })
    }

    /// log det(A + λI) = Σₖ ln(λₖ + λ), with the standard error over the probes.
    ///
    /// The quadrature overestimates a logarithm, little if A + λI is well conditioned (Golub & Meurant 2010,
    /// theorem 6.6); the error bar does not cover that.
    ///
    /// # Errors
    /// [`SpectrumError::NotPositive`] if a node is −λ or less, [`OperatorError::Damping`] if λ is negative or not finite.
    pub fn log_determinant(&self, damping: f64) -> Result<Estimate, Error> {
        if !damping.is_finite() || damping < 0.0 {
            return Err(OperatorError::Damping { found: damping }.into());
        }
        let ritz = self.smallest();
        if ritz + damping <= 0.0 {
            return Err(SpectrumError::NotPositive { ritz, damping }.into());
        }
        self.trace_of(|eigenvalue| (eigenvalue + damping).ln())
    }

    /// The mean of Σ τⱼ f(θⱼ) over the probes.
    fn mean(&self, function: impl Fn(f64) -> f64) -> Estimate {
        let samples: Vec<f64> = self.rules.iter().map(|rule| rule.integrate(&function)).collect();
        Estimate::of_samples(0.0, &samples, self.products)
    }

    fn nodes(&self) -> impl Iterator<Item = f64> {
        self.rules.iter().flat_map(|rule| rule.nodes.iter().copied())
    }
}
