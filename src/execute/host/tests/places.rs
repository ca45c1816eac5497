//! Elements that are picked and added by place.

use burn::backend::Flex;
use burn_backend::{DType, TensorData, tensor::IndexingUpdateOp};

use super::{ERRORS, check};
use crate::{
    execute::{
        ExecuteError, Program, apply,
        tests::random::{Random, float},
    },
    graph::{GraphBuilder, Op, ValueType},
    tensor::Operand,
};

/// Elements picked and added by place, of few rows and of many, with places of both types.
#[test]
fn places_equal_the_backends() {
    for [rows, width, count] in [[1, 1, 1], [3, 5, 4], [2, 3, 9], [500, 90, 70]] {
        for dtype in [DType::I32, DType::I64] {
            let places: Vec<i64> = (0..rows * count).map(|i| (i * 7 % width) as i64).collect();
            let data = TensorData::new(places, [rows, count]).convert_dtype(dtype);
            let (ty, all) = (float(&[rows, count]), float(&[rows, width]));
            let mut builder = GraphBuilder::default();
            let [x, value] = [all.clone(), ty.clone()].map(|ty| builder.input(ty));
            let places = ValueType { shape: [rows, count].into(), dtype };
            let places = builder.constant(places, data);
            let picked = builder.node(Op::Gather(1), vec![x, places], vec![ty])[0];
            let zeros = builder.node(Op::Zeros, vec![], vec![all.clone()])[0];
            let add = Op::Scatter(1, IndexingUpdateOp::Add);
            let added = builder.node(add.clone(), vec![zeros, places, value], vec![all.clone()])[0];
            let kept = builder.node(add.clone(), vec![x, places, picked], vec![all.clone()])[0];
            // x is read once more, and must be what it was.
            let again = builder.node(add, vec![x, places, value], vec![all])[0];
            let graph = builder.finish(vec![picked, added, kept, again]);
            check(
                &graph,
                &mut Random::new(3),
                ERRORS,
                &format!("{rows} {width} {count} {dtype:?}"),
            );
        }
    }
}

/// A place beyond the end is the backend's error, and not a wrong number.
#[test]
fn places_out_of_range_are_refused() {
    for (width, wrong) in [(5, 5), (5, -1), (0, 0)] {
        for scattered in [false, true] {
            let mut builder = GraphBuilder::default();
            let [all, ty] = [float(&[2, width]), float(&[2, 3])];
            let places = ValueType { shape: [2, 3].into(), dtype: DType::I64 };
            let data = TensorData::new(vec![0_i64, 1, 2, 3, 4, wrong], [2, 3]);
            let places = builder.constant(places, data);
            let x = builder.input(if scattered { ty.clone() } else { all.clone() });
            let y = if scattered {
                let zeros = builder.node(Op::Zeros, vec![], vec![all.clone()])[0];
                let add = Op::Scatter(1, IndexingUpdateOp::Add);
                builder.node(add, vec![zeros, places, x], vec![all])[0]
            } else {
                builder.node(Op::Gather(1), vec![x, places], vec![ty])[0]
            };
            let device = Default::default();
            let program = Program::<Flex>::new(builder.finish(vec![y]), &device, apply::<Flex>);
            let size = if scattered { [2, 3] } else { [2, width] };
            let x = TensorData::new(vec![1.0_f32; size[0] * size[1]], size);
            let result = program.unwrap().run(vec![Operand::from_data(x, &device).unwrap()]);
            assert!(
                matches!(result, Err(ExecuteError::Backend { .. })),
                "{width} {wrong} {result:?}"
            );
        }
    }
}
