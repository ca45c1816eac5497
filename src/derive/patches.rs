//! Convolutions of images as matrix products with the images' patches. Knows which are the same, and the sizes that
//! make products the better form; knows no backend.
//!
//! Burn writes a weight gradient as a convolution with kernels of the size of an image, whatever the backend makes of
//! that. With the patches `U(x)` of the image, one column per position, it is a product, and so is the convolution:
//!
//! ```text
//! conv(x, W) = W · U(x)      ∂⟨conv(x, W), g⟩/∂W = Σ g · U(x)ᵀ      (sum over the batch)
//! ```
//!
//! Patches take kernel-size times the memory of the image. A weight gradient needs them for a moment; a convolution
//! uses them where a weight gradient of the same image does and all such patches together are not too many.

use std::collections::{HashMap, HashSet};

use burn_backend::{
    Shape,
    ops::{ConvOptions, PadMode},
};

use crate::graph::{
    Binary, Convolution, ConvolutionTranspose, Graph, Node, Op, Reduction, ValueId, ValueType,
    WithRespectTo,
};

#[cfg(test)]
mod tests;

/// Most numbers that patches shared by several operations may have together: a quarter of a gigabyte in f32.
const MOST_SHARED: usize = 1 << 26;
/// Most output channels per position for which a sum of products per image is worth it.
const CHANNELS_PER_POSITION: usize = 4;

/// The program with the gradients of convolutions, and the convolutions that share patches with them, as products and
/// sums.
#[must_use]
pub(crate) fn products_of_patches(graph: Graph) -> Graph {
    let wanted: Vec<Patches> = graph
        .nodes
        .iter()
        .filter_map(|node| WeightGradient::of(&graph, node))
        .map(|gradient| gradient.patches)
        .collect();
    let shared = shareable(&graph, &wanted);
    let mut rewriter = Rewriter {
        graph,
        patches: HashMap::new(),
    };
    for node in std::mem::take(&mut rewriter.graph.nodes) {
        rewriter.visit(node, &shared);
    }
    rewriter.graph
}

/// Whether a program's patches are few enough to be kept between runs.
pub(crate) fn may_keep_patches(graph: &Graph) -> bool {
    let patches = graph.nodes.iter().filter(|node| is_patches(node));
    let numbers = patches.map(|node| graph.value(node.outputs[0]).shape.num_elements());
    numbers.sum::<usize>() <= MOST_SHARED
}

/// Whether an operation writes patches.
pub(crate) fn is_patches(node: &Node) -> bool {
    matches!(node.op, Op::Unfold4d { .. })
}

/// Which patches a convolution sees.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Patches {
    image: ValueId,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Patches {
    /// The patches of a convolution without groups and dilation, padded evenly.
    fn of(
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
    fn are_the_image(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1]
    }

    /// Images, numbers per patch and patches per image.
    fn sizes(&self, graph: &Graph) -> Option<[usize; 3]> {
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
struct WeightGradient {
    patches: Patches,
    cotangent: ValueId,
}

impl WeightGradient {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let gradient = match (&node.op, &node.inputs[..]) {
            (
                Op::ConvBackward(Convolution::D2(options), WithRespectTo::Weight),
                &[image, weight, cotangent],
            ) => Self {
                patches: Patches::of(graph, image, weight, options)?,
                cotangent,
            },
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
                Self {
                    patches: Patches::of(graph, image, weight, &options)?,
                    cotangent,
                }
            }
            _ => return None,
        };
        let [batch, _, positions] = gradient.patches.sizes(graph)?;
        let &[images, channels, height, width] = graph.value(gradient.cotangent).shape.as_slice()
        else {
            return None;
        };
        let fits = images == batch && height * width == positions;
        (fits && channels <= CHANNELS_PER_POSITION * positions).then_some(gradient)
    }
}

/// Those of the patches, in order, that may be kept for several uses.
fn shareable(graph: &Graph, wanted: &[Patches]) -> HashSet<Patches> {
    let mut shared = HashSet::new();
    let mut total = 0;
    for patches in wanted {
        let numbers = match patches.sizes(graph) {
            _ if patches.are_the_image() => 0,
            Some(sizes) => sizes.iter().product(),
            None => usize::MAX,
        };
        if !shared.contains(patches) && numbers <= MOST_SHARED - total {
            total += numbers;
            shared.insert(*patches);
        }
    }
    shared
}

/// A program half rewritten.
struct Rewriter {
    /// The program; its nodes are those already rewritten.
    graph: Graph,
    /// Patches that are kept for other uses.
    patches: HashMap<Patches, ValueId>,
}

impl Rewriter {
    fn visit(&mut self, node: Node, shared: &HashSet<Patches>) {
        if let Some(gradient) = WeightGradient::of(&self.graph, &node) {
            if self
                .weight_gradient(&gradient, node.outputs[0], shared)
                .is_some()
            {
                return;
            }
        } else if let Some(patches) = self.convolution(&node).filter(|p| shared.contains(p)) {
            if self.product(&node, patches).is_some() {
                return;
            }
        } else if let (
            Op::ConvBackward(_, WithRespectTo::Bias)
            | Op::ConvTransposeBackward(_, WithRespectTo::Bias),
            &[_, _, cotangent],
        ) = (&node.op, &node.inputs[..])
        {
            return self.bias_gradient(cotangent, node.outputs[0]);
        }
        self.graph.nodes.push(node);
    }

    /// The patches that a convolution sees.
    fn convolution(&self, node: &Node) -> Option<Patches> {
        let Op::Conv {
            conv: Convolution::D2(options),
            ..
        } = &node.op
        else {
            return None;
        };
        Patches::of(
            &self.graph,
            *node.inputs.first()?,
            *node.inputs.get(1)?,
            options,
        )
    }

    /// `W · U(x)`, plus the bias.
    fn product(&mut self, node: &Node, patches: Patches) -> Option<()> {
        let [batch, length, positions] = patches.sizes(&self.graph)?;
        let (weight, output) = (*node.inputs.get(1)?, *node.outputs.first()?);
        let channels = *self.graph.value(weight).shape.first()?;
        let columns = self.columns(patches, true)?;
        let rows = self.emit(Op::Reshape, vec![weight], &[1, channels, length]);
        let product = self.emit(
            Op::Matmul,
            vec![rows, columns],
            &[batch, channels, positions],
        );
        match node.inputs.get(2) {
            None => self.graph.append_to(Op::Reshape, vec![product], output),
            Some(&bias) => {
                let shape = self.graph.value(output).shape.to_vec();
                let image = self.emit(Op::Reshape, vec![product], &shape);
                let bias = self.emit(Op::Reshape, vec![bias], &[1, channels, 1, 1]);
                self.graph
                    .append_to(Op::Binary(Binary::Add), vec![image, bias], output);
            }
        }
        Some(())
    }

    /// `Σ g · U(x)ᵀ`
    fn weight_gradient(
        &mut self,
        gradient: &WeightGradient,
        output: ValueId,
        shared: &HashSet<Patches>,
    ) -> Option<()> {
        let [batch, length, positions] = gradient.patches.sizes(&self.graph)?;
        let cotangent = gradient.cotangent;
        let channels = *self.graph.value(cotangent).shape.get(1)?;
        let columns = self.columns(gradient.patches, shared.contains(&gradient.patches))?;
        let rows = self.emit(
            Op::SwapDims(1, 2),
            vec![columns],
            &[batch, positions, length],
        );
        let left = self.emit(Op::Reshape, vec![cotangent], &[batch, channels, positions]);
        let each = self.emit(Op::Matmul, vec![left, rows], &[batch, channels, length]);
        let sum = self.emit(
            Op::ReduceDim(Reduction::Sum, 0),
            vec![each],
            &[1, channels, length],
        );
        self.graph.append_to(Op::Reshape, vec![sum], output);
        Some(())
    }

    /// The sum over all images and positions, images first: that leaves least for the second sum.
    fn bias_gradient(&mut self, cotangent: ValueId, output: ValueId) {
        let shape = self.graph.value(cotangent).shape.clone();
        let (channels, positions) = (shape[1], shape[2..].iter().product());
        let mut summed = shape.to_vec();
        summed[0] = 1;
        let sum = self.emit(Op::ReduceDim(Reduction::Sum, 0), vec![cotangent], &summed);
        let rows = self.emit(Op::Reshape, vec![sum], &[channels, positions]);
        let sum = self.emit(Op::ReduceDim(Reduction::Sum, 1), vec![rows], &[channels, 1]);
        self.graph.append_to(Op::Reshape, vec![sum], output);
    }

    /// `U(x)` as `[images, numbers per patch, positions]`.
    fn columns(&mut self, patches: Patches, keep: bool) -> Option<ValueId> {
        if let Some(&columns) = self.patches.get(&patches) {
            return Some(columns);
        }
        let shape = patches.sizes(&self.graph)?;
        let Patches {
            image,
            kernel,
            stride,
            padding,
        } = patches;
        let image = self.padded(image, padding);
        let op = if patches.are_the_image() {
            Op::Reshape
        } else {
            Op::Unfold4d {
                kernel,
                stride,
                padding: [0, 0],
                dilation: [1, 1],
            }
        };
        let columns = self.emit(op, vec![image], &shape);
        if keep {
            self.patches.insert(patches, columns);
        }
        Some(columns)
    }

    /// The image with a border of zeros: Burn's patches of a padded image are a convolution on most backends.
    fn padded(&mut self, image: ValueId, [vertical, horizontal]: [usize; 2]) -> ValueId {
        if [vertical, horizontal] == [0, 0] {
            return image;
        }
        let mut shape = self.graph.value(image).shape.to_vec();
        shape[2] += 2 * vertical;
        shape[3] += 2 * horizontal;
        let padding = vec![
            (0, 0),
            (0, 0),
            (vertical, vertical),
            (horizontal, horizontal),
        ];
        let mode = PadMode::Constant(0.0);
        self.emit(Op::Pad { padding, mode }, vec![image], &shape)
    }

    /// An operation with a result of the given shape and its first operand's element type.
    fn emit(&mut self, op: Op, inputs: Vec<ValueId>, shape: &[usize]) -> ValueId {
        let ty = ValueType {
            shape: Shape::from(shape.to_vec()),
            dtype: self.graph.value(inputs[0]).dtype,
        };
        self.graph.append(op, inputs, ty)
    }
}
