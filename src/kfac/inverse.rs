//! Inverses, roots, traces and determinants of Kronecker factors.

use burn_backend::AutodiffBackend;

use super::{
    Kfac, KfacError, KroneckerFactor, factor::Eigenbasis, matrix::FactorMatrix,
    network::BlockProduct, parallel::map_each,
};
use crate::{
    error::Error,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, expect_damping, upload},
};

impl<B: AutodiffBackend> Kfac<B> {
    /// (F̂ + λI)⁻¹, exactly, by eigendecompositions of A and G.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::errors::OperatorError::Damping) for a λ that is negative or not finite,
    /// [`KfacError::Singular`] for λ = 0 if a factor is singular,
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    pub fn inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let spectra = self.spectra()?;
        expect_invertible(spectra.iter().flat_map(Spectrum::values), damping)?;
        self.spectral(&spectra, |value| (value + damping).recip())
    }

    /// (A + π√λ I)⁻¹ ⊗ (G + √λ/π I)⁻¹ with π² = (tr A / dim A) / (tr G / dim G): factored Tikhonov damping.
    ///
    /// Damps more than [`inverse`](Self::inverse) where both eigenvalues are large. Uncovered parameters have their
    /// exact damped inverse.
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    ///
    /// # References
    /// Martens & Grosse 2015, section 6.3.
    pub fn factored_inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        expect_damping(damping)?;
        if damping == 0.0 {
            return self.inverse(damping);
        }
        self.read()?;
        let root = damping.sqrt();
        let mut tasks: Vec<(&KroneckerFactor<B>, Vec<f64>)> = Vec::new();
        for layer in &*self.layers {
            let pi = layer.balance()?;
            tasks.push((&layer.input, pi.iter().map(|pi| pi * root).collect()));
            tasks.push((&layer.output, pi.iter().map(|pi| root / pi).collect()));
        }
        tasks.extend(self.uncovered.iter().map(|factor| (factor, vec![damping])));
        let inverses = map_each(
            &tasks,
            |(factor, _)| factor.cost(),
            |(factor, damping)| factor.host()?.inverse(damping),
        );
        let sides = inverses.into_iter().map(|inverse| Ok(self.side(inverse?)));
        let mut sides = sides.collect::<Result<Vec<_>, Error>>()?.into_iter();
        let count = self.layers.len();
        let mut products = Vec::with_capacity(count + self.uncovered.len());
        while let Some(left) = sides.next() {
            let paired = products.len() < count;
            let right = if paired { sides.next() } else { None };
            let right = right.unwrap_or(KroneckerSide::IDENTITY);
            products.push(BlockProduct::Sides(left, right));
        }
        self.network.operator(&self.space, products, damping.recip())
    }

    fn side(&self, matrix: FactorMatrix) -> KroneckerSide<B> {
        let (groups, size) = (matrix.groups(), matrix.size());
        match matrix {
            FactorMatrix::Dense { values, .. } => {
                KroneckerSide::Matrix(upload(&values, [groups, size, size], &self.space))
            }
            FactorMatrix::Diagonal(values) => {
                KroneckerSide::Diagonal(upload(&values, [size], &self.space))
            }
        }
    }

    /// The square root F̂^½: applied to standard normal vectors it draws from the normal distribution with covariance F̂.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    pub fn square_root(&self) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        self.spectral(&self.spectra()?, f64::sqrt)
    }

    /// tr F̂ = Σ tr A·tr G
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn trace(&self) -> Result<f64, Error> {
        self.read()?;
        let layers = self.layers.iter().map(|layer| layer.trace());
        let uncovered = self.uncovered.iter().map(KroneckerFactor::trace);
        layers.chain(uncovered).sum()
    }

    /// The Frobenius norm ‖F̂‖_F.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        self.read()?;
        let layers = self.layers.iter().map(|layer| layer.squared_norm());
        let uncovered = self.uncovered.iter();
        let uncovered = uncovered.map(|factor| Ok(factor.host()?.squares().iter().sum()));
        Ok(layers.chain(uncovered).sum::<Result<f64, Error>>()?.sqrt())
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        let spectra = self.spectra()?;
        let values: Vec<f64> = spectra.iter().flat_map(Spectrum::values).collect();
        log_determinant(&values, damping, self.space.len())
    }

    /// Reads all factors that were not read before, several at a time.
    pub(super) fn read(&self) -> Result<(), Error> {
        let read =
            map_each(&self.factors(), |factor| factor.size(), |factor| factor.host().map(drop));
        read.into_iter().collect()
    }

    fn factors(&self) -> Vec<&KroneckerFactor<B>> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.input, &layer.output]);
        layers.chain(&*self.uncovered).collect()
    }

    /// The eigendecompositions of all blocks: of every layer, then of every uncovered parameter.
    pub(super) fn spectra(&self) -> Result<Vec<Spectrum<B>>, Error> {
        let factors = self.factors();
        let made = map_each(&factors, |factor| factor.cost(), |factor| factor.eigen().cloned());
        let mut bases = made.into_iter().collect::<Result<Vec<_>, Error>>()?.into_iter();
        let mut spectra = Vec::with_capacity(self.layers.len() + self.uncovered.len());
        while let Some(input) = bases.next() {
            let paired = spectra.len() < self.layers.len();
            let output = if paired { bases.next() } else { None };
            spectra.push(Spectrum::new(input, output));
        }
        Ok(spectra)
    }

    /// f of the eigenvalues of every block.
    fn spectral(
        &self,
        spectra: &[Spectrum<B>],
        f: impl Fn(f64) -> f64,
    ) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let products = spectra.iter().map(|spectrum| {
            let values: Vec<f64> = spectrum.values().map(&f).collect();
            let output = spectrum.output.as_ref();
            let columns = output.map_or(1, |output| output.host().size);
            let input = spectrum.input.host();
            let shape = [input.groups, input.size, columns];
            BlockProduct::Spectral(
                spectrum.input.side(&self.space),
                output.map_or(KroneckerSide::IDENTITY, |output| output.side(&self.space)),
                upload(&values, shape, &self.space),
            )
        });
        self.network.operator(&self.space, products, f(0.0))
    }
}

/// The eigendecomposition of one block: of A and G, or of the only factor of an uncovered parameter.
pub(super) struct Spectrum<B: AutodiffBackend> {
    pub input: Eigenbasis<B>,
    pub output: Option<Eigenbasis<B>>,
    /// The products of their eigenvalues, `[groups, d_in, d_out]`.
    products: Option<Vec<f64>>,
}

impl<B: AutodiffBackend> Spectrum<B> {
    fn new(input: Eigenbasis<B>, output: Option<Eigenbasis<B>>) -> Self {
        let products = output.as_ref().map(|output| input.host().outer(output.host()));
        Self { input, output, products }
    }

    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.products.as_ref().unwrap_or(&self.input.host().values).iter().copied()
    }
}

/// Checks a damping for functions that divide by damped eigenvalues.
pub(super) fn expect_invertible(
    eigenvalues: impl Iterator<Item = f64>,
    damping: f64,
) -> Result<(), Error> {
    expect_damping(damping)?;
    let smallest = eigenvalues.fold(f64::INFINITY, f64::min);
    if smallest + damping > 0.0 { Ok(()) } else { Err(KfacError::Singular { damping }.into()) }
}

/// log det of a damped matrix with `total` rows; eigenvalues that are not listed are zero before damping.
pub(super) fn log_determinant(
    eigenvalues: &[f64],
    damping: f64,
    total: usize,
) -> Result<f64, Error> {
    expect_invertible(eigenvalues.iter().copied(), damping)?;
    let sum = eigenvalues.iter().map(|value| (value + damping).ln()).sum::<f64>();
    match total.saturating_sub(eigenvalues.len()) {
        0 => Ok(sum),
        rest if damping > 0.0 => Ok(sum + rest as f64 * damping.ln()),
        _ => Err(KfacError::Singular { damping }.into()),
    }
}
