//! One system A x = b: its products, counted, and its residual, in units that suit its number format.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::Products,
    operator::{Counted, SelfAdjoint},
    space::{DeviceScalar, ParamVector},
};

use super::{
    Solution, SolverError,
    units::{self, OperatorUnit, Preconditioner},
};

/// A, b, and a count of the products with A.
///
/// With units 2ᵃ of A and 2ᵇ of b it is (2⁻ᵃA)(2ᵃ⁻ᵇx) = 2⁻ᵇb, and everything here is in these units. Both are 1 unless
/// the numbers are so large or small that their scalar products could leave the range of the format.
pub(super) struct System<'a, B: AutodiffBackend> {
    products: Products<'a, B, dyn SelfAdjoint<B> + 'a>,
    rhs: ParamVector<B>,
    /// b, the exponent of the unit of b.
    exponent: i32,
    unit: OperatorUnit,
    /// Whether a preconditioner has a unit of its own.
    centered: bool,
    /// Whether solutions are returned in units of 1.
    restores: bool,
    /// ‖b‖², if it has been read.
    square: Option<f64>,
}

impl<'a, B: AutodiffBackend> System<'a, B> {
    /// Checks that A maps the space of b to itself. Units are 1.
    pub(super) fn new(
        operator: &'a dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
    ) -> Result<Self, Error> {
        operator.domain().expect_same(rhs.space())?;
        Ok(Self {
            products: Products::square(operator)?,
            rhs: rhs.clone(),
            exponent: 0,
            unit: OperatorUnit::fixed(0),
            centered: false,
            restores: true,
            square: None,
        })
    }

    /// The same, with a unit for b. Reads the device.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if b holds NaN or infinity.
    pub(super) fn with_unit_of_rhs(
        operator: &'a dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
    ) -> Result<Self, Error> {
        let mut system = Self::new(operator, rhs)?;
        let square = rhs.dot(rhs)?;
        let safe = units::exponent(square).map(|e| units::unit(e / 2, rhs.precision()));
        if safe == Some(0) {
            system.square = Some(square);
        } else {
            rhs.expect_finite("the right-hand side b")?;
            let found = units::exponent(rhs.largest()?).unwrap_or(0);
            system.exponent = units::unit(found, rhs.precision());
            system.rhs = units::shifted(system.rhs, -system.exponent);
        }
        Ok(system)
    }

    /// The same, with units for A and a preconditioner too, which their first products choose.
    ///
    /// # Errors
    /// As [`with_unit_of_rhs`](Self::with_unit_of_rhs).
    pub(super) fn with_units(
        operator: &'a dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
    ) -> Result<Self, Error> {
        let unit = OperatorUnit::open();
        Ok(Self { unit, centered: true, ..Self::with_unit_of_rhs(operator, rhs)? })
    }

    /// The same A, in the same unit, with another b in units of this system, where solutions stay.
    pub(super) fn with_rhs<'s>(&'s self, rhs: &ParamVector<B>) -> Result<System<'s, B>, Error> {
        let unit = OperatorUnit::fixed(self.unit.exponent());
        Ok(System { unit, restores: false, ..System::new(self.products.operator(), rhs)? })
    }

    /// The operator A, as it is. Its products count as those of the system.
    pub(super) fn operator(&self) -> &Counted<&'a (dyn SelfAdjoint<B> + 'a)> {
        self.products.operator()
    }

    /// A preconditioner for this system.
    pub(super) fn preconditioner<'o>(
        &self,
        inverse: Option<&'o dyn SelfAdjoint<B>>,
    ) -> Preconditioner<'o, B> {
        let unit = if self.centered { OperatorUnit::open() } else { OperatorUnit::fixed(0) };
        Preconditioner::new(inverse, unit)
    }

    /// The right-hand side b.
    pub(super) fn rhs(&self) -> &ParamVector<B> {
        &self.rhs
    }

    /// Products so far.
    pub(super) fn applications(&self) -> usize {
        self.products.count()
    }

    /// Counts products that were made elsewhere.
    pub(super) fn count(&self, products: usize) {
        self.products.add(products);
    }

    /// A v
    pub(super) fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.take(self.products.multiply(vector)?)
    }

    /// A v in units of this system, from A v.
    pub(super) fn take(&self, product: ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.rhs.expect_like(&product)?;
        Ok(self.unit.of(product)?)
    }

    /// A v and vᵀA v
    pub(super) fn multiply_with_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        let (product, form) = self.products.multiply_with_form(vector)?;
        let product = self.take(product)?;
        if self.unit.exponent() == 0 {
            return Ok((product, form));
        }
        let form = vector.dot_device(&product)?;
        Ok((product, form))
    }

    /// An initial guess that fits b and is finite.
    pub(super) fn checked_guess(
        &self,
        guess: Option<ParamVector<B>>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        if let Some(guess) = &guess {
            self.rhs.expect_like(guess)?;
            guess.expect_finite("the initial guess")?;
        }
        Ok(guess)
    }

    /// An initial guess in units of this system, and its residual b − A x.
    pub(super) fn start_from(
        &self,
        guess: ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let product = self.products.multiply(&guess)?;
        self.rhs.expect_like(&product)?;
        self.unit.choose(&product, units::exponent(guess.largest()?).unwrap_or(0))?;
        let residual = units::shifted(product, -self.exponent).neg().add(&self.rhs)?;
        Ok((units::shifted(guess, self.unit.exponent() - self.exponent), residual))
    }

    /// b − A x
    pub(super) fn residual(&self, x: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.multiply(x)?.neg().add(&self.rhs)?)
    }

    /// b − A x and its norm.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if the product holds NaN or infinity.
    pub(super) fn checked_residual(
        &self,
        x: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, f64), Error> {
        let residual = self.residual(x)?;
        let norm = residual.norm()?;
        if !norm.is_finite() {
            residual.expect_finite("the residual b − A x")?;
        }
        Ok((residual, norm))
    }

    /// ‖b‖², if it has been read.
    pub(super) fn square(&self) -> Option<f64> {
        self.square
    }

    /// ‖b‖ from ‖b‖², which has been read.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if b holds NaN or infinity;
    /// [`SolverError::RightHandSideRange`] if the square leaves the range of the number format.
    pub(super) fn rhs_norm(&self, square: f64) -> Result<f64, Error> {
        let precision = self.rhs.precision();
        if square.is_finite() && square > precision.smallest_normal() / precision.epsilon() {
            return Ok(square.sqrt());
        }
        self.rhs.expect_finite("the right-hand side b")?;
        let largest = self.rhs.largest()?;
        if largest == 0.0 {
            return Ok(0.0);
        }
        Err(SolverError::RightHandSideRange { largest, precision }.into())
    }

    /// The unit of b, as a number.
    pub(super) fn unit_of_rhs(&self) -> f64 {
        units::power(self.exponent)
    }

    /// The unit of the eigenvalues of A, or of M⁻¹A with a preconditioner.
    pub(super) fn unit_of_eigenvalues(&self, preconditioner: &Preconditioner<'_, B>) -> f64 {
        units::power(self.unit.exponent() + preconditioner.exponent())
    }

    /// The unit of ‖x‖, in the norm of M with a preconditioner.
    pub(super) fn unit_of_length(&self, preconditioner: &Preconditioner<'_, B>) -> f64 {
        units::power(self.exponent - self.unit.exponent() - preconditioner.exponent() / 2)
    }

    /// The unit of φ(x) = ½ xᵀA x − bᵀx.
    pub(super) fn unit_of_objective(&self) -> f64 {
        units::power(2 * self.exponent - self.unit.exponent())
    }

    /// x in units of 1.
    pub(super) fn plain(&self, x: ParamVector<B>) -> ParamVector<B> {
        units::shifted(x, self.exponent - self.unit.exponent())
    }

    /// A solution in units of 1.
    ///
    /// # Errors
    /// [`SolverError::SolutionRange`] if x leaves the range of the number format.
    pub(super) fn restored(
        &self,
        mut solution: Solution<B>,
        preconditioner: &Preconditioner<'_, B>,
    ) -> Result<Solution<B>, Error> {
        if !self.restores {
            return Ok(solution);
        }
        let report = &mut solution.report;
        let unit = self.unit_of_rhs();
        report.rhs_norm *= unit;
        report.true_residual *= unit;
        report.threshold = report.threshold.map(|norm| norm * unit);
        report.recursive_residual = report.recursive_residual.map(|norm| norm * unit);
        let unit = self.unit_of_eigenvalues(preconditioner);
        report.spectrum = report.spectrum.map(|spectrum| spectrum.scaled(unit));
        let unit = units::power(self.unit.exponent());
        report.negative_curvature = report.negative_curvature.map(|found| found * unit);
        if let Some(found) = &mut solution.negative_curvature {
            found.curvature *= unit;
        }
        let shift = self.exponent - self.unit.exponent();
        if shift != 0 {
            let largest = solution.x.largest()?;
            let precision = solution.x.precision();
            solution.x = units::shifted(solution.x, shift);
            let found = solution.x.largest()?;
            if largest != 0.0 && !(found.is_finite() && found >= precision.smallest_normal()) {
                let largest = largest * units::power(shift);
                return Err(SolverError::SolutionRange { largest, precision }.into());
            }
        }
        Ok(solution)
    }
}
