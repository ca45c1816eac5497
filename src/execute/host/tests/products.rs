//! Matrix products, alone, added and summed, and sums.

use super::{ERRORS, check};
use crate::{
    execute::{
        host::plan::{self, Work},
        tests::random::{Random, float},
    },
    graph::{Binary, GraphBuilder, Op, Reduction, ValueId},
};

/// A matrix product in a batch, its operands given as they are or with the last two dimensions exchanged.
fn product(
    builder: &mut GraphBuilder,
    [of_first, of_second, batch]: [&[usize]; 3],
    [m, k, n]: [usize; 3],
    exchanged: usize,
) -> ValueId {
    let mut operand = |batch: &[usize], [rows, columns]: [usize; 2], exchanged: bool| {
        let shape = |sizes: [usize; 2]| float(&[batch, &sizes[..]].concat());
        if exchanged {
            let x = builder.input(shape([columns, rows]));
            let swap = Op::SwapDims(batch.len(), batch.len() + 1);
            builder.node(swap, vec![x], vec![shape([rows, columns])])[0]
        } else {
            builder.input(shape([rows, columns]))
        }
    };
    let first = operand(of_first, [m, k], exchanged & 1 > 0);
    let second = operand(of_second, [k, n], exchanged & 2 > 0);
    let shape = [batch, &[m, n]].concat();
    builder.node(Op::Matmul, vec![first, second], vec![float(&shape)])[0]
}

const BATCHES: [[&[usize]; 3]; 5] = [
    [&[], &[], &[]],
    [&[5], &[5], &[5]],
    [&[1], &[5], &[5]],
    [&[2, 3], &[2, 1], &[2, 3]],
    [&[9], &[1], &[9]],
];

/// Whose rows, and whose columns, the threads share.
const LARGE: [([&[usize]; 3], [usize; 3]); 2] =
    [([&[], &[], &[]], [150, 70, 90]), ([&[], &[], &[]], [60, 90, 150])];

#[test]
fn products_equal_the_backends_in_all_layouts() {
    for batch in BATCHES {
        for sizes in
            [[3, 4, 5], [1, 4, 5], [3, 1, 5], [3, 4, 1], [1, 1, 1], [150, 70, 90], [60, 90, 150]]
        {
            for exchanged in 0..4 {
                let mut builder = GraphBuilder::default();
                let y = product(&mut builder, batch, sizes, exchanged);
                let what = format!("{batch:?} {sizes:?} {exchanged}");
                check(&builder.finish(vec![y]), &mut Random::new(1), ERRORS, &what);
            }
        }
    }
}

/// The sum of three products is three steps, of which two add to what is there.
#[test]
fn products_are_written_where_they_are_added() {
    for (batch, sizes) in BATCHES.map(|batch| (batch, [4, 3, 5])).into_iter().chain(LARGE) {
        let mut builder = GraphBuilder::default();
        let [x, y, z] = [0, 1, 2].map(|exchanged| product(&mut builder, batch, sizes, exchanged));
        let ty = float(&[batch[2], &[sizes[0], sizes[2]]].concat());
        let add = Op::Binary(Binary::Add);
        let sum = builder.node(add.clone(), vec![y, x], vec![ty.clone()])[0];
        let sum = builder.node(add, vec![sum, z], vec![ty])[0];
        let graph = builder.finish(vec![sum]);
        let steps = plan::steps(&graph).0;
        let onto = steps.iter().map(|step| match &step.work {
            Work::Product(product) => Some(product.onto.is_some()),
            _ => None,
        });
        assert_eq!(onto.flatten().collect::<Vec<_>>(), [false, true, true]);
        check(&graph, &mut Random::new(2), ERRORS, &format!("{batch:?} {sizes:?}"));
    }
}

/// Of `x·A·B·C` two results are alive at a time; memory of its own size for each takes all three.
#[test]
fn enough_memory_has_the_most_of_each_size() {
    let mut builder = GraphBuilder::default();
    let sizes = [3, 64, 16, 32, 16];
    let [mut x, weights @ ..] =
        [[8, 3], [3, 64], [64, 16], [16, 32], [32, 16]].map(|shape| builder.input(float(&shape)));
    for (weight, columns) in weights.into_iter().zip(&sizes[1..]) {
        x = builder.node(Op::Matmul, vec![x, weight], vec![float(&[8, *columns])])[0];
    }
    let (steps, enough) = plan::steps(&builder.finish(vec![x]));
    let alive: Vec<usize> = steps.iter().map(|step| step.alive / (8 * 4)).collect();
    assert_eq!(alive, [64, 64 + 16, 16 + 32, 32 + 16]);
    assert_eq!(enough, 8 * 4 * (64 + 16 + 32));
}

/// A product that is returned too, or added to itself, stays as it is.
#[test]
fn products_that_are_read_twice_are_kept() {
    let mut builder = GraphBuilder::default();
    let [x, y] = [0, 1].map(|exchanged| product(&mut builder, BATCHES[0], [4, 3, 5], exchanged));
    let mut add = |inputs| builder.node(Op::Binary(Binary::Add), inputs, vec![float(&[4, 5])])[0];
    let (sum, twice) = (add(vec![x, y]), add(vec![y, y]));
    check(&builder.finish(vec![sum, twice, x]), &mut Random::new(3), ERRORS, "twice");
}

/// A product that is returned is not written into.
#[test]
fn products_that_are_returned_are_kept() {
    let mut builder = GraphBuilder::default();
    let [x, y] = [0, 1].map(|exchanged| product(&mut builder, BATCHES[0], [4, 3, 5], exchanged));
    let sum = builder.node(Op::Binary(Binary::Add), vec![x, y], vec![float(&[4, 5])])[0];
    check(&builder.finish(vec![sum, y]), &mut Random::new(3), ERRORS, "returned");
}

/// Without rows, columns, terms or matrices.
#[test]
fn products_of_nothing_are_zero_or_empty() {
    let batches: [[&[usize]; 3]; 3] = [BATCHES[0], [&[0]; 3], [&[2]; 3]];
    for batch in batches {
        for sizes in [[3, 0, 5], [0, 4, 5], [3, 4, 0], [3, 4, 5]] {
            let mut builder = GraphBuilder::default();
            let ty = |leading: &[usize]| float(&[leading, &[sizes[0], sizes[2]]].concat());
            let sum = |builder: &mut GraphBuilder| {
                let [x, y] = [0, 3].map(|exchanged| product(builder, batch, sizes, exchanged));
                builder.node(Op::Binary(Binary::Add), vec![x, y], vec![ty(batch[2])])[0]
            };
            let mut outputs = vec![sum(&mut builder)];
            if batch[2].len() == 1 {
                let x = product(&mut builder, batch, sizes, 0);
                let total = Op::ReduceDim(Reduction::Sum, 0);
                outputs.push(builder.node(total, vec![x], vec![ty(&[1])])[0]);
            }
            let graph = builder.finish(outputs);
            check(&graph, &mut Random::new(6), ERRORS, &format!("{batch:?} {sizes:?}"));
        }
    }
}

#[test]
fn products_of_a_batch_are_summed() {
    for (batch, count) in [(BATCHES[1], 5), (BATCHES[2], 5), (BATCHES[4], 9)] {
        for sizes in [[3, 4, 5], [60, 50, 70]] {
            let mut builder = GraphBuilder::default();
            let y = product(&mut builder, batch, sizes, 3);
            let [m, _, n] = sizes;
            let sum = Op::ReduceDim(Reduction::Sum, 0);
            let sum = builder.node(sum, vec![y], vec![float(&[1, m, n])])[0];
            let graph = builder.finish(vec![sum]);
            assert!(plan::steps(&graph).0.iter().any(|step| match &step.work {
                Work::Product(product) => product.summed && product.batch == [count],
                _ => false,
            }));
            check(&graph, &mut Random::new(4), ERRORS, &format!("{batch:?} {sizes:?}"));
        }
    }
}

/// Along any dimension, few rows or many, and of nothing.
#[test]
fn sums_equal_the_backends() {
    let shapes: [&[usize]; 7] =
        [&[3, 5], &[7], &[2, 3, 4], &[200, 30], &[130, 2], &[0, 3], &[2, 0, 3]];
    for shape in shapes {
        for dim in 0..shape.len() {
            let mut builder = GraphBuilder::default();
            let x = builder.input(float(shape));
            let mut sizes = shape.to_vec();
            sizes[dim] = 1;
            let sum = Op::ReduceDim(Reduction::Sum, dim);
            let sum = builder.node(sum, vec![x], vec![float(&sizes)])[0];
            let graph = builder.finish(vec![sum]);
            check(&graph, &mut Random::new(7), ERRORS, &format!("{shape:?} {dim}"));
        }
    }
}
