//! Where two layouts differ.

use super::{ParamBlock, ParamLayout, VectorError};

/// The first difference between two layouts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockDifference {
    /// A block has another name.
    #[error("block {index} is `{found}` in place of `{expected}`")]
    Name {
        /// Position of the block.
        index: usize,
        /// Name expected.
        expected: String,
        /// Name found.
        found: String,
    },
    /// A block has another shape.
    #[error("block `{block}` has shape {found:?} in place of {expected:?}")]
    Shape {
        /// Name of the block.
        block: String,
        /// Shape expected.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// A block is a parameter of another model.
    #[error("block `{block}` is a parameter of another model")]
    Identity {
        /// Name of the block.
        block: String,
    },
    /// A block is shared with other places of the model.
    #[error("block `{block}` is shared with other places of the model")]
    Aliases {
        /// Name of the block.
        block: String,
    },
    /// A block is missing.
    #[error("block `{block}` is missing (was it frozen since?)")]
    Missing {
        /// Name of the block.
        block: String,
    },
    /// There is a block too many.
    #[error("block `{block}` is one too many (was it unfrozen since?)")]
    Extra {
        /// Name of the block.
        block: String,
    },
}

impl ParamLayout {
    /// Checks that `found` is this layout.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] with both lengths and the first block that differs.
    pub fn expect_same(&self, found: &ParamLayout) -> Result<(), VectorError> {
        if std::ptr::eq(self, found) {
            return Ok(());
        }
        match first_difference(self.blocks(), found.blocks()) {
            None => Ok(()),
            Some(difference) => Err(VectorError::LayoutMismatch {
                expected: self.len(),
                found: found.len(),
                difference,
            }),
        }
    }
}

fn first_difference(expected: &[ParamBlock], found: &[ParamBlock]) -> Option<BlockDifference> {
    let differing = expected
        .iter()
        .zip(found)
        .enumerate()
        .find_map(|(index, (expected, found))| block_difference(index, expected, found));
    let name = |block: &ParamBlock| block.name().to_string();
    let holds = |blocks: &[ParamBlock], name: &str| blocks.iter().any(|it| it.name() == name);
    let differing = differing.map(|difference| match difference {
        // One of them is in the other list all the same: the other one was left out, or added.
        BlockDifference::Name { expected: block, found: other, .. }
            if !holds(found, &block) && holds(expected, &other) =>
        {
            BlockDifference::Missing { block }
        }
        BlockDifference::Name { expected: other, found: block, .. }
            if !holds(expected, &block) && holds(found, &other) =>
        {
            BlockDifference::Extra { block }
        }
        difference => difference,
    });
    differing.or_else(|| {
        if let Some(block) = expected.get(found.len()) {
            return Some(BlockDifference::Missing { block: name(block) });
        }
        let block = found.get(expected.len())?;
        Some(BlockDifference::Extra { block: name(block) })
    })
}

fn block_difference(
    index: usize,
    expected: &ParamBlock,
    found: &ParamBlock,
) -> Option<BlockDifference> {
    let block = expected.name().to_string();
    if expected.name() != found.name() {
        Some(BlockDifference::Name { index, expected: block, found: found.name().to_string() })
    } else if expected.shape() != found.shape() {
        Some(BlockDifference::Shape {
            block,
            expected: expected.shape().to_vec(),
            found: found.shape().to_vec(),
        })
    } else if expected.id() != found.id() {
        Some(BlockDifference::Identity { block })
    } else if expected.aliases() != found.aliases() {
        Some(BlockDifference::Aliases { block })
    } else {
        None
    }
}
