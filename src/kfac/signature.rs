//! Names and shapes of factors, to compare those of a state with those of a model.

use super::network::Network;
use crate::space::ParamLayout;

/// Groups and size of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FactorShape {
    pub groups: usize,
    pub size: usize,
    pub diagonal: bool,
}

impl FactorShape {
    /// `None` if the number of entries contradicts the sizes.
    pub fn checked(groups: usize, size: usize, diagonal: bool, entries: usize) -> Option<Self> {
        let per_group = if diagonal { size } else { size.checked_mul(size)? };
        let fits = entries > 0 && groups.checked_mul(per_group)? == entries;
        fits.then_some(Self { groups, size, diagonal })
    }
}

/// Which factors there are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    /// Names of the weights, with A and G.
    pub layers: Vec<(&'a str, FactorShape, FactorShape)>,
    /// Uncovered parameters, by position.
    pub uncovered: Vec<(usize, FactorShape)>,
}

impl Signature<'_> {
    /// Whether a network has these factors.
    pub fn fits(&self, network: &Network, layout: &ParamLayout) -> bool {
        let layers = network.layers.iter();
        let layers =
            layers.map(|layer| (layer.weight(), layer.input_shape(), layer.output_shape()));
        let uncovered = network.uncovered.iter().map(|uncovered| {
            let block = layout.blocks().get(uncovered.position);
            (uncovered.position, block.map_or(0, |block| block.len()))
        });
        let own = self.uncovered.iter();
        self.layers.iter().copied().eq(layers)
            && own.clone().all(|(_, shape)| shape.groups == 1)
            && own.map(|(position, shape)| (*position, shape.size)).eq(uncovered)
    }
}
