//! The blocks of the curvature: a layer's weight with its bias, or a parameter that belongs to no layer; and the operators
//! assembled from them.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{KfacCoverage, Treatment, layers::LayerGroup, matrix::FactorShape};
use crate::{
    error::Error,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, WeightMatrix},
    space::{InnerFloat, ParamBlock, ParamLayout, ParamSpace, ParamSubset},
};

/// One block: L ⊗ R on the matrix that its parameters form.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its position among all blocks.
    pub index: usize,
    /// Its parameters among all.
    pub subset: ParamSubset,
    /// A single column for a parameter that belongs to no layer: its right factor is 1.
    pub matrix: WeightMatrix,
    /// Whether the left factor of a layer is a diagonal.
    pub diagonal: bool,
    pub treatment: Treatment,
    /// Why it belongs to no layer, if it does not.
    pub uncovered: Option<Uncovered>,
}

/// Why a parameter belongs to no layer.
#[derive(Clone, Debug)]
pub(super) struct Uncovered {
    pub reason: String,
    /// Whether its gradients by single samples are known.
    pub by_sample: bool,
}

impl Block {
    /// The weight and bias of a layer.
    pub fn of_layer(
        (index, group): (usize, &LayerGroup),
        (diagonal, treatment): (bool, Treatment),
        layout: &Arc<ParamLayout>,
    ) -> Result<Self, Error> {
        let (weight, bias) = (group.weight, group.bias);
        let own = [Some(weight), bias].into_iter().flatten();
        let names: Vec<String> = own.map(|position| layout.name_at(position)).collect();
        let subset = layout.select_by(|block| names.iter().any(|name| name == block.name()))?;
        let at = |position: usize| subset.positions().iter().position(|kept| *kept == position);
        let groups = group.kind.groups();
        let matrix = WeightMatrix {
            groups,
            rows: group.d_in(),
            columns: group.width_out() / groups.max(1),
            shape: group.shape.clone(),
            transposed: group.kind.is_stored_by_outputs(),
            weight: at(weight).unwrap_or(0),
            bias: bias.and_then(at),
        };
        Ok(Self { index, subset, matrix, diagonal, treatment, uncovered: None })
    }

    /// A parameter that belongs to no layer.
    pub fn of_parameter(index: usize, subset: ParamSubset, uncovered: Uncovered) -> Self {
        let matrix = column(&subset);
        let treatment = Treatment::ExactBlock { reason: uncovered.reason.clone() };
        Self { index, subset, matrix, diagonal: false, treatment, uncovered: Some(uncovered) }
    }

    /// Name of the weight or the parameter.
    pub fn name(&self) -> &str {
        self.name_of(self.matrix.weight).unwrap_or_default()
    }

    /// Name of the bias.
    pub fn bias(&self) -> Option<&str> {
        self.name_of(self.matrix.bias?)
    }

    fn name_of(&self, position: usize) -> Option<&str> {
        self.subset.layout().blocks().get(position).map(ParamBlock::name)
    }

    /// Position of the weight or the parameter in the whole layout.
    pub fn position(&self) -> usize {
        self.subset.positions().get(self.matrix.weight).copied().unwrap_or(0)
    }

    /// Position of the bias in the whole layout.
    pub fn bias_position(&self) -> Option<usize> {
        self.subset.positions().get(self.matrix.bias?).copied()
    }

    pub fn elements(&self) -> usize {
        self.subset.layout().len()
    }

    /// Whether it belongs to no layer, and its gradients by single samples are known.
    pub fn is_by_sample(&self) -> bool {
        self.uncovered.as_ref().is_some_and(|uncovered| uncovered.by_sample)
    }

    /// Of the right factor.
    pub fn output_shape(&self) -> FactorShape {
        FactorShape::dense(self.matrix.groups, self.matrix.columns)
    }

    /// `[groups, rows, columns]`
    pub fn shape(&self) -> [usize; 3] {
        [self.matrix.groups, self.matrix.rows, self.matrix.columns]
    }

    /// Whether factors of these shapes are those of this block.
    pub fn fits(&self, left: FactorShape, right: FactorShape) -> bool {
        let diagonal = self.uncovered.is_some() || self.diagonal == left.diagonal;
        let shape = [left.groups, left.size, right.size];
        diagonal && left.groups == right.groups && shape == self.shape()
    }
}

fn column(subset: &ParamSubset) -> WeightMatrix {
    WeightMatrix::column(subset.layout().blocks().first().map_or(&[][..], ParamBlock::shape))
}

/// The blocks of a network: the layers in order of execution, then uncovered parameters in the order of the layout.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub blocks: Vec<Arc<Block>>,
    /// Number of layers.
    pub layers: usize,
    pub unused: Vec<ParamSubset>,
    pub coverage: KfacCoverage,
}

/// What one block of an operator multiplies by.
pub(super) enum BlockProduct<B: AutodiffBackend> {
    /// V ↦ A V G
    Sides(KroneckerSide<B>, KroneckerSide<B>),
    /// V ↦ U (S ∘ (Uᵀ V W)) Wᵀ
    Spectral(KroneckerSide<B>, KroneckerSide<B>, InnerFloat<B>),
}

impl Network {
    pub fn layers(&self) -> &[Arc<Block>] {
        &self.blocks[..self.layers]
    }

    pub fn uncovered(&self) -> &[Arc<Block>] {
        &self.blocks[self.layers..]
    }

    /// The same network with the coverage that a state reports.
    pub fn with_coverage(mut self, coverage: &KfacCoverage) -> Self {
        for block in &mut self.blocks[..self.layers] {
            if let Some(treatment) = coverage.of(block.name()).cloned() {
                Arc::make_mut(block).treatment = treatment;
            }
        }
        self.coverage = coverage.clone();
        self
    }

    /// The operator with a product for each block; parameters without one are multiplied by `rest`.
    pub fn operator<B: AutodiffBackend>(
        &self,
        space: &ParamSpace<B>,
        products: impl IntoIterator<Item = BlockProduct<B>>,
        rest: f64,
    ) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let blocks = self.blocks.iter().map(|block| (&block.subset, block.matrix.clone()));
        let unused = self.unused.iter().map(|subset| (subset, column(subset)));
        let nothing =
            || BlockProduct::Sides(KroneckerSide::Multiple(rest), KroneckerSide::IDENTITY);
        let products = products.into_iter().chain(std::iter::repeat_with(nothing));
        let parts = blocks.chain(unused).zip(products).map(|((subset, matrix), product)| {
            let space = space.restricted(subset)?;
            let operator = match product {
                BlockProduct::Sides(left, right) => Kronecker::of_sides(space, matrix, left, right),
                BlockProduct::Spectral(left, right, eigenvalues) => {
                    Kronecker::spectral(space, matrix, (left, right), eigenvalues)
                }
            };
            Ok((subset.clone(), operator))
        });
        BlockDiagonal::new(space, parts.collect::<Result<Vec<_>, Error>>()?)
    }
}
