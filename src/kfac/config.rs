//! How Kronecker factors are made.

use serde::{Deserialize, Serialize};

/// Where the gradients of the layers' outputs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacFisher {
    /// The exact Fisher matrix in output space, by the columns of its square root: as many backward passes as there are
    /// outputs. No randomness ('type 2'). All samples of a batch are propagated back together, so that their gradients
    /// are told apart by their rows only: outputs with a row for each place of a sequence are refused, but layers that
    /// mix the samples of a batch, such as a batch normalization in training mode or attention from one sample to
    /// another, are not seen.
    #[default]
    Exact,
    /// Targets drawn from the model: one backward pass a draw.
    MonteCarlo {
        /// Targets for every sample, at least 1.
        draws: usize,
        /// Seed of the draws.
        seed: u64,
    },
    /// The targets of the data: the empirical Fisher matrix, which is none. The captured loss must reduce as is said.
    Empirical,
    /// No gradients: G = I (Benzing 2022, 'FOOF').
    ForwardOnly,
}

/// What is made of a weight that is used at several places of a sample: positions of a sequence or an image, time steps,
/// tied layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacApproximation {
    /// Every place is a sample of its own. Exact for deep linear networks with a loss at every place.
    #[default]
    Expand,
    /// Inputs are averaged and gradients summed over the places first. Exact for deep linear networks whose outputs are
    /// averaged over the places. An embedding is a linear layer of one-hot inputs, see [`EmbeddingPolicy`].
    Reduce,
}

/// What [`KfacApproximation::Reduce`] makes of embeddings that are used at several places of a sample.
///
/// ```text
/// reduced:   A = E[ē ēᵀ],  ē how often each row is used in a sample, of all its places      a full matrix
/// expanded:  A = E[e eᵀ],  e the one-hot input at a single place                             a diagonal
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EmbeddingPolicy {
    /// They are reduced like other layers: A is a full matrix, that is inverted or decomposed, and so for at most so many
    /// rows.
    Whole {
        /// Most rows of an embedding.
        limit: usize,
    },
    /// They are expanded, whatever is made of other layers: A is a diagonal. Not exact where reduction is; the coverage
    /// report says so.
    Expand,
}

impl Default for EmbeddingPolicy {
    fn default() -> Self {
        Self::Whole { limit: 2048 }
    }
}

/// What is made of parameters that are no weight or bias of a linear layer, a convolution or an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UncoveredPolicy {
    /// Their exact block of the Fisher matrix, for at most so many numbers a parameter; of the empirical one for
    /// [`KfacFisher::Empirical`], of that by drawn targets for [`KfacFisher::MonteCarlo`], and of the exact one for
    /// [`KfacFisher::ForwardOnly`].
    ExactBlock {
        /// Largest parameter.
        limit: usize,
    },
    /// An estimate of the diagonal of their block, for parameters of any size.
    ///
    /// ```text
    /// diag F ≈ c·mean over probes of (JᵀS r)∘(JᵀS r)      S Sᵀ = F_z, r random signs for every output
    /// ```
    ///
    /// Without bias and never negative; the error of each number falls as 1/√probes, and over a data set also with the
    /// number of batches, each of which has signs of its own. A backward pass a probe. The true Fisher matrix is
    /// estimated so for [`KfacFisher::Exact`], and for [`KfacFisher::MonteCarlo`] and [`KfacFisher::ForwardOnly`] too:
    /// drawn targets would only add noise. For [`KfacFisher::Empirical`] it is the diagonal of the empirical one, by the
    /// gradients of the samples with one random sign each.
    ///
    /// A weight that is used in several ways, such as an embedding that is also the transposed output projection, has no
    /// single Kronecker product; this diagonal is right for it, with what is between its uses.
    Diagonal {
        /// Backward passes a batch, at least 1.
        probes: usize,
        /// Seed of the signs.
        seed: u64,
    },
    /// An error that names them.
    Refuse,
}

impl Default for UncoveredPolicy {
    fn default() -> Self {
        Self::ExactBlock { limit: 1024 }
    }
}

/// How Kronecker factors are made.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | `fisher` | [`KfacFisher::Exact`] | source of the output gradients |
/// | `approximation` | [`KfacApproximation::Expand`] | weights that are used at several places |
/// | `embeddings` | reduced up to 2048 rows | embeddings where other weights are reduced |
/// | `beside` | exact blocks up to 1024 numbers | parameters that belong to no layer |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KfacConfig {
    pub(super) fisher: KfacFisher,
    pub(super) approximation: KfacApproximation,
    #[serde(default)]
    pub(super) embeddings: EmbeddingPolicy,
    pub(super) beside: UncoveredPolicy,
}

impl KfacConfig {
    /// The defaults of the table above.
    pub fn new() -> Self {
        Self::default()
    }

    /// The source of the output gradients.
    pub fn fisher(&self) -> KfacFisher {
        self.fisher
    }

    /// Chooses the source of the output gradients.
    #[must_use]
    pub fn with_fisher(mut self, fisher: KfacFisher) -> Self {
        self.fisher = fisher;
        self
    }

    /// Chooses what is made of weights that are used at several places.
    #[must_use]
    pub fn with_approximation(mut self, approximation: KfacApproximation) -> Self {
        self.approximation = approximation;
        self
    }

    /// Chooses what [`KfacApproximation::Reduce`] makes of embeddings.
    #[must_use]
    pub fn with_reduced_embeddings(mut self, embeddings: EmbeddingPolicy) -> Self {
        self.embeddings = embeddings;
        self
    }

    /// Chooses what is made of parameters that belong to no layer.
    #[must_use]
    pub fn with_beside(mut self, beside: UncoveredPolicy) -> Self {
        self.beside = beside;
        self
    }
}
