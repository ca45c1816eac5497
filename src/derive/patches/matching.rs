//! Which patches of an image a convolution or a weight gradient reads.

use burn_backend::ops::ConvOptions;

use crate::graph::{Convolution, ConvolutionTranspose, Graph, Node, Op, ValueId, WithRespectTo};

/// Most output channels per position for which a sum of products per image is worth it.
const CHANNELS_PER_POSITION: usize = 4;

/// The patches that a convolution reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Patches {
    pub image: ValueId,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

impl Patches {
    /// The patches of a convolution without groups and dilation, padded evenly.
    pub fn of(
        graph: &Graph,
        image: ValueId,
        weight: ValueId,
        options: &ConvOptions<2>,
    ) -> Option<Self> {
        let plain = options.groups == 1 && options.dilation == [1, 1] && !options.is_asymmetric();
        let &[_, _, height, width] = graph.value(weight).shape.as_slice() else {
            return None;
        };
        plain.then(|| Self {
            image,
            kernel: [height, width],
            stride: options.stride,
            padding: options.padding.map(|(before, _)| before),
        })
    }

    /// Whether they are a view of the image, padded or not.
    pub fn are_the_image(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1]
    }

    /// Number of images, elements per patch and patches per image.
    pub fn sizes(&self, graph: &Graph) -> Option<[usize; 3]> {
        let &[batch, channels, height, width] = graph.value(self.image).shape.as_slice() else {
            return None;
        };
        let count = |size: usize, axis: usize| {
            let free = (size + 2 * self.padding[axis]).checked_sub(self.kernel[axis])?;
            Some(free / self.stride[axis] + 1)
        };
        let positions = count(height, 0)? * count(width, 1)?;
        Some([batch, channels * self.kernel[0] * self.kernel[1], positions])
    }
}

/// `Σ cotangent · patchesᵀ`
pub(super) struct WeightGradient {
    pub patches: Patches,
    pub cotangent: ValueId,
}

impl WeightGradient {
    pub fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let gradient = match (&node.op, &node.inputs[..]) {
            (
                Op::ConvBackward(Convolution::D2(options), WithRespectTo::Weight),
                &[image, weight, cotangent],
            ) => Self { patches: Patches::of(graph, image, weight, options)?, cotangent },
            // A transposed convolution is an input gradient: what it reads is a cotangent, what it writes an image.
            (
                Op::ConvTransposeBackward(ConvolutionTranspose::D2(options), WithRespectTo::Weight),
                &[cotangent, weight, image],
            ) => {
                let options = ConvOptions::new(
                    options.stride,
                    options.padding,
                    options.dilation,
                    options.groups,
                );
                Self { patches: Patches::of(graph, image, weight, &options)?, cotangent }
            }
            _ => return None,
        };
        let [batch, _, positions] = gradient.patches.sizes(graph)?;
        let &[images, channels, height, width] = graph.value(gradient.cotangent).shape.as_slice()
        else {
            return None;
        };
        let fits = images == batch && height * width == positions;
        // With a kernel larger than its positions it is a convolution written as a gradient: its patches are many.
        let [rows, columns] = gradient.patches.kernel;
        let small = rows * columns <= positions || positions == 1;
        (fits && small && channels <= CHANNELS_PER_POSITION * positions).then_some(gradient)
    }
}
