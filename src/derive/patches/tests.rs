//! Tests of patches on small programs, run before and after.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};

use super::{may_keep_patches, products_of_fixed_images, products_of_patches};
use crate::{
    derive::fold::tests::{one, run, ty},
    graph::{Convolution, ConvolutionTranspose, Graph, GraphBuilder, Op, ValueId, WithRespectTo},
};

const BATCH: usize = 2;
const CHANNELS: [usize; 2] = [3, 4];
const IMAGE: [usize; 2] = [7, 6];

/// One convolution of an image.
#[derive(Clone)]
struct Case {
    kernel: [usize; 2],
    options: ConvOptions<2>,
}

impl Case {
    fn plain(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        let options = ConvOptions::new(stride, padding, [1, 1], 1);
        Self { kernel, options }
    }

    fn conv(&self) -> Convolution {
        Convolution::D2(self.options.clone())
    }

    fn image(&self) -> Vec<usize> {
        vec![BATCH, CHANNELS[0], IMAGE[0], IMAGE[1]]
    }

    fn weight(&self) -> Vec<usize> {
        let channels = CHANNELS[0] / self.options.groups;
        vec![CHANNELS[1], channels, self.kernel[0], self.kernel[1]]
    }

    fn output(&self) -> Vec<usize> {
        let size = |axis: usize| {
            let (before, after) = self.options.padding[axis];
            let extent = self.options.dilation[axis] * (self.kernel[axis] - 1) + 1;
            (IMAGE[axis] + before + after - extent) / self.options.stride[axis] + 1
        };
        vec![BATCH, CHANNELS[1], size(0), size(1)]
    }

    /// The convolution, and its gradients with respect to weight and bias for a given cotangent.
    fn program(&self) -> Graph {
        let mut b = GraphBuilder::default();
        let (x, w) = (b.input(ty(&self.image())), b.input(ty(&self.weight())));
        let bias = b.input(ty(&CHANNELS[1..]));
        let g = b.input(ty(&self.output()));
        let conv = Op::Conv { conv: self.conv(), bias: true };
        let y = one(&mut b, conv, &[x, w, bias], &self.output());
        let mut gradient = |wrt, inputs: &[ValueId], shape: &[usize]| {
            one(&mut b, Op::ConvBackward(self.conv(), wrt), inputs, shape)
        };
        let weight = gradient(WithRespectTo::Weight, &[x, w, g], &self.weight());
        let bias = gradient(WithRespectTo::Bias, &[x, bias, g], &CHANNELS[1..]);
        b.finish(vec![y, weight, bias])
    }
}

/// Rewrites and returns the names of the operations left, after comparing the results.
fn rewritten(graph: &Graph) -> Vec<String> {
    same_results(graph, &products_of_patches(graph.clone()))
}

/// Compares the results of two forms of a program and returns the names of the second's operations.
fn same_results(graph: &Graph, products: &Graph) -> Vec<String> {
    products.validate().expect("well formed");
    for (before, after) in run(graph).iter().zip(&run(products)) {
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(after) {
            assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0), "{a} {b}");
        }
    }
    products.nodes.iter().map(|node| node.op.name()).collect()
}

fn convolutions(names: &[String]) -> usize {
    names.iter().filter(|name| name.contains("Conv")).count()
}

#[test]
fn convolutions_and_their_gradients_are_products_of_the_same_patches() {
    for (kernel, stride, padding) in [
        ([3, 3], [1, 1], [0, 0]),
        ([2, 3], [2, 1], [0, 1]),
        ([3, 2], [3, 2], [2, 1]),
        ([7, 6], [1, 1], [0, 0]),
        ([1, 1], [1, 1], [0, 0]),
        ([1, 1], [2, 2], [0, 0]),
        ([1, 1], [1, 1], [1, 1]),
    ] {
        let names = rewritten(&Case::plain(kernel, stride, padding).program());
        assert_eq!(convolutions(&names), 0, "{names:?}");
        let patches = names.iter().filter(|name| name.contains("Unfold")).count();
        assert!(patches <= 1, "{names:?}");
    }
}

#[test]
fn kernels_larger_than_their_positions_stay() {
    let names = rewritten(&Case::plain([5, 5], [1, 1], [0, 0]).program());
    assert_eq!(convolutions(&names), 2, "{names:?}");
}

#[test]
fn dilated_grouped_and_unevenly_padded_convolutions_stay() {
    let dilated = ConvOptions::new([1, 1], [0, 0], [2, 1], 1);
    let uneven = ConvOptions::new_with_padding([1, 1], [(1, 0), (0, 0)], [1, 1], 1);
    for options in [dilated, uneven] {
        let kernel = [2, 2];
        let names = rewritten(&Case { kernel, options }.program());
        assert_eq!(convolutions(&names), 2, "{names:?}");
    }
}

#[test]
fn a_convolution_without_a_weight_gradient_stays() {
    let case = Case::plain([3, 3], [1, 1], [0, 0]);
    let mut graph = case.program();
    graph.outputs.truncate(1);
    assert_eq!(convolutions(&rewritten(&graph.without_dead_code())), 1);
}

/// Only the kernel may vary: the patches are of no use for another image.
#[test]
fn a_convolution_of_a_fixed_image_by_a_varying_kernel_is_a_product() {
    let mut graph = Case::plain([3, 2], [2, 1], [0, 1]).program();
    graph.outputs.truncate(1);
    let graph = graph.without_dead_code();
    for (varying, left) in
        [(vec![1], 0), (vec![1, 2], 0), (vec![0], 1), (vec![0, 1], 1), (vec![2], 1)]
    {
        let products = products_of_fixed_images(graph.clone(), &varying);
        let names = same_results(&graph, &products);
        assert_eq!(convolutions(&names), left, "{varying:?}: {names:?}");
    }
}

#[test]
fn many_channels_at_few_positions_stay() {
    let mut b = GraphBuilder::default();
    let (x, w) = (b.input(ty(&[2, 3, 3, 3])), b.input(ty(&[9, 3, 3, 3])));
    let g = b.input(ty(&[2, 9, 1, 1]));
    let conv = Convolution::D2(ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
    let op = Op::ConvBackward(conv, WithRespectTo::Weight);
    let gradient = one(&mut b, op, &[x, w, g], &[9, 3, 3, 3]);
    assert_eq!(convolutions(&rewritten(&b.finish(vec![gradient]))), 1);
}

/// With output padding that adds positions and such that does not.
#[test]
fn weight_gradients_of_transposed_convolutions_are_products_of_patches() {
    for (stride, padding, extra) in
        [([1, 1], [0, 0], [0, 0]), ([2, 3], [1, 0], [1, 2]), ([2, 1], [0, 1], [0, 0])]
    {
        let options = ConvTransposeOptions::new(stride, padding, extra, [1, 1], 1);
        let size = |axis: usize, kernel: usize| {
            (IMAGE[axis] - 1) * stride[axis] + kernel + extra[axis] - 2 * padding[axis]
        };
        let mut b = GraphBuilder::default();
        let x = b.input(ty(&[BATCH, 3, IMAGE[0], IMAGE[1]]));
        let w = b.input(ty(&[3, 4, 3, 2]));
        let g = b.input(ty(&[BATCH, 4, size(0, 3), size(1, 2)]));
        let conv = ConvolutionTranspose::D2(options);
        let op = Op::ConvTransposeBackward(conv, WithRespectTo::Weight);
        let gradient = one(&mut b, op, &[x, w, g], &[3, 4, 3, 2]);
        let names = rewritten(&b.finish(vec![gradient]));
        assert_eq!(convolutions(&names), 0, "{names:?}");
    }
}

#[test]
fn patches_are_kept_while_they_are_few() {
    let patches = |batch: usize| {
        let mut b = GraphBuilder::default();
        let x = b.input(ty(&[batch, 64, 34, 34]));
        let op = Op::Unfold4d { kernel: [3, 3], stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
        let columns = one(&mut b, op, &[x], &[batch, 576, 1024]);
        b.finish(vec![columns])
    };
    assert!(may_keep_patches(&patches(100)));
    assert!(!may_keep_patches(&patches(128)));
}
