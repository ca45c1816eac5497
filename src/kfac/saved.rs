//! Whether saved factors and bases can be those of a layer: what no layer has is refused when a state is loaded, and what
//! a configuration does not compute when it is to be averaged.

use burn_backend::AutodiffBackend;

use super::{
    Kfac, KfacError, KfacFisher, KfacLayer, KroneckerFactor,
    collector::{Factors, KfacCollector, pass_of},
    matrix::{Eigen, FactorMatrix},
};
use crate::{error::Error, tensor::Precision};

/// How far entries may be from those of a second moment by rounding, relative to the largest on the diagonal; lengths of
/// eigenvectors from 1.
const ROUNDING: f64 = 1e-3;

/// What is wrong with saved numbers.
type Verdict = Result<(), &'static str>;

impl KfacCollector {
    /// The factors of a curvature loaded from a state: those that [`factors`](Self::factors) and
    /// [`uncovered`](Self::uncovered) return. Refuses those of a configuration whose factors have another form.
    pub(crate) fn resumed<B: AutodiffBackend>(
        &self,
        kfac: &Kfac<B>,
    ) -> Result<[Factors<B>; 2], Error> {
        let without_gradients = kfac.coverage().fisher() == Some(KfacFisher::ForwardOnly);
        let pairs = self.network.blocks.iter().zip(&*kfac.0.blocks);
        let blocks = pairs.map(|(block, saved)| {
            let (input, output) = (&saved.input, self.has_output(block).then_some(&saved.output));
            let is_identity =
                |output: &KroneckerFactor<B>| without_gradients || output.is_diagonal();
            let other = self.has_diagonal(block) != input.is_diagonal()
                || output.is_some_and(is_identity)
                || block.subset != saved.block.subset;
            if other {
                return Err(KfacError::Configuration { parameter: block.name.clone() }.into());
            }
            Ok(KfacLayer::new(block, input.clone(), output.cloned()))
        });
        let blocks = blocks.collect::<Result<Vec<_>, Error>>()?.into_iter();
        let (own, rest) =
            blocks.partition(|factors| pass_of(&self.passes, &factors.block) == Some(0));
        Ok([Factors(own), Factors(rest)])
    }
}

/// Refuses a factor that no layer has.
pub(super) fn expect_factor(
    parameter: &str,
    factor: &FactorMatrix,
    precision: Precision,
) -> Result<(), KfacError> {
    let moments = || {
        let mut groups = factor.shape.groups_of(&factor.values);
        groups.try_for_each(|matrix| expect_moment(matrix, factor))
    };
    let found = expect_held(&factor.values, precision).and_then(|()| moments());
    found.map_err(|reason| KfacError::Damaged { parameter: parameter.into(), reason })
}

/// Refuses bases and a diagonal that no layer has.
pub(super) fn expect_spectrum(
    parameter: &str,
    bases: [&Eigen; 2],
    diagonal: &[f64],
    precision: Precision,
) -> Result<(), KfacError> {
    let basis = |eigen: &Eigen| {
        expect_not_negative(&eigen.values, precision)?;
        expect_held(&eigen.vectors, precision)?;
        let mut groups = eigen.shape.groups_of(&eigen.vectors);
        groups.try_for_each(|vectors| expect_unit(vectors, eigen.shape.size))
    };
    let found = bases.into_iter().try_for_each(basis);
    let found = found.and_then(|()| expect_not_negative(diagonal, precision));
    found.map_err(|reason| KfacError::Damaged { parameter: parameter.into(), reason })
}

/// Finite, in the precision that they are used in.
fn expect_held(values: &[f64], precision: Precision) -> Verdict {
    if values.iter().all(|value| value.abs() <= precision.largest()) {
        return Ok(());
    }
    Err("a number is NaN, infinite or too large for the precision")
}

fn expect_not_negative(values: &[f64], precision: Precision) -> Verdict {
    expect_held(values, precision)?;
    if values.iter().all(|value| *value >= 0.0) {
        return Ok(());
    }
    Err("an eigenvalue is negative")
}

/// Aᵢᵢ ≥ 0, Aᵢⱼ = Aⱼᵢ and Aᵢⱼ² ≤ AᵢᵢAⱼⱼ, to rounding.
fn expect_moment(matrix: &[f64], factor: &FactorMatrix) -> Verdict {
    let (size, step) = (factor.shape.size, factor.shape.step());
    let diagonal: Vec<f64> = matrix.iter().step_by(step).copied().collect();
    let largest = diagonal.iter().fold(0.0, |largest: f64, entry| largest.max(*entry));
    let rounding = ROUNDING * largest;
    if diagonal.iter().any(|entry| *entry < -rounding) {
        return Err("an entry on the diagonal of a second moment is negative");
    }
    if factor.shape.diagonal {
        return Ok(());
    }
    let roots: Vec<f64> = diagonal.iter().map(|entry| entry.max(0.0).sqrt()).collect();
    for (row, (entries, root)) in matrix.chunks(size.max(1)).zip(&roots).enumerate() {
        for (column, (entry, other)) in entries.iter().zip(&roots).enumerate().skip(row + 1) {
            let mirrored = matrix.get(column * size + row).copied().unwrap_or(f64::NAN);
            if entry.abs() > root * other + rounding || (entry - mirrored).abs() > rounding {
                return Err("a second moment is not symmetric and positive semidefinite");
            }
        }
    }
    Ok(())
}

/// Columns of length 1, to rounding.
fn expect_unit(vectors: &[f64], size: usize) -> Verdict {
    let mut squares = vec![0.0; size];
    for row in vectors.chunks(size.max(1)) {
        squares.iter_mut().zip(row).for_each(|(square, entry)| *square += entry * entry);
    }
    if squares.iter().all(|square| (square - 1.0).abs() <= ROUNDING) {
        return Ok(());
    }
    Err("an eigenvector has another length than 1")
}
