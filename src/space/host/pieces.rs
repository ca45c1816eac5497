//! The blocks of a layout in one tensor of all elements.

use burn_backend::{Backend, DType, tensor::FloatTensor};

use super::{
    super::ParamLayout,
    access::{self, Contiguous},
};

/// The elements of each block. `None` if these are not all elements of the layout.
pub(super) fn pieces<'a, N>(
    elements: &'a [N],
    layout: &'a ParamLayout,
) -> Option<impl Iterator<Item = &'a [N]>> {
    let all = elements.len() == layout.len();
    all.then(|| layout.blocks().iter().map(|block| &elements[block.range()]))
}

/// The same, to be changed.
pub(super) fn pieces_mut<'a, N>(
    elements: &'a mut [N],
    layout: &'a ParamLayout,
) -> Option<impl Iterator<Item = &'a mut [N]>> {
    let all = elements.len() == layout.len();
    let mut rest = elements;
    all.then(|| {
        layout.blocks().iter().map(move |block| {
            let (piece, others) = std::mem::take(&mut rest).split_at_mut(block.len());
            rest = others;
            piece
        })
    })
}

/// The blocks as views of a tensor of all elements.
pub(in crate::space) fn cut<B: Backend>(
    layout: &ParamLayout,
    flat: &FloatTensor<B>,
) -> Option<Vec<FloatTensor<B>>> {
    let blocks = layout.blocks().iter();
    access::views::<B>(flat, blocks.map(|block| (block.range(), block.shape())))
}

/// One tensor of all elements.
pub(in crate::space) fn joined<B: Backend>(
    layout: &ParamLayout,
    blocks: &[FloatTensor<B>],
) -> Option<FloatTensor<B>> {
    match blocks.first().and_then(access::dtype::<B>)? {
        DType::F32 => joined_of::<B, f32>(layout, blocks),
        DType::F64 => joined_of::<B, f64>(layout, blocks),
        _ => None,
    }
}

fn joined_of<B: Backend, N: Contiguous>(
    layout: &ParamLayout,
    blocks: &[FloatTensor<B>],
) -> Option<FloatTensor<B>> {
    let mut elements = Vec::with_capacity(layout.len());
    for block in blocks {
        elements.extend_from_slice(access::elements::<B, N>(block)?);
    }
    access::tensor::<B, N>(elements, &[layout.len()])
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use crate::{
        space::{ParamSpace, ParamVector},
        tensor::Precision,
    };

    type B = Autodiff<Flex>;

    /// Sums go block by block, whether a vector is one tensor or one for each block: solutions depend on their bits.
    #[test]
    fn a_flat_vector_has_the_sums_of_its_blocks() {
        let sizes = [21, 1, 34, 3];
        for precision in [Precision::F32, Precision::F64] {
            let shapes = sizes.map(|size| (format!("{size}"), vec![size]));
            let space = ParamSpace::<B>::from_shapes(shapes).unwrap().cast(precision).unwrap();
            let (x, y) = (space.normal(1), space.normal(2));
            let of_block = |x: &ParamVector<B>, place: usize| {
                let own = ParamSpace::<B>::flat(sizes[place]).unwrap().cast(precision).unwrap();
                own.from_blocks(vec![x.blocks()[place].clone()]).unwrap()
            };
            let by_blocks = |x: &ParamVector<B>, y: &ParamVector<B>| {
                let parts = (0..sizes.len()).map(|place| {
                    let parts = [x, y].map(|vector| of_block(vector, place).to_vec().unwrap());
                    dot(&parts[0], &parts[1], precision)
                });
                rounded(parts.sum(), precision)
            };
            assert_eq!(x.dot(&y).unwrap(), by_blocks(&x, &y));
            let alpha = x.dot_device(&y).unwrap();
            let (moved, square) = x.clone().subtracted_square(&alpha, &y).unwrap();
            assert_eq!(square.read().unwrap(), by_blocks(&moved, &moved));
            let (moved, form) = x.clone().axpy_dot(0.3, &y).unwrap();
            assert_eq!(form.read().unwrap(), by_blocks(&moved, &y));
        }
    }

    fn rounded(x: f64, precision: Precision) -> f64 {
        if precision == Precision::F32 { f64::from(x as f32) } else { x }
    }

    /// Sixteen sums of full registers, then what is left over.
    fn dot(x: &[f64], y: &[f64], precision: Precision) -> f64 {
        let full = x.len() / 16 * 16;
        let mut lanes = [0.0; 16];
        for i in 0..full {
            lanes[i % 16] = rounded(lanes[i % 16] + rounded(x[i] * y[i], precision), precision);
        }
        let rest: f64 = (full..x.len()).map(|i| rounded(x[i] * y[i], precision)).sum();
        lanes.iter().sum::<f64>() + rest
    }

    /// Blocks are views, which keep nothing from being changed once they are dropped, and change with nothing.
    #[test]
    fn blocks_of_a_flat_vector_are_its_own() {
        let shapes = [("w", vec![2, 3]), ("b", vec![2])];
        let space = ParamSpace::<B>::from_shapes(shapes).unwrap();
        let x = space.vector(&[1., 2., 3., 4., 5., 6., 7., 8.]).unwrap();
        let blocks = x.blocks().to_vec();
        assert_eq!(blocks[0].layout().shape()[..], [2, 3]);
        let doubled = x.clone().axpy(1.0, &x).unwrap();
        assert_eq!(doubled.to_vec().unwrap(), [2., 4., 6., 8., 10., 12., 14., 16.]);
        let again = space.from_blocks(blocks).unwrap();
        assert_eq!(again.to_vec().unwrap(), x.to_vec().unwrap());
        assert_eq!(again.dot(&doubled).unwrap(), 408.0);
    }
}
