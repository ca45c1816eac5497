//! Convolutions of images as matrix products with the images' patches.
//!
//! Burn writes a weight gradient as a convolution with kernels of the size of an image, which some backends execute
//! poorly. With the patches `U(x)` of the image, one column per position, it is a product, and so is the convolution:
//!
//! ```text
//! conv(x, W) = W · U(x)      ∂⟨conv(x, W), g⟩/∂W = Σ g · U(x)ᵀ      (sum over the batch)
//! ```
//!
//! Patches take kernel-size times the memory of the image. A weight gradient needs them for a moment; a convolution
//! uses them where a weight gradient of the same image does and all such patches together are not too many.

mod matching;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use burn_backend::{Shape, ops::PadMode};

use crate::graph::{
    Binary, Convolution, Graph, Node, Op, Reduction, ValueId, ValueType, WithRespectTo,
};
use matching::{Patches, WeightGradient};

/// Largest total number of elements of patches shared by several operations: a quarter of a gigabyte in f32.
const MOST_SHARED: usize = 1 << 26;

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
    rewritten(graph, &wanted)
}

/// The program with convolutions of fixed images by kernels that depend on the inputs at the given positions as
/// products: the patches are made once.
#[must_use]
pub(crate) fn products_of_fixed_images(graph: Graph, varying: &[usize]) -> Graph {
    let inputs = varying.iter().filter_map(|&index| graph.inputs.get(index));
    let varies = graph.dependents(&inputs.copied().collect::<Vec<_>>());
    let fixed = graph.nodes.iter().filter_map(|node| {
        let patches = convolution(&graph, node)?;
        let kernel = node.inputs.get(1)?;
        (varies.contains(kernel) && !varies.contains(&patches.image)).then_some(patches)
    });
    let wanted: Vec<Patches> = fixed.collect();
    rewritten(graph, &wanted)
}

fn rewritten(graph: Graph, wanted: &[Patches]) -> Graph {
    let shared = shareable(&graph, wanted);
    let mut rewriter = Rewriter { graph, patches: HashMap::new() };
    for node in std::mem::take(&mut rewriter.graph.nodes) {
        rewriter.visit(node, &shared);
    }
    rewriter.graph
}

/// The patches that a convolution sees.
fn convolution(graph: &Graph, node: &Node) -> Option<Patches> {
    let Op::Conv { conv: Convolution::D2(options), .. } = &node.op else {
        return None;
    };
    let (&image, &weight) = (node.inputs.first()?, node.inputs.get(1)?);
    Patches::of(graph, image, weight, options)
}

/// Whether a program's patches are few enough to be kept between runs.
pub(crate) fn may_keep_patches(graph: &Graph) -> bool {
    held(graph) <= MOST_SHARED
}

/// Elements of all patches that a program makes.
fn held(graph: &Graph) -> usize {
    let patches = graph.nodes.iter().filter(|node| is_patches(node));
    let numbers = patches.map(|node| graph.value(node.outputs[0]).shape.num_elements());
    numbers.sum()
}

/// Whether an operation writes patches.
pub(crate) fn is_patches(node: &Node) -> bool {
    matches!(node.op, Op::Unfold4d { .. })
}

/// Those of the patches, in order, that may be kept for several uses, in addition to those already in the program.
fn shareable(graph: &Graph, wanted: &[Patches]) -> HashSet<Patches> {
    let mut shared = HashSet::new();
    let mut total = held(graph).min(MOST_SHARED);
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
            if self.weight_gradient(&gradient, node.outputs[0], shared).is_some() {
                return;
            }
        } else if let Some(patches) = convolution(&self.graph, &node).filter(|p| shared.contains(p))
        {
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

    /// `W · U(x)`, plus the bias.
    fn product(&mut self, node: &Node, patches: Patches) -> Option<()> {
        let [batch, length, positions] = patches.sizes(&self.graph)?;
        let (weight, output) = (*node.inputs.get(1)?, *node.outputs.first()?);
        let channels = *self.graph.value(weight).shape.first()?;
        let columns = self.columns(patches, true)?;
        let rows = self.emit(Op::Reshape, vec![weight], &[1, channels, length]);
        let product = self.emit(Op::Matmul, vec![rows, columns], &[batch, channels, positions]);
        match node.inputs.get(2) {
            None => self.graph.append_to(Op::Reshape, vec![product], output),
            Some(&bias) => {
                let shape = self.graph.value(output).shape.to_vec();
                let image = self.emit(Op::Reshape, vec![product], &shape);
                let bias = self.emit(Op::Reshape, vec![bias], &[1, channels, 1, 1]);
                self.graph.append_to(Op::Binary(Binary::Add), vec![image, bias], output);
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
        let rows = self.emit(Op::SwapDims(1, 2), vec![columns], &[batch, positions, length]);
        let left = self.emit(Op::Reshape, vec![cotangent], &[batch, channels, positions]);
        let each = self.emit(Op::Matmul, vec![left, rows], &[batch, channels, length]);
        let sum = self.emit(Op::ReduceDim(Reduction::Sum, 0), vec![each], &[1, channels, length]);
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

    /// `U(x)` as `[images, elements per patch, positions]`.
    fn columns(&mut self, patches: Patches, keep: bool) -> Option<ValueId> {
        if let Some(&columns) = self.patches.get(&patches) {
            return Some(columns);
        }
        let shape = patches.sizes(&self.graph)?;
        let Patches { image, kernel, stride, padding } = patches;
        let image = self.padded(image, padding);
        let op = if patches.are_the_image() {
            Op::Reshape
        } else {
            Op::Unfold4d { kernel, stride, padding: [0, 0], dilation: [1, 1] }
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
        let padding = vec![(0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)];
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
