//! Axes against what numbers say: by hand, for the operations that move, merge, split, broadcast and mix samples.

#![allow(clippy::unwrap_used)]

use burn_backend::{DType, Shape};

use super::{BatchAxes, SampleAxes, SampleAxis};
use crate::graph::{Binary, Graph, GraphBuilder, Op, Reduction, Softmax, ValueId, ValueType};

/// A program under construction, in floats.
#[derive(Default)]
struct Program(GraphBuilder);

impl Program {
    fn ty(shape: &[usize]) -> ValueType {
        ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F32 }
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        self.0.input(Self::ty(shape))
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], shape: &[usize]) -> ValueId {
        self.0.node(op, inputs.to_vec(), vec![Self::ty(shape)])[0]
    }

    fn finish(self, output: ValueId) -> Graph {
        self.0.finish(vec![output])
    }
}

fn samples(stride: usize) -> Option<SampleAxis> {
    Some(SampleAxis::Samples { stride })
}

fn is_mixed(axis: Option<SampleAxis>) -> bool {
    matches!(axis, Some(SampleAxis::Mixed { .. }))
}

/// Merged to rows and split again, by hand or by Burn: the stride stays.
#[test]
fn a_merge_and_a_split_keep_the_samples() {
    let (b, s, d) = (4, 5, 3);
    let mut p = Program::default();
    let (x, w) = (p.input(&[b, s, d]), p.input(&[d, 7]));
    let rows = p.node(Op::Reshape, &[x], &[b * s, d]);
    let product = p.node(Op::Matmul, &[rows, w], &[b * s, 7]);
    let split = p.node(Op::Reshape, &[product], &[b, s, 7]);
    let pooled = p.node(Op::ReduceDim(Reduction::Mean, 1), &[split], &[b, 1, 7]);
    let graph = p.finish(pooled);
    let back = SampleAxes::backward(&graph, b, pooled, 7);
    for (value, stride) in [(split, s * 7), (product, s * 7), (rows, s * d), (x, s * d)] {
        assert_eq!(back.of(value), samples(stride));
    }
    assert_eq!(back.of(w), Some(SampleAxis::Shared));
    assert_eq!(back.samples(), b);
}

/// Time first: samples are the second dimension, and the inner part of merged rows.
#[test]
fn samples_behind_time_are_found() {
    let (t, n, d) = (6, 4, 3);
    let mut p = Program::default();
    let (x, w) = (p.input(&[t, n, d]), p.input(&[d, 2]));
    let rows = p.node(Op::Reshape, &[x], &[t * n, d]);
    let product = p.node(Op::Matmul, &[rows, w], &[t * n, 2]);
    let split = p.node(Op::Reshape, &[product], &[t, n, 2]);
    let turned = p.node(Op::Permute(vec![1, 2, 0]), &[split], &[n, 2, t]);
    let last = p.node(Op::Slice(vec![]), &[turned], &[n, 2, t]);
    let pooled = p.node(Op::ReduceDim(Reduction::Sum, 2), &[last], &[n, 2, 1]);
    let graph = p.finish(pooled);
    let back = SampleAxes::backward(&graph, n, pooled, 2);
    for (value, stride) in [(turned, 2 * t), (split, 2), (product, 2), (x, d)] {
        assert_eq!(back.of(value), samples(stride));
    }
}

/// A table that is added to all samples serves them all; what is repeated first belongs to each.
#[test]
fn a_broadcast_serves_all_samples_and_a_repetition_each() {
    let (b, s, d) = (4, 5, 3);
    let mut p = Program::default();
    let (x, table) = (p.input(&[b, s, d]), p.input(&[1, s, d]));
    let doubled = p.node(Op::Binary(Binary::Add), &[table, table], &[1, s, d]);
    let repeated = p.node(Op::RepeatDim { dim: 0, times: b }, &[table], &[b, s, d]);
    let once = p.node(Op::Binary(Binary::Add), &[x, doubled], &[b, s, d]);
    let each = p.node(Op::Binary(Binary::Add), &[once, repeated], &[b, s, d]);
    let graph = p.finish(each);
    let back = SampleAxes::backward(&graph, b, each, s * d);
    assert_eq!(back.of(doubled), Some(SampleAxis::Shared));
    assert_eq!(back.of(table), Some(SampleAxis::Shared));
    assert_eq!(back.of(repeated), samples(s * d));
}

/// Attention within a sequence keeps sequences apart, and mixes rows that are their places.
#[test]
fn attention_mixes_places_and_not_samples() {
    let (b, s, d) = (4, 5, 3);
    let mut p = Program::default();
    let x = p.input(&[b, s, d]);
    let turned = p.node(Op::SwapDims(1, 2), &[x], &[b, d, s]);
    let scores = p.node(Op::Matmul, &[x, turned], &[b, s, s]);
    let shares = p.node(Op::Softmax(Softmax::Softmax, 2), &[scores], &[b, s, s]);
    let mixed = p.node(Op::Matmul, &[shares, x], &[b, s, d]);
    let rows = p.node(Op::Reshape, &[mixed], &[b * s, d]);
    let graph = p.finish(rows);
    let sequences = SampleAxes::backward(&graph, b, rows, s * d);
    assert_eq!(sequences.of(x), samples(s * d));
    let places = SampleAxes::backward(&graph, b * s, rows, d);
    assert_eq!(places.of(shares), samples(s));
    assert!(is_mixed(places.of(x)));
    // One sample: nothing else can be mixed with it.
    let one = SampleAxes::backward(&graph, 1, rows, b * s * d);
    assert!(matches!(one.of(x), Some(SampleAxis::Samples { .. })));
}

/// Sizes that agree by chance do not make samples of places.
#[test]
fn equal_sizes_are_told_apart() {
    let n = 4;
    let mut p = Program::default();
    let x = p.input(&[n, n, n]);
    let turned = p.node(Op::SwapDims(0, 2), &[x], &[n, n, n]);
    let sum = p.node(Op::SumDims(vec![0]), &[turned], &[1, n, n]);
    let flat = p.node(Op::Reshape, &[sum], &[n, n]);
    let both = p.node(Op::Binary(Binary::Mul), &[flat, flat], &[n, n]);
    let graph = p.finish(both);
    // The rows of the result are the middle dimension.
    assert_eq!(SampleAxes::backward(&graph, n, both, n).of(x), samples(n));
    // Its columns are the first.
    assert_eq!(SampleAxes::backward(&graph, n, both, 1).of(x), samples(n * n));
}

/// Several uses that put the samples in different places are not one axis.
#[test]
fn uses_that_disagree_are_mixed() {
    let n = 3;
    let mut p = Program::default();
    let x = p.input(&[n, n]);
    let turned = p.node(Op::SwapDims(0, 1), &[x], &[n, n]);
    let sum = p.node(Op::Binary(Binary::Add), &[x, turned], &[n, n]);
    let graph = p.finish(sum);
    assert!(is_mixed(SampleAxes::backward(&graph, n, sum, n).of(x)));
}

/// Merged with another dimension and taken apart along a boundary that is not its own.
#[test]
fn a_split_across_the_samples_is_seen() {
    let mut p = Program::default();
    let y = p.input(&[4, 6]);
    let x = p.node(Op::SwapDims(0, 1), &[y], &[6, 4]);
    let split = p.node(Op::Reshape, &[x], &[4, 6]);
    let turned = p.node(Op::SwapDims(0, 1), &[split], &[6, 4]);
    let graph = p.finish(turned);
    let back = SampleAxes::backward(&graph, 6, turned, 4);
    assert_eq!(back.of(x), samples(1));
    assert!(is_mixed(back.of(y)));
    // Samples that fill two dimensions: they stay together, or do not.
    let mut p = Program::default();
    let (together, apart) = (p.input(&[4, 2, 3]), p.input(&[2, 4, 3]));
    let one = p.node(Op::Permute(vec![1, 2, 0]), &[together], &[2, 3, 4]);
    let two = p.node(Op::Permute(vec![0, 2, 1]), &[apart], &[2, 3, 4]);
    let sum = p.node(Op::Binary(Binary::Add), &[one, two], &[2, 3, 4]);
    let merged = p.node(Op::Reshape, &[sum], &[6, 4]);
    let graph = p.finish(merged);
    let back = SampleAxes::backward(&graph, 6, merged, 4);
    assert_eq!(back.of(together), samples(1));
    assert!(is_mixed(back.of(apart)));
}

/// Whether a program shows that a value is computed sample by sample, from inputs whose samples are counted in the given
/// dimensions.
fn own(graph: &Graph, samples: usize, dims: &[Option<usize>]) -> bool {
    let axes = BatchAxes { inputs: 0..dims.len(), samples, dims };
    axes.are_own(graph, graph.outputs()[0])
}

#[test]
fn values_of_one_sample_each_are_shown() {
    let (n, s, d) = (4, 6, 3);
    for (shape, dim, dropped) in [([n, s, d], 0, 1), ([s, n, d], 1, 0)] {
        let mut p = Program::default();
        let (x, w) = (p.input(&shape), p.input(&[d, 2]));
        let rows = p.node(Op::Reshape, &[x], &[n * s, d]);
        let product = p.node(Op::Matmul, &[rows, w], &[n * s, 2]);
        let [first, second, _] = shape;
        let split = p.node(Op::Reshape, &[product], &[first, second, 2]);
        let graph = p.finish(split);
        // Weights are common, and a batch as large as the places is told apart by its dimension.
        assert!(own(&graph, n, &[Some(dim), None]));
        assert!(!own(&graph, n, &[Some(dim), Some(0)]));
        let mut p = Program::default();
        let x = p.input(&shape);
        let mut pooled = shape;
        pooled[dropped] = 1;
        let pooled = p.node(Op::ReduceDim(Reduction::Mean, dropped), &[x], &pooled);
        assert!(own(&p.finish(pooled), n, &[Some(dim)]));
    }
}

#[test]
fn values_of_several_samples_are_not_shown() {
    let (n, d) = (4, 3);
    type Step = (Op, Vec<usize>);
    let across: [Step; 5] = [
        (Op::ReduceDim(Reduction::Mean, 0), vec![1, d]),
        (Op::Flip(vec![0]), vec![n, d]),
        (Op::Cumulative(crate::graph::Cumulative::Sum, 0), vec![n, d]),
        (Op::Softmax(Softmax::Softmax, 0), vec![n, d]),
        (Op::Slice(vec![]), vec![n - 1, d]),
    ];
    for (op, shape) in across {
        let mut p = Program::default();
        let x = p.input(&[n, d]);
        let mixed = p.node(op.clone(), &[x], &shape);
        let both = if shape[0] == 1 || shape == [n, d] {
            p.node(Op::Binary(Binary::Add), &[x, mixed], &[n, d])
        } else {
            p.node(Op::Cat(0), &[mixed, x], &[2 * n - 1, d])
        };
        assert!(!own(&p.finish(both), n, &[Some(0)]), "{op:?}");
    }
    // One sample depends on itself alone.
    let mut p = Program::default();
    let x = p.input(&[1, d]);
    let sum = p.node(Op::Reduce(Reduction::Sum), &[x], &[1]);
    assert!(own(&p.finish(sum), 1, &[Some(0)]));
}
