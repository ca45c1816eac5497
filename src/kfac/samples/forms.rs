//! The blocks of an operator, as the programs of scores take them.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, Backend, tensor::FloatTensor};

use super::SampleGradients;
use crate::{
    kfac::{
        KfacError,
        block::Block,
        program::{Form, SideForm},
    },
    operator::{BlockDiagonal, Kronecker, KroneckerSide},
    space::InnerFloat,
};

/// A block of an operator.
pub(super) struct BlockForm<'a, B: AutodiffBackend> {
    pub form: Form,
    pub product: &'a Kronecker<B>,
    /// Without identities.
    pub sides: Vec<InnerFloat<B>>,
    pub eigenvalues: Option<InnerFloat<B>>,
}

impl<B: AutodiffBackend> BlockForm<'_, B> {
    /// Groups, rows and columns.
    pub fn shape(&self) -> [usize; 3] {
        let matrix = self.product.factors().0;
        [matrix.groups, matrix.rows, matrix.columns]
    }
}

/// What a factor is; its tensor goes to the operands.
fn form_of<B: Backend>(side: &KroneckerSide<B>, operands: &mut Vec<FloatTensor<B>>) -> SideForm {
    let (form, operand) = match side {
        KroneckerSide::Matrix(matrix) => (SideForm::Matrix, Some(matrix)),
        KroneckerSide::Diagonal(diagonal) => (SideForm::Diagonal, Some(diagonal)),
        KroneckerSide::Identity => (SideForm::Identity, None),
    };
    operands.extend(operand.cloned());
    form
}

impl SampleGradients {
    /// The blocks of an operator, in the order of its own.
    pub(super) fn forms<'a, B: AutodiffBackend>(
        &self,
        operator: &'a BlockDiagonal<B, Kronecker<B>>,
    ) -> Result<Vec<BlockForm<'a, B>>, KfacError> {
        let form = |block: &Arc<Block>| {
            let mut parts = operator.parts().iter();
            let own = parts.find(|(part, product)| {
                let is_own = part.positions() == block.subset.positions();
                is_own && *product.factors().0 == block.matrix
            });
            let Some((_, product)) = own else {
                return Err(KfacError::OtherBlocks { parameter: block.name.clone() });
            };
            let (_, both, eigenvalues) = product.factors();
            let (mut sides, spectral) = (Vec::new(), eigenvalues.is_some());
            let [left, right] = both.map(|side| form_of(side, &mut sides));
            let (form, eigenvalues) = (Form { left, right, spectral }, eigenvalues.cloned());
            Ok(BlockForm { form, product, sides, eigenvalues })
        };
        self.network.blocks.iter().map(form).collect()
    }
}
