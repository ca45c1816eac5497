//! The blocks of the curvature: a layer's weight with its bias, or a parameter that belongs to no layer; and the operators
//! assembled from them.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{KfacCoverage, Treatment, layers::LayerGroup, matrix::FactorShape};
use crate::{
    error::Error,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, KroneckerSides, WeightMatrix, upload},
    space::{ParamBlock, ParamLayout, ParamSpace, ParamSubset},
};

/// One block: L ⊗ R on the matrix that its parameters form.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Its position among all blocks.
    pub index: usize,
    /// Name of the weight or the parameter.
    pub name: String,
    /// Position of the weight or the parameter in the whole layout.
    pub position: usize,
    /// Name and position of the bias.
    pub bias: Option<(String, usize)>,
    /// Its parameters among all.
    pub subset: ParamSubset,
    /// A single column for a parameter that belongs to no layer: its right factor is 1.
    pub matrix: WeightMatrix,
    /// Whether the left factor of a layer is a diagonal.
    pub diagonal: bool,
    /// Whether it is an embedding that is used at several places of a sample.
    pub is_bag: bool,
    pub treatment: Treatment,
    /// Why it belongs to no layer; `None` for a layer.
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
        let (name, position) = (layout.name_at(group.weight), group.weight);
        let bias = group.bias.map(|position| (layout.name_at(position), position));
        let is_bias = |own: &str| bias.as_ref().is_some_and(|(bias, _)| bias == own);
        let subset = layout.select_by(|block| block.name() == name || is_bias(block.name()))?;
        let at = |position: usize| subset.positions().iter().position(|kept| *kept == position);
        let matrix = WeightMatrix {
            groups: group.kind.groups(),
            rows: group.d_in(),
            columns: group.d_out(),
            shape: group.shape.clone(),
            transposed: group.kind.is_stored_by_outputs(),
            weight: at(position).unwrap_or(0),
            bias: group.bias.and_then(at),
        };
        Ok(Self {
            index,
            name,
            position,
            bias,
            subset,
            matrix,
            diagonal,
            is_bag: group.is_bag,
            treatment,
            uncovered: None,
        })
    }

    /// A parameter that belongs to no layer.
    pub fn of_parameter(index: usize, subset: ParamSubset, uncovered: Uncovered) -> Self {
        let (name, position) = (subset.layout().name_at(0), subset.positions()[0]);
        let (matrix, bias, diagonal, is_bag) = (column(&subset), None, false, false);
        let treatment = Treatment::ExactBlock { reason: uncovered.reason.clone() };
        let uncovered = Some(uncovered);
        Self { index, name, position, bias, subset, matrix, diagonal, is_bag, treatment, uncovered }
    }

    pub fn elements(&self) -> usize {
        self.subset.layout().len()
    }

    /// Shape of the right factor.
    pub fn output_shape(&self) -> FactorShape {
        FactorShape::dense(self.matrix.groups, self.matrix.columns)
    }

    /// `[groups, rows, columns]`
    pub fn shape(&self) -> [usize; 3] {
        [self.matrix.groups, self.matrix.rows, self.matrix.columns]
    }

    /// Whether factors of these shapes belong to this block.
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
            if let Some(treatment) = coverage.of(&block.name).cloned() {
                Arc::make_mut(block).treatment = treatment;
            }
        }
        self.coverage = coverage.clone();
        self
    }

    /// The operator with the given sides for each block; parameters without a block are multiplied by `rest`.
    pub fn operator<B: AutodiffBackend>(
        &self,
        space: &ParamSpace<B>,
        sides: impl IntoIterator<Item = KroneckerSides<B>>,
        rest: f64,
    ) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let part = |subset: &ParamSubset, matrix: WeightMatrix, sides: KroneckerSides<B>| {
            let own = space.restricted(subset)?;
            Ok::<_, Error>((subset.clone(), Kronecker::of_sides(own, matrix, sides)))
        };
        let blocks = self.blocks.iter().zip(sides);
        let blocks = blocks.map(|(block, sides)| part(&block.subset, block.matrix.clone(), sides));
        let unused = self.unused.iter().map(|subset| {
            let matrix = column(subset);
            let rest = upload(&vec![rest; matrix.rows], [matrix.rows], space);
            let sides = [KroneckerSide::Diagonal(rest), KroneckerSide::Identity];
            part(subset, matrix, (sides, None))
        });
        BlockDiagonal::new(space, blocks.chain(unused).collect::<Result<Vec<_>, Error>>()?)
    }
}
