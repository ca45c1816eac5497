//! Inverses, roots, traces and determinants of Kronecker factors.

use burn_backend::AutodiffBackend;

use super::{
    Ekfac, FactorInversion, InversionPlace, InversionReport, Kfac, KfacError, KfacInversion,
    KroneckerFactor, factor::side_of, matrix::norm,
};
use crate::{
    error::Error,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, expect_damping},
    parallel::map_each,
    space::Inner,
};

impl<B: AutodiffBackend> Kfac<B> {
    /// (F̂ + λI)⁻¹, exactly, by eigendecompositions of A and G.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::errors::OperatorError::Damping) for a λ that is negative or not finite,
    /// [`KfacError::Singular`] for a λ of which the precision has no reciprocal, such as 0, if a factor is singular,
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    #[inline(never)]
    pub fn inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        Ekfac::uncorrected(self)?.inverse(damping)
    }

    /// (A + π√λ I)⁻¹ ⊗ (G + √λ/π I)⁻¹ with π² = (tr A / dim A) / (tr G / dim G): factored Tikhonov damping.
    ///
    /// Damps more than [`inverse`](Self::inverse) where both eigenvalues are large. Uncovered parameters have their
    /// exact damped inverse. Large factors on a GPU are inverted there, see [`KfacInversion::Automatic`].
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    ///
    /// # References
    /// Martens & Grosse 2015, section 6.3.
    #[inline(never)]
    pub fn factored_inverse(&self, damping: f64) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        Ok(self.factored_inverse_with(damping, KfacInversion::Automatic)?.0)
    }

    /// The [`factored_inverse`](Self::factored_inverse) with a choice of where it is computed, and a report of where it was.
    /// With a λ of which the precision has no reciprocal, such as 0, it is the [`inverse`](Self::inverse), and the report is
    /// empty.
    ///
    /// # Cost
    /// On the host: the factors are read, and inverted by Cholesky in f64 on all threads. On the device, for each factor: 5/3 of
    /// the multiplications of a product of two such matrices, one or two products for the residual, and a read of 128 × 128 elements for every 128 rows.
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse); [`ConfigError`](crate::errors::ConfigError) for a tolerance out of range.
    ///
    /// # Example
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{KfacConfig, LinearOperator, Likelihood, Objective, Reduction, kfac::KfacInversion};
    ///
    /// #[derive(Module, Debug)]
    /// struct Line {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Line { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
    /// let x = Tensor::<2>::from_floats([[2.0]], &device);
    /// let objective = Objective::capture(&model, x, |model, x| {
    ///     let z = x.matmul(model.w.val());
    ///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let objective = objective.reduced_by(Reduction::Sum)?;
    /// let kfac = KfacConfig::new().init(&objective, Likelihood::Gaussian { variance: 1.0 })?; // A = 4, G = 1
    /// let inversion = KfacInversion::Device { tolerance: 1e-4 };
    /// let (inverse, report) = kfac.factored_inverse_with(4.0, inversion)?; // π = 2: 1/(4 + 4) · 1/(1 + 1)
    /// let w = inverse.apply(&objective.parameters().space().ones())?.to_vec()?;
    /// assert!((w[0] - 1.0 / 16.0).abs() < 1e-6);
    /// assert_eq!(report.fallbacks().count(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn factored_inverse_with(
        &self,
        damping: f64,
        inversion: KfacInversion,
    ) -> Result<(BlockDiagonal<B, Kronecker<B>>, InversionReport), Error> {
        expect_damping(damping)?;
        inversion.validate()?;
        if damping < self.0.space.precision().smallest_normal() {
            return Ok((self.inverse(damping)?, InversionReport::default()));
        }
        let inverted = self.inverted(&self.tasks(damping, inversion)?, inversion)?;
        let (inverses, factors): (Vec<_>, Vec<_>) = inverted.into_iter().unzip();
        let mut inverses = inverses.into_iter();
        let products = self.0.blocks.iter().map_while(|block| {
            let is_layer = block.block.uncovered.is_none();
            let left = inverses.next()?;
            let right = if is_layer { inverses.next()? } else { KroneckerSide::Identity };
            Some(([left, right], None))
        });
        let operator = self.0.network.operator(&self.0.space, products, damping.recip())?;
        Ok((operator, InversionReport { factors }))
    }

    /// The factors that are to be inverted, with the damping of each of their groups. Reads those that the host inverts.
    fn tasks(&self, damping: f64, inversion: KfacInversion) -> Result<Vec<Task<'_, B>>, Error> {
        let factors = self.0.blocks.iter().flat_map(|block| block.factors());
        read(factors.filter(|factor| inversion.tolerance(factor, &self.0.space).is_none()))?;
        let root = damping.sqrt();
        let mut tasks = Vec::new();
        for block in &*self.0.blocks {
            if block.block.uncovered.is_some() {
                tasks.push((&block.input, vec![damping]));
                continue;
            }
            let pi = block.balance()?;
            tasks.push((&block.input, pi.iter().map(|pi| pi * root).collect()));
            tasks.push((&block.output, pi.iter().map(|pi| root / pi).collect()));
        }
        Ok(tasks)
    }

    /// The inverse of every factor, with how it was computed: one after another on the device, the others together on the
    /// host.
    #[allow(clippy::type_complexity)]
    fn inverted(
        &self,
        tasks: &[Task<'_, B>],
        inversion: KfacInversion,
    ) -> Result<Vec<(KroneckerSide<Inner<B>>, FactorInversion)>, Error> {
        let space = &self.0.space;
        let on_device = tasks.iter().map(|(factor, damping)| {
            let Some(tolerance) = inversion.tolerance(factor, space) else {
                return Ok((None, InversionPlace::Host));
            };
            factor.inverse_on_device(damping, tolerance, space)
        });
        let found: Vec<_> = on_device.collect::<Result<_, Error>>()?;
        let rest = tasks.iter().zip(&found).filter(|(_, (side, _))| side.is_none());
        let rest: Vec<_> = rest.map(|(task, _)| task).collect();
        let on_host = |(factor, damping): &&Task<'_, B>| factor.host()?.inverse(damping);
        let mut rest = map_each(&rest, |(factor, _)| factor.cost(), on_host).into_iter();
        let each = tasks.iter().zip(found).map(|((factor, _), (side, place))| {
            let side = match side {
                Some(side) => side,
                None => side_of(&rest.next().ok_or(KfacError::State)??, space),
            };
            let (parameter, rows) = (factor.parameter().to_string(), factor.size());
            Ok((side, FactorInversion { parameter, rows, place }))
        });
        each.collect()
    }

    /// The square root F̂^½. Applied to a standard normal vector, it gives a sample of the normal distribution with
    /// covariance F̂.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues).
    #[inline(never)]
    pub fn square_root(&self) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        Ekfac::uncorrected(self)?.square_root()
    }

    /// tr F̂ = Σ tr A·tr G
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    #[inline(never)]
    pub fn trace(&self) -> Result<f64, Error> {
        self.read()?;
        self.0.blocks.iter().map(|block| block.trace()).sum()
    }

    /// The Frobenius norm ‖F̂‖_F.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    #[inline(never)]
    pub fn frobenius_norm(&self) -> Result<f64, Error> {
        self.read()?;
        let norms = self.0.blocks.iter().map(|block| block.norm());
        Ok(norm(&norms.collect::<Result<Vec<_>, Error>>()?))
    }

    /// log det (F̂ + λI)
    ///
    /// # Errors
    /// As [`inverse`](Self::inverse).
    #[inline(never)]
    pub fn log_determinant(&self, damping: f64) -> Result<f64, Error> {
        Ekfac::uncorrected(self)?.log_determinant(damping)
    }

    /// Reads all factors that were not read before, several at a time.
    pub(crate) fn read(&self) -> Result<(), Error> {
        read(self.0.blocks.iter().flat_map(|block| block.factors()))
    }

    /// Makes the eigendecompositions of all factors, one after another on this thread. They are kept for all clones.
    pub(crate) fn decompose(&self) -> Result<(), Error> {
        let mut factors = self.0.blocks.iter().flat_map(|block| block.factors());
        factors.try_for_each(|factor| factor.eigen().map(drop))
    }
}

/// A factor and the damping of each of its groups.
type Task<'a, B> = (&'a KroneckerFactor<B>, Vec<f64>);

fn read<'a, B: AutodiffBackend>(
    factors: impl Iterator<Item = &'a KroneckerFactor<B>>,
) -> Result<(), Error> {
    let factors: Vec<_> = factors.collect();
    let read = map_each(&factors, |factor| factor.size(), |factor| factor.host().map(drop));
    read.into_iter().collect()
}
