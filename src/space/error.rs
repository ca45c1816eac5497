//! What can go wrong with vectors, and between vectors and models.

use crate::tensor::TensorError;

use super::{BlockDifference, Precision};

/// Failure of an operation on vectors.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// Two vectors, or a vector and an operator, are laid out differently.
    #[error(
        "expected a vector of {expected} elements and got {}: {difference}; take both from the same model, \
         or restrict and embed with a `ParamSubset`",
        if expected == found { "a different one of the same length".into() } else { format!("one of {found}") }
    )]
    LayoutMismatch {
        /// Elements in the layout that was expected.
        expected: usize,
        /// Elements in the layout that was found.
        found: usize,
        /// The first block in which they differ.
        difference: BlockDifference,
    },
    /// A list of values does not have the length of the layout.
    #[error(
        "the layout has {expected} elements, and {found} values were given; give one value for each element"
    )]
    LengthMismatch {
        /// Elements in the layout.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The wrong number of blocks was given for a layout.
    #[error(
        "the layout has {expected} blocks, and {found} were given; give one tensor for each block"
    )]
    BlockCount {
        /// Blocks in the layout.
        expected: usize,
        /// Blocks given.
        found: usize,
    },
    /// A block does not have the shape in the layout.
    #[error(
        "block `{block}` has shape {expected:?} in the layout, and a tensor of shape {found:?} was given; reshape it"
    )]
    BlockShape {
        /// Name of the block.
        block: String,
        /// Shape in the layout.
        expected: Vec<usize>,
        /// Shape of the tensor.
        found: Vec<usize>,
    },
    /// The operands have different precisions.
    #[error(
        "expected {expected} and got {found}; convert vectors with `cast`, and objectives with `in_f64` or `in_precision`"
    )]
    PrecisionMismatch {
        /// Format expected.
        expected: Precision,
        /// Format found.
        found: Precision,
    },
    /// The device does not compute in this format.
    #[error(
        "device {device} has no {precision}; use f32, or a backend that has {precision} (Flex, NdArray)"
    )]
    PrecisionUnsupported {
        /// Format asked for.
        precision: Precision,
        /// The device.
        device: String,
    },
    /// The device records operations for autodiff.
    #[error(
        "device {device} records for autodiff, and vectors live without it; use `without_autodiff()` of the device \
         or the tensor"
    )]
    AutodiffDevice {
        /// The device.
        device: String,
    },
    /// A tensor has elements that are neither `f32` nor `f64`.
    #[error("block `{block}` holds {found}; only f32 and f64 are supported: cast the model first")]
    ElementType {
        /// Name of the block.
        block: String,
        /// Element type found.
        found: String,
    },
    /// The tensors are on different devices.
    #[error("expected a tensor on device {expected} and got one on {found}; move one of them")]
    DeviceMismatch {
        /// Device expected.
        expected: String,
        /// Device found.
        found: String,
    },
    /// A vector has elements that are not finite.
    #[error(
        "{what} has {count} elements that are NaN or infinite, the first in block `{block}`; look for an overflow, a \
         division by zero or a logarithm of zero there"
    )]
    NonFinite {
        /// What the vector is.
        what: String,
        /// The first block with such an element.
        block: String,
        /// How many there are in all.
        count: usize,
    },
    /// The device could not be read.
    #[error("the device could not be read: {message}")]
    Read {
        /// The backend's message.
        message: String,
    },
}

/// Failure between a model and a vector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The model has nothing to train.
    #[error(
        "the model has no trainable parameter: {plain} float tensors are on a device without autodiff (build the model \
         on `device.autodiff()`, or call `.train()`), {frozen} require no gradient (`.unfreeze()` or \
         `.set_require_grad(true)`)"
    )]
    NoTrainable {
        /// Float tensors on a device without autodiff.
        plain: usize,
        /// Float tensors on an autodiff device that require no gradient.
        frozen: usize,
    },
    /// A layout or a block without elements.
    #[error("block `{block}` of shape {shape:?} has no elements; leave it out")]
    EmptyBlock {
        /// Name of the block.
        block: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A layout of more elements than memory can address.
    #[error(
        "with block `{block}` of shape {shape:?} the layout has more elements than memory can address; select fewer \
         parameters"
    )]
    TooManyElements {
        /// Name of the block.
        block: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Two blocks of one name.
    #[error("two blocks are named `{block}`; give each its own name")]
    DuplicateName {
        /// The name.
        block: String,
    },
    /// Places that share one parameter have different shapes.
    #[error(
        "`{alias}` shares the parameter of `{block}` but has shape {found:?} in place of {expected:?}"
    )]
    SharedShape {
        /// Name of the block.
        block: String,
        /// The other place.
        alias: String,
        /// Shape at the first place.
        expected: Vec<usize>,
        /// Shape at the other place.
        found: Vec<usize>,
    },
    /// Places that share one parameter hold different values.
    #[error(
        "`{alias}` shares the parameter of `{block}` but holds other values. If they are one parameter, call \
         `ParamLayout::retie` after each step of an optimizer of Burn, which updates only the first place; if they \
         are two, give one of them an identifier of its own (`Param::initialized(ParamId::new(), tensor)`), or \
         freeze it if it is a constant (`no_grad`)"
    )]
    TiedApart {
        /// Name of the block.
        block: String,
        /// The other place.
        alias: String,
    },
    /// Several places of a model without trainable ones have the identifier of a block, and none has its path.
    #[error(
        "{places:?} all have the identity of block `{block}`, none has its path, and none requires a gradient, so \
         that it is unknown which of them are meant; take the layout from this model as it is trained"
    )]
    Ambiguous {
        /// Name of the block.
        block: String,
        /// Paths of the places.
        places: Vec<String>,
    },
    /// A block of the layout is frozen in the model that should move.
    #[error(
        "`{block}` is frozen now, and was trainable when the layout was taken; take the layout and the vector from the \
         model as it is, or unfreeze `{block}`"
    )]
    FrozenNow {
        /// Path of the frozen place.
        block: String,
    },
    /// The model has changed since the loss was captured or the layout taken.
    #[error(
        "the model has changed since the loss was captured:{report}\nCapture the loss of the model as it is now, or \
         restore the model"
    )]
    Changed {
        /// Paths of what has changed.
        changed: Vec<String>,
        /// Part by part: unchanged (✓) or changed (✗).
        report: String,
    },
    /// A frozen place comes before the parameter whose identifier it shares.
    #[error(
        "the frozen `{frozen}` shares the identifier of `{block}` and comes before it, and an optimizer of Burn \
         gives a gradient to the first place with its identifier: put `{block}` before it in the model, or give it \
         an identifier of its own (`Param::initialized(ParamId::new(), tensor)`)"
    )]
    FrozenFirst {
        /// Name of the block.
        block: String,
        /// Path of the frozen place.
        frozen: String,
    },
    /// Places that share one parameter are separate leaves, so that one gradient per parameter is not enough.
    #[error(
        "`{alias}` shares the parameter of `{block}` but is a leaf of its own, and `GradientsParams` keeps the \
         gradient of one place only; use `ParamVector::from_backward`, which sums over the places"
    )]
    SeparateLeaves {
        /// Name of the block.
        block: String,
        /// The other place.
        alias: String,
    },
    /// The model lacks a parameter of the layout.
    #[error(
        "the model has no parameter with the identity of block `{block}`; it is another model: take the layout from \
         this one, and the vector over with `ParamVector::with_layout`"
    )]
    MissingParameter {
        /// Name of the block.
        block: String,
    },
    /// The layout was not taken from a model.
    #[error(
        "block `{block}` belongs to no model; take the layout from a model with `ParamLayout::of`"
    )]
    NoIdentity {
        /// Name of the block.
        block: String,
    },
    /// None of the gradients belongs to the model.
    #[error(
        "none of the {found} gradients belongs to a parameter of this model; they come from another model"
    )]
    ForeignGradients {
        /// Number of gradients given.
        found: usize,
    },
    /// A tensor has more dimensions than Burn's optimizers take.
    #[error("block `{block}` has {rank} dimensions; Burn's optimizers take at most 8")]
    Rank {
        /// Name of the block.
        block: String,
        /// Number of dimensions.
        rank: usize,
    },
    /// A selection matched no block.
    #[error("`{selection}` selects no parameter; there are: {available}")]
    EmptySelection {
        /// What was asked for.
        selection: String,
        /// Names of the blocks.
        available: String,
    },
    /// A tensor lives on another backend.
    #[error(transparent)]
    Bridge(#[from] TensorError),
    /// The vector itself is at fault.
    #[error(transparent)]
    Vector(#[from] VectorError),
}

crate::error::kind!(VectorError, ParamError);
