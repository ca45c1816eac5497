//! The terms of a finite sum: which comes next, and how large some of them are.

use std::cell::Cell;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{FiniteSum, LinearOperator, SelfAdjoint},
    seeds::Seeds,
    space::{ParamSpace, ParamVector},
    spectrum::{LanczosConfig, SpectrumEnd},
};

/// The terms, with a count of the products with them.
pub(super) struct Terms<'a, B: AutodiffBackend> {
    operator: &'a dyn FiniteSum<B>,
    products: Cell<usize>,
}

/// Indices of terms, drawn with replacement.
pub(super) struct Draws {
    seeds: Seeds,
    terms: usize,
}

impl Draws {
    /// Indices below `terms`. A seed and a repeat give the same indices on every backend.
    pub(super) fn new(terms: usize, seed: u64, repeat: usize) -> Self {
        Self { seeds: Seeds::new(Seeds::at(seed, repeat as u64)), terms }
    }

    pub(super) fn next(&mut self) -> usize {
        let wide = u128::from(self.seeds.next()) * self.terms as u128;
        (wide >> 64) as usize
    }
}

impl<'a, B: AutodiffBackend> Terms<'a, B> {
    /// Terms in the sample of an estimate.
    const SAMPLE: usize = 8;
    /// Products spent on each.
    const EFFORT: usize = 20;

    pub(super) fn new(operator: &'a dyn FiniteSum<B>) -> Self {
        Self { operator, products: Cell::new(0) }
    }

    /// Number of terms.
    pub(super) fn len(&self) -> usize {
        self.operator.terms()
    }

    /// Products with terms so far.
    pub(super) fn products(&self) -> usize {
        self.products.get()
    }

    /// Aᵢ v
    pub(super) fn apply(
        &self,
        index: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.products.set(self.products.get() + 1);
        let product = self.operator.apply_term(index, vector)?;
        vector.expect_like(&product)?;
        Ok(product)
    }

    /// The largest absolute eigenvalue of some of the terms, by Lanczos' process from a random start.
    pub(super) fn largest(&self, seed: u64) -> Result<f64, Error> {
        let mut draws = Draws::new(self.len(), seed, usize::MAX);
        let all = self.len() <= Self::SAMPLE;
        let sample: Vec<usize> = if all {
            (0..self.len()).collect()
        } else {
            (0..Self::SAMPLE).map(|_| draws.next()).collect()
        };
        let lanczos = LanczosConfig::new()
            .with_end(SpectrumEnd::LargestMagnitude)
            .with_relative_tolerance(0.05)
            .with_max_products(Some(Self::EFFORT))
            .with_seed(seed)
            .init()?;
        let mut largest = 0.0f64;
        for index in sample {
            let term = Term { terms: self, index };
            let report = lanczos.eigenpairs(&term)?.report;
            let value = report.eigenvalues.first().map_or(0.0, |value| value.abs());
            let residual = report.residuals.first().copied().unwrap_or(0.0);
            largest = largest.max(value + residual);
        }
        Ok(largest)
    }
}

/// One term as an operator.
struct Term<'a, 'b, B: AutodiffBackend> {
    terms: &'a Terms<'b, B>,
    index: usize,
}

impl<B: AutodiffBackend> LinearOperator<B> for Term<'_, '_, B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.terms.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.terms.apply(self.index, vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Term<'_, '_, B> {}
