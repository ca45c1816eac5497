//! The parameters that a vector ranges over, and their order.

use std::{collections::HashSet, fmt, ops::Range, sync::Arc};

use burn::module::ParamId;

use super::ParamError;

/// Largest number of 8-byte elements in one allocation.
const MOST_ELEMENTS: usize = isize::MAX as usize / 8;

/// One parameter of a [`ParamLayout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamBlock {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) id: Option<ParamId>,
    pub(super) shape: Vec<usize>,
    pub(super) offset: usize,
    /// A frozen place with the same identifier that Burn visits earlier.
    pub(super) frozen_first: Option<String>,
}

impl ParamBlock {
    /// Dotted path of the parameter in the model, such as `encoder.layers.0.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Paths of the other places that share the parameter (tied weights).
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Burn's identity of the parameter; `None` in a layout that was not taken from a model.
    pub fn id(&self) -> Option<ParamId> {
        self.id
    }

    /// Size of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    #[allow(clippy::len_without_is_empty)] // A block is never empty.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Positions of the elements in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// The name and the aliases.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// The parameters that a vector ranges over: names, shapes, order and offsets.
///
/// Layouts are compared by content: names, shapes, order, and the identities of the model's parameters. A
/// shared parameter is one block. Frozen parameters and buffers (such as the running statistics of a batch
/// normalization) are not part of it.
///
/// # Example
/// ```
/// use burn::{module::Module, nn::LinearConfig, tensor::Device};
/// use burn_curvature::ParamLayout;
///
/// let model = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
/// let layout = ParamLayout::of(&model)?;
/// assert_eq!(layout.len(), 3 * 2 + 2);
/// assert_eq!(layout.blocks()[0].name(), "weight");
/// assert_eq!(layout.blocks()[1].range(), 6..8);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamLayout {
    blocks: Vec<ParamBlock>,
    len: usize,
}

impl ParamLayout {
    /// One block of `len` elements, named `x`, that belongs to no model.
    ///
    /// # Errors
    /// [`ParamError::EmptyBlock`] if `len` is zero, [`ParamError::TooManyElements`].
    pub fn flat(len: usize) -> Result<Arc<Self>, ParamError> {
        Self::from_shapes([("x", [len])])
    }

    /// Blocks with given names and shapes, that belong to no model.
    ///
    /// # Errors
    /// [`ParamError::EmptyBlock`] for a shape without elements, or if there is no block, [`ParamError::TooManyElements`],
    /// [`ParamError::DuplicateName`].
    ///
    /// # Example
    /// ```
    /// use burn_curvature::ParamLayout;
    /// let layout = ParamLayout::from_shapes([("w", vec![4, 3]), ("b", vec![3])])?;
    /// assert_eq!(layout.len(), 15);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn from_shapes<N, S>(
        shapes: impl IntoIterator<Item = (N, S)>,
    ) -> Result<Arc<Self>, ParamError>
    where
        N: Into<String>,
        S: Into<Vec<usize>>,
    {
        let blocks = shapes.into_iter().map(|(name, shape)| ParamBlock {
            name: name.into(),
            aliases: Vec::new(),
            id: None,
            shape: shape.into(),
            offset: 0,
            frozen_first: None,
        });
        Self::from_blocks(blocks.collect())
    }

    /// The name of the block at a position; empty beyond the last.
    pub(crate) fn name_at(&self, position: usize) -> String {
        self.blocks.get(position).map_or(String::new(), |block| block.name.clone())
    }

    /// Puts the blocks one after another.
    pub(super) fn from_blocks(mut blocks: Vec<ParamBlock>) -> Result<Arc<Self>, ParamError> {
        let mut names = HashSet::new();
        let mut len = 0;
        for block in &mut blocks {
            let count =
                elements(&block.shape).and_then(|count| Some((count, count.checked_add(len)?)));
            let Some((count, end)) = count.filter(|(_, end)| *end <= MOST_ELEMENTS) else {
                return Err(ParamError::TooManyElements {
                    block: block.name.clone(),
                    shape: block.shape.clone(),
                });
            };
            if count == 0 {
                return Err(empty_block(&block.name, &block.shape));
            }
            if !names.insert(block.name.clone()) {
                return Err(ParamError::DuplicateName { block: block.name.clone() });
            }
            block.offset = len;
            len = end;
        }
        if blocks.is_empty() {
            return Err(empty_block("", &[]));
        }
        Ok(Arc::new(Self { blocks, len }))
    }

    /// The blocks in their order.
    pub fn blocks(&self) -> &[ParamBlock] {
        &self.blocks
    }

    /// Number of elements in all blocks.
    #[allow(clippy::len_without_is_empty)] // A layout is never empty.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The block with this name or alias.
    pub fn block(&self, name: &str) -> Option<&ParamBlock> {
        self.blocks.iter().find(|block| block.paths().any(|path| path == name))
    }

    /// Name of the block at a position of the flat vector.
    pub(crate) fn block_at(&self, position: usize) -> &str {
        self.blocks
            .iter()
            .find(|block| block.range().contains(&position))
            .map_or("", |block| block.name())
    }
}

/// A table with one line per block.
impl fmt::Display for ParamLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.blocks.iter().map(|block| block.name.len()).max();
        let width = width.unwrap_or(0);
        for block in &self.blocks {
            let shape = format!("{:?}", block.shape);
            write!(f, "{:width$}  {shape:>16}  {:>10}", block.name, block.len())?;
            if !block.aliases.is_empty() {
                write!(f, "  = {}", block.aliases.join(" = "))?;
            }
            writeln!(f)?;
        }
        write!(f, "{:width$}  {:>16}  {:>10}", "total", "", self.len)
    }
}

/// Product of the sizes; `None` where it leaves the range of `usize`.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1, |product: usize, size| product.checked_mul(*size))
}

fn empty_block(name: &str, shape: &[usize]) -> ParamError {
    ParamError::EmptyBlock { block: name.to_string(), shape: shape.to_vec() }
}
