//! Some of the parameters: by pattern, by module, by predicate.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{Inner, ParamBlock, ParamError, ParamLayout, ParamVector, VectorError};

/// A selection of blocks of a layout, with the two maps between the spaces.
///
/// ```text
/// restrict: θ-space → subspace      keep the selected blocks
/// embed:    subspace → θ-space      put zeros elsewhere
/// ```
///
/// # Example
/// ```
/// use burn_curvature::ParamLayout;
/// let layout = ParamLayout::from_shapes([("head.w", [4]), ("head.b", [2]), ("body.w", [9])])?;
/// assert_eq!(layout.select("*.w")?.layout().len(), 13);
/// assert_eq!(layout.select_module("head")?.layout().len(), 6);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamSubset {
    whole: Arc<ParamLayout>,
    part: Arc<ParamLayout>,
    /// Position in `whole` of each block of `part`.
    positions: Vec<usize>,
}

impl ParamLayout {
    /// The blocks with a path that matches a pattern: `*` stands for any characters, dots included, `?` for one.
    ///
    /// # Errors
    /// [`ParamError::EmptySelection`] if nothing matches.
    pub fn select(self: &Arc<Self>, pattern: &str) -> Result<ParamSubset, ParamError> {
        let wanted: Vec<char> = pattern.chars().collect();
        self.select_as(pattern, |block| {
            block.paths().any(|path| {
                let path: Vec<char> = path.chars().collect();
                matches(&wanted, &path)
            })
        })
    }

    /// The blocks of the module at a dotted path, such as `encoder.layers.0`.
    ///
    /// # Errors
    /// [`ParamError::EmptySelection`] if there is no trainable parameter under this path.
    pub fn select_module(self: &Arc<Self>, path: &str) -> Result<ParamSubset, ParamError> {
        self.select_as(path, |block| {
            block.paths().any(|candidate| {
                let rest = candidate.strip_prefix(path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        })
    }

    /// The blocks for which `keep` holds.
    ///
    /// # Errors
    /// [`ParamError::EmptySelection`] if there is none.
    pub fn select_by(
        self: &Arc<Self>,
        keep: impl Fn(&ParamBlock) -> bool,
    ) -> Result<ParamSubset, ParamError> {
        self.select_as("the predicate", keep)
    }

    fn select_as(
        self: &Arc<Self>,
        selection: &str,
        keep: impl Fn(&ParamBlock) -> bool,
    ) -> Result<ParamSubset, ParamError> {
        let kept = self.blocks().iter().enumerate();
        let kept: Vec<_> = kept.filter(|(_, block)| keep(block)).collect();
        if kept.is_empty() {
            let names: Vec<_> = self.blocks().iter().map(ParamBlock::name).collect();
            return Err(ParamError::EmptySelection {
                selection: selection.to_string(),
                available: names.join(", "),
            });
        }
        let positions = kept.iter().map(|(position, _)| *position).collect();
        let blocks = kept.into_iter().map(|(_, block)| block.clone()).collect();
        Ok(ParamSubset { whole: self.clone(), part: ParamLayout::from_blocks(blocks)?, positions })
    }
}

impl ParamSubset {
    /// Layout of the selected blocks.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        &self.part
    }

    /// Layout of all blocks.
    pub fn whole(&self) -> &Arc<ParamLayout> {
        &self.whole
    }

    /// Position in [`whole`](Self::whole) of each selected block.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Keeps the selected blocks. Copies nothing.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] if the vector is not laid out as [`whole`](Self::whole).
    #[inline(never)]
    pub fn restrict<B: AutodiffBackend>(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        self.whole.expect_same(vector.layout())?;
        let selected = self.positions.iter();
        let blocks = selected.filter_map(|position| vector.blocks().get(*position).cloned());
        Ok(vector.rebuilt(self.part.clone(), blocks.collect()))
    }

    /// Puts zeros where nothing is selected.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] if the vector is not laid out as [`layout`](Self::layout).
    #[inline(never)]
    pub fn embed<B: AutodiffBackend>(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        self.part.expect_same(vector.layout())?;
        let mut selected = self.positions.iter().zip(vector.blocks()).peekable();
        let blocks = self.whole.blocks().iter().enumerate();
        let blocks = blocks.map(|(position, block)| {
            match selected.next_if(|(selected, _)| **selected == position) {
                Some((_, values)) => values.clone(),
                None => Inner::<B>::float_zeros(
                    block.shape().to_vec().into(),
                    vector.device(),
                    vector.precision().dtype(),
                ),
            }
        });
        let blocks = blocks.collect();
        Ok(vector.rebuilt(self.whole.clone(), blocks))
    }
}

/// Whether a pattern with `*` and `?` covers a whole text. Remembers the last `*`, to let it take one character more
/// when the rest does not fit.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    t = taken + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}
