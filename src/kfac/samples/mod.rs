//! Inner products and quadratic forms of the gradients of single samples, computed at the taps of the layers. Depends
//! on the layers of K-FAC and on Kronecker products; independent of the purpose of the scores.
//!
//! Grosse et al. 2023, *Studying large language model generalization with influence functions*, section 3.2 (scores with
//! EKFAC); George et al. 2018 (the eigenbasis). Vectors are given: solving for them is not done here.

mod eigen_gradients;
mod eigenbasis;
mod forms;
mod scores;

pub use scores::SampleScores;

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    KfacError,
    block::{Network, Uncovered},
    network,
    pass::{LayerProgram, Structure, network_layers},
    program::{Results, SAMPLES, Score, one_of_many},
    reach::expect_own_rows,
};
use crate::{
    error::Error,
    objective::{Objective, Part, Reduction, Rows},
    operator::{BlockDiagonal, Kronecker, LinearOperator},
    space::{Inner, InnerFloat, ParamLayout, ParamVector, read_tensor},
    tensor::Operand,
};

/// The gradients ∇ℓₙ of the losses of single samples, given by the inputs and the output gradients of the layers: their
/// inner products with vectors, and quadratic forms, without forming the gradients.
///
/// ```text
/// ∇ℓₙ = Σ over places of a gᵀ        ⟨∇ℓₙ, S⟩ = Σ ⟨Sᵀa, g⟩        ⟨∇ℓₙ, (L ⊗ R) ∇ℓₙ⟩ = Σ over pairs of places (aᵀLa′)(gᵀRg′)
/// ```
///
/// A sample is an index of the first dimension of the outputs, and ℓₙ its own loss at the target in the data, neither
/// divided by the number of samples nor weighted by the data set: for a loss that is a mean over N samples, ∇ℒ is the mean
/// of ∇ℓₙ; for a sum, their sum. Of a [`Loss`](crate::Loss) with a weight, ℓₙ is the sample's share of the sum. Places,
/// such as those of a sequence or an image, and several uses of a weight are summed within a sample, exactly.
///
/// All layers and other parameters that K-FAC finds are covered. A parameter is refused by its name if the inputs and output
/// gradients of layers do not give its gradients of single samples.
///
/// # Cost
///
/// - Construction: a forward pass and two backward passes that check the samples, once per recording.
/// - A call: a forward and a backward pass without the gradients of the weights, and the following per layer, in units of
///   the multiplications of its forward pass. [`inner_products`](Self::inner_products) takes one per vector; with three or
///   more vectors it takes one for all places, and one per vector divided by the number of places.
///   [`quadratic_forms`](Self::quadratic_forms) takes a product with L and one with R per place.
/// - Memory: at most 2²² elements per layer, or one sample. Parameters that belong to no layer have their gradients written
///   down, samples times elements.
///
/// # Example
///
/// ℓ = ½z² for z = x w with w = 2 and x = 1, 3: the gradients are 2 and 18, the Fisher matrix of the sum 1² + 3².
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{KfacConfig, Likelihood, Objective, Reduction, kfac::SampleGradients};
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(1, 1).with_bias(false);
/// let model = model.with_initializer(nn::Initializer::Constant { value: 2.0 }).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = model.forward(x);
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let kfac = KfacConfig::new().init(&objective, Likelihood::Gaussian { variance: 1.0 })?;
///
/// let gradients = SampleGradients::new(&objective)?;
/// let one = objective.parameters().space().ones();
/// assert_eq!(gradients.inner_products(&objective, &[one])?.total(), [2.0, 18.0]);
/// let influence = gradients.quadratic_forms(&objective, &kfac.inverse(0.0)?)?;
/// for (found, expected) in influence.total().iter().zip([2.0 * 2.0 / 10.0, 18.0 * 18.0 / 10.0]) {
///     assert!((found - expected).abs() < 1e-5);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SampleGradients {
    layout: Arc<ParamLayout>,
    network: Arc<Network>,
    structure: Arc<Structure>,
    reduction: Reduction,
}

impl SampleGradients {
    /// Finds the layers of the objective's network and checks that their rows are those of single samples.
    ///
    /// The result also serves other objectives of the same model and loss, such as those on other batches or at other
    /// parameters.
    ///
    /// # Errors
    /// [`ObjectiveError::NoReduction`](crate::errors::ObjectiveError::NoReduction) for a loss of which it is not stated
    /// whether it is a sum or a mean; [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs) for one without
    /// outputs; [`KfacError::Places`] for a layer whose rows reach several samples, [`KfacError::SampleGradient`] for
    /// another parameter whose gradients are not known.
    pub fn new<B: AutodiffBackend>(objective: &Objective<B>) -> Result<Self, Error> {
        objective.agreed(Self::here(objective))
    }

    fn here<B: AutodiffBackend>(objective: &Objective<B>) -> Result<Self, Error> {
        let reduction = objective.stated_reduction()?;
        objective.shape_of_outputs()?;
        let layers = network_layers(objective, SAMPLES)?;
        if let Some((parameter, operation)) = network::mixed(&layers, objective.layout()) {
            return Err(KfacError::Places { parameter, operation }.into());
        }
        expect_own_rows(objective, &layers, SAMPLES.separation())?;
        let network = Network::of_layers(objective, &layers, SAMPLES)?;
        for block in network.uncovered() {
            if let Some(Uncovered { reason, by_sample: false }) = &block.uncovered {
                let (parameter, reason) = (block.name.clone(), reason.clone());
                return Err(KfacError::SampleGradient { parameter, reason }.into());
            }
        }
        let structure = Arc::new(network.structure(objective, true));
        let layout = Arc::clone(objective.layout());
        Ok(Self { layout, network: Arc::new(network), structure, reduction })
    }

    /// ⟨∇ℓₙ, sₖ⟩ for all samples n of all batches, in order, and all vectors sₖ. Collective on a shared objective: the
    /// samples of all ranks.
    ///
    /// # Errors
    /// As [`inner_products_by_batch`](Self::inner_products_by_batch).
    pub fn inner_products<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<SampleScores, Error> {
        self.of_all_ranks(objective, vectors.len(), |visit| {
            self.inner_products_by_batch(objective, vectors, visit)
        })
    }

    /// ⟨∇ℓₙ, sₖ⟩, passed to `visit` batch by batch, so that nothing is held for all of them: the batches of this rank,
    /// if the objective is shared.
    ///
    /// # Errors
    /// [`KfacError::NoVectors`]; a vector of another layout, precision or device; an objective of another model or with
    /// another reduction; [`KfacError::OtherNetwork`] for a batch in which a parameter is used in another way;
    /// [`KfacError::NonFiniteScores`]; errors of `visit`.
    pub fn inner_products_by_batch<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        vectors: &[ParamVector<B>],
        visit: impl FnMut(SampleScores) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if vectors.is_empty() {
            return Err(KfacError::NoVectors.into());
        }
        for vector in vectors {
            objective.parameters().expect_like(vector)?;
        }
        let matrices = self.network.blocks.iter().map(|block| {
            let each = vectors.iter().map(|vector| {
                let own = block.subset.restrict(vector)?;
                let matrix = block.matrix.gather::<B>(own.blocks());
                Ok(matrix.map(one_of_many::<Inner<B>>))
            });
            let each = each.collect::<Result<Option<Vec<_>>, Error>>()?.unwrap_or_default();
            Ok(Inner::<B>::float_cat(each, 0))
        });
        let matrices = matrices.collect::<Result<Vec<_>, Error>>()?;
        self.run(objective, self.inner(vectors.len()), (vectors.len(), 1), &matrices, visit)
    }

    /// ⟨∇ℓₙ, M ∇ℓₙ⟩ for all samples n of all batches, in order: with a damped inverse of [`Kfac`](crate::Kfac) or
    /// [`Ekfac`](crate::Ekfac) for M the self-influence, up to its sign and scale. Collective on a shared objective: the
    /// samples of all ranks.
    ///
    /// # Errors
    /// As [`quadratic_forms_by_batch`](Self::quadratic_forms_by_batch).
    pub fn quadratic_forms<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        operator: &BlockDiagonal<B, Kronecker<B>>,
    ) -> Result<SampleScores, Error> {
        self.of_all_ranks(objective, 1, |visit| {
            self.quadratic_forms_by_batch(objective, operator, visit)
        })
    }

    /// ⟨∇ℓₙ, M ∇ℓₙ⟩, passed to `visit` batch by batch: the batches of this rank, if the objective is shared.
    ///
    /// # Errors
    /// [`KfacError::OtherBlocks`] for an operator with other blocks than those of the layers; an operator on another space;
    /// an objective of another model or with another reduction; [`KfacError::OtherNetwork`] for a batch in which a
    /// parameter is used in another way; [`KfacError::NonFiniteScores`]; errors of `visit`.
    pub fn quadratic_forms_by_batch<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        operator: &BlockDiagonal<B, Kronecker<B>>,
        visit: impl FnMut(SampleScores) -> Result<(), Error>,
    ) -> Result<(), Error> {
        objective.parameters().space().expect_same(operator.domain())?;
        let blocks = self.forms(operator)?;
        let scores = blocks.iter().map(|block| Score::Quadratic(block.form)).collect();
        let operands =
            blocks.into_iter().flat_map(|block| block.sides.into_iter().chain(block.eigenvalues));
        let operands: Vec<_> = operands.collect();
        self.run(objective, scores, (1, 2), &operands, visit)
    }

    /// Runs a program on every batch and passes the scores on, divided by a power of the factor of the samples'
    /// gradients in the recorded loss.
    fn run<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        scores: Vec<Score>,
        (columns, power): (usize, i32),
        operands: &[InnerFloat<B>],
        mut visit: impl FnMut(SampleScores) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.layout.expect_same(objective.layout())?;
        let objective = objective.stating(self.reduction)?;
        let program = self.program(Results::Scores(scores));
        let inputs = |_: &Part<B>| Ok(operands.iter().cloned().map(Operand::Float).collect());
        objective.pass(&program, None, inputs, |part, notes, found| {
            let scale = part.share(self.reduction).recip().powi(power);
            let mut scores = self.nothing(columns);
            if let Some(found) = found.into_iter().next() {
                scores.fill(notes.count(), &read_tensor::<B>(found.into_float()?)?, scale);
            }
            if let Some(layer) = scores.not_finite() {
                return Err(KfacError::NonFiniteScores { layer: layer.into() }.into());
            }
            visit(scores)
        })
    }

    /// The most bytes that inner products with some vectors take besides their results, on the largest batch.
    pub(crate) fn transient_bytes<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        vectors: usize,
    ) -> Result<usize, Error> {
        objective.transient_of(&self.program(Results::Scores(self.inner(vectors))))
    }

    /// Inner products with some vectors.
    fn inner(&self, vectors: usize) -> Vec<Score> {
        vec![Score::Inner { vectors }; self.parts()]
    }

    fn program(&self, results: Results) -> LayerProgram {
        LayerProgram { kind: SAMPLES, structure: Arc::clone(&self.structure), results }
    }

    /// Number of parts that a score is the sum of.
    pub(crate) fn parts(&self) -> usize {
        self.network.blocks.len()
    }

    /// The scores of the samples of all ranks, from those of this rank's batches.
    fn of_all_ranks<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        columns: usize,
        by_batch: impl FnOnce(&mut dyn FnMut(SampleScores) -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<SampleScores, Error> {
        let mut all = self.nothing(columns);
        let own = by_batch(&mut |scores| {
            all.append(scores);
            Ok(())
        });
        if !objective.is_shared() {
            return own.map(|()| all);
        }
        let Rows { first, own: here, total } = objective.rows()?;
        let rows = Rows { first: first * columns, own: here * columns, total: total * columns };
        let values = std::mem::take(&mut all.values);
        all.values = objective.gathered(rows, self.parts(), own.map(|()| values))?;
        all.samples = total;
        Ok(all)
    }

    /// Scores of no sample.
    fn nothing(&self, columns: usize) -> SampleScores {
        let names = self.network.blocks.iter().map(|block| block.name.clone());
        SampleScores::new(names.collect(), columns)
    }
}
