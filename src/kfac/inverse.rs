//! Inverses, roots, traces and determinants of Kronecker factors, on the host in f64. Knows factors, not where they come
//! from.

use burn_backend::AutodiffBackend;

use super::{
    Kfac, KfacMap,
    blocks::{BlockMap, Side},
    map::expect_number,
    moment::Moment,
    parallel::map_each,
    spectra::{LayerSpectrum, Spectra},
};
use crate::error::Error;

impl<B: AutodiffBackend> Kfac<B> {
    /// (F̂ + λI)⁻¹, exactly, by eigen-decompositions of A and G.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::OperatorError::Damping) for a λ that is negative or not finite,
    /// [`OperatorError::KfacSingular`](crate::OperatorError::KfacSingular) for λ = 0 where
    /// a factor is singular, [`OperatorError::Eigenvalues`](crate::OperatorError::Eigenvalues).
    pub fn inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        let spectra = self.spectra()?;
        spectra.expect_damping(damping)?;
        let f = |value: f64| (value + damping).recip();
        Ok(KfacMap::spectral(&self.like, &self.plans, &spectra, f))
    }

    /// (A + π√λ I)⁻¹ ⊗ (G + √λ/π I)⁻¹ with π² = (tr A / dim A) / (tr G / dim G): factored Tikhonov damping.
    ///
    /// Damps more than [`inverse`](Self::inverse) where both eigenvalues are large. Parameters of no layer have their
    /// exact damped inverse.
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    ///
    /// # References
    /// Martens & Grosse 2015, section 6.3.
    pub fn factored_inverse(&self, damping: f64) -> Result<KfacMap<B>, Error> {
        expect_number(damping)?;
        if damping == 0.0 {
            return self.inverse(damping);
        }
        let root = damping.sqrt();
        let layers = self.factors()?;
        let mut tasks: Vec<(&Moment, Vec<f64>)> = Vec::new();
        for layer in layers {
            let pi = balance(&layer.a, &layer.g);
            tasks.push((&layer.a, pi.iter().map(|pi| pi * root).collect()));
            tasks.push((&layer.g, pi.iter().map(|pi| root / pi).collect()));
        }
        let dense = self.dense.iter();
        tasks.extend(dense.map(|(_, moment)| (moment, vec![damping; moment.groups()])));
        let cost = |(moment, _): &(&Moment, Vec<f64>)| moment.cost();
        let inverses = map_each(&tasks, cost, |(moment, damping)| moment.inverse(damping));
        let mut inverses = inverses.into_iter();
        let mut sides = inverses.by_ref().take(2 * layers.len());
        let mut maps = Vec::with_capacity(layers.len());
        while let (Some(a), Some(g)) = (sides.next(), sides.next()) {
            maps.push(BlockMap::Sandwich {
                left: Side::moment(&a?, &self.like),
                right: Side::moment(&g?, &self.like),
            });
        }
        let dense = self.dense.iter().zip(inverses);
        let dense = dense.map(|((position, _), inverse)| Ok((*position, inverse?)));
        let dense = dense.collect::<Result<Vec<_>, Error>>()?;
        let rest = damping.recip();
        Ok(KfacMap::new(&self.like, &self.plans, maps, &dense, rest))
    }

    /// The square root F̂^½: applied to standard normal vectors it draws from the normal distribution with covariance F̂.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::OperatorError::Eigenvalues).
    pub fn square_root(&self) -> Result<KfacMap<B>, Error> {
        let spectra = self.spectra()?;
        Ok(KfacMap::spectral(&self.like, &self.plans, &spectra, f64::sqrt))
    }

    /// tr F̂ = Σ tr A·tr G
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn trace(&self) -> Result<f64, Error> {
        let layers = self.factors()?.iter().flat_map(|layer| {
            let (a, g) = (layer.a.traces(), layer.g.traces());
            a.into_iter().zip(g).map(|(a, g)| a * g).collect::<Vec<_>>()
        });
        let dense = self.dense.iter().flat_map(|(_, moment)| moment.traces());
        Ok(layers.chain(dense).sum())
    }

    /// ‖F̂‖ by Frobenius.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        let layers = self.factors()?.iter().flat_map(|layer| {
            let (a, g) = (layer.a.squares(), layer.g.squares());
            a.into_iter().zip(g).map(|(a, g)| a * g).collect::<Vec<_>>()
        });
        let dense = self.dense.iter().flat_map(|(_, moment)| moment.squares());
        Ok(layers.chain(dense).sum::<f64>().sqrt())
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        let spectra = self.spectra()?;
        spectra.expect_damping(damping)?;
        spectra.log_determinant(damping, self.like.len())
    }

    pub(super) fn spectra(&self) -> Result<Spectra, Error> {
        let factors = self.factors()?;
        let layers = factors.iter().flat_map(|layer| [&layer.a, &layer.g]);
        let dense = self.dense.iter().map(|(_, moment)| moment);
        let moments: Vec<&Moment> = layers.chain(dense).collect();
        let mut eigen =
            map_each(&moments, |moment| moment.cost(), |moment| moment.eigen()).into_iter();
        let mut sides = eigen.by_ref().take(2 * factors.len());
        let mut layers = Vec::with_capacity(factors.len());
        let mut names = factors.iter().map(|layer| &layer.name);
        while let (Some(name), Some(a), Some(g)) = (names.next(), sides.next(), sides.next()) {
            layers.push(LayerSpectrum::new(name, a?, g?));
        }
        let dense = self.dense.iter().zip(eigen);
        let dense = dense.map(|((position, _), eigen)| Ok((*position, eigen?)));
        Ok(Spectra { layers, dense: dense.collect::<Result<_, Error>>()? })
    }
}

/// π for each group; 1 where a trace vanishes.
pub(super) fn balance(a: &Moment, g: &Moment) -> Vec<f64> {
    let mean = |traces: Vec<f64>, size: usize| -> Vec<f64> {
        traces.into_iter().map(|trace| trace / size.max(1) as f64).collect()
    };
    let (a, g) = (mean(a.traces(), a.size()), mean(g.traces(), g.size()));
    let ratios = a.into_iter().zip(g).map(|(a, g)| (a / g).sqrt());
    ratios.map(|pi| if pi.is_finite() && pi > 0.0 { pi } else { 1.0 }).collect()
}
