//! Whether a loss is the negative logarithm of a likelihood: in the space of outputs, where both have a curvature.

use burn_backend::{AutodiffBackend, TensorData};

use super::{Derivation, Objective, Part};
use crate::{
    derive::{self, ComparedAt, Family, Likelihood, LikelihoodError},
    error::Error,
    graph::Graph,
    tensor::Operand,
};

/// Largest relative difference of the two curvatures.
const TOLERANCE: f64 = 1e-3;

/// A difference that is rounding, relative to the largest curvature of a likelihood with bounded curvature.
const ROUNDING: f64 = 1e-6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Comparison {
    family: Family,
    at: ComparedAt,
}

impl Derivation for Comparison {
    type Notes = ();

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, ()), Error> {
        Ok((derive::comparison(loss, parameters, self.family, self.at)?, ()))
    }
}

/// Squared norms and the inner product of Hu and c·Fu.
struct Compared {
    loss: f64,
    likelihood: f64,
    product: f64,
    difference: f64,
    direction: f64,
}

impl Compared {
    fn is_finite(&self) -> bool {
        [self.loss, self.likelihood, self.product, self.difference].iter().all(|x| x.is_finite())
    }

    /// Whether two vectors with a difference are the same up to rounding.
    fn same(&self, difference: f64, scale: f64) -> bool {
        difference.sqrt() <= TOLERANCE * scale.sqrt() + ROUNDING * self.direction.sqrt()
    }

    /// The r of Hu = r·c·Fu, if there is one.
    fn ratio(&self) -> Option<f64> {
        let ratio = self.product / self.likelihood;
        let left = (self.loss - ratio * self.product).max(0.0);
        (ratio.is_finite() && left.sqrt() <= 0.01 * self.loss.sqrt()).then_some(ratio)
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// Checks on every batch that the curvature of the loss in the outputs is that of a likelihood, in the reduction that
    /// was stated. Costs as much as the head of the model, from outputs to loss.
    #[inline(never)]
    pub(crate) fn expect_likelihood(&self, likelihood: Likelihood) -> Result<(), Error> {
        self.agreed(self.expect_likelihood_here(likelihood))
    }

    fn expect_likelihood_here(&self, likelihood: Likelihood) -> Result<(), Error> {
        likelihood.check(&self.shape_of_outputs()?)?;
        let reduction = self.stated_reduction()?;
        if !self.settings.check_loss {
            return Ok(());
        }
        self.for_each_part(|_, part| {
            let share = part.share(reduction);
            let compare = |other: Likelihood| self.compared(part, other, share * other.scale());
            let found = compare(likelihood)?;
            if found.same(found.difference, found.loss.max(found.likelihood)) {
                return Ok(());
            }
            let mut hints = Vec::new();
            for other in CANDIDATES {
                if let Ok(ratio) = compare(other).map(|compared| compared.ratio())
                    && let Some(ratio) = ratio
                {
                    hints.push((other, ratio));
                }
            }
            Err(LikelihoodError::loss_is_not(likelihood, found.ratio(), &hints).into())
        })
    }

    fn compared(
        &self,
        part: &Part<B>,
        likelihood: Likelihood,
        factor: f64,
    ) -> Result<Compared, Error> {
        let generic = self.compared_at(part, likelihood, factor, ComparedAt::Generic)?;
        if generic.is_finite() {
            return Ok(generic);
        }
        self.compared_at(part, likelihood, factor, ComparedAt::Outputs)
    }

    fn compared_at(
        &self,
        part: &Part<B>,
        likelihood: Likelihood,
        factor: f64,
        at: ComparedAt,
    ) -> Result<Compared, Error> {
        let derivation = Comparison { family: likelihood.family(), at };
        let program = part.programs.derived(&derivation)?;
        let factor = TensorData::new(vec![factor], [1]).convert_dtype(part.outputs_type()?.dtype);
        let mut inputs = self.inputs(part)?;
        inputs.push(Operand::from_data(factor, self.parameters().device())?);
        let mut numbers = Vec::with_capacity(5);
        for result in program.program.run(inputs)? {
            numbers.extend(result.into_data()?.iter::<f64>());
        }
        let number = |at: usize| numbers.get(at).copied().unwrap_or(f64::NAN);
        Ok(Compared {
            loss: number(0),
            likelihood: number(1),
            product: number(2),
            difference: number(3),
            direction: number(4),
        })
    }
}

/// What a loss may be instead.
const CANDIDATES: [Likelihood; 4] = [
    Likelihood::Categorical,
    Likelihood::Bernoulli,
    Likelihood::Gaussian { variance: 1.0 },
    Likelihood::Poisson,
];
