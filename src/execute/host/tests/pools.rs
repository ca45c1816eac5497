//! Pools with the places of their maxima give what the backend gives, bit for bit.

use burn_backend::Shape;

use super::*;
use crate::graph::PoolWindow;

/// A pool with the indices of its maxima, of an image of some size.
fn pool(shape: [usize; 4], window: &PoolWindow, places: DType) -> Graph {
    let size = |axis: usize| {
        let reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
        let room = shape[2 + axis] + 2 * window.padding[axis] - reach;
        let stride = window.stride[axis];
        1 + if window.ceil_mode { room.div_ceil(stride) } else { room / stride }
    };
    let pooled = Shape::from(vec![shape[0], shape[1], size(0), size(1)]);
    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&shape));
    let results = vec![
        ValueType { shape: pooled.clone(), dtype: DType::F32 },
        ValueType { shape: pooled, dtype: places },
    ];
    let op = Op::MaxPool { window: window.clone(), indices: true };
    let results = builder.node(op, vec![x], results);
    builder.finish(results)
}

/// Windows of all kinds, of which the last two are left to the backend.
fn windows() -> Vec<PoolWindow> {
    let window = |kernel, stride, padding, dilation, ceil_mode| {
        let [kernel, stride, padding, dilation]: [[usize; 2]; 4] =
            [kernel, stride, padding, dilation];
        let [kernel, stride, padding, dilation] =
            [kernel, stride, padding, dilation].map(|pair| pair.to_vec());
        PoolWindow { kernel, stride, padding, dilation, ceil_mode }
    };
    vec![
        window([2, 2], [2, 2], [0, 0], [1, 1], false),
        window([3, 2], [1, 2], [0, 0], [1, 1], false),
        window([2, 3], [3, 1], [0, 0], [2, 2], false),
        window([1, 1], [1, 1], [0, 0], [1, 1], false),
        window([2, 2], [2, 2], [1, 1], [1, 1], false),
        window([2, 2], [2, 2], [0, 0], [1, 1], true),
    ]
}

#[test]
fn pools_equal_the_backends() {
    for window in windows() {
        for shape in [[2, 3, 7, 9], [4, 8, 27, 31]] {
            for places in [DType::I32, DType::I64] {
                let graph = pool(shape, &window, places);
                check(&graph, &mut Random::new(3), [0.0; 2], &format!("{window:?}, {places:?}"));
            }
        }
    }
}

/// The first of equal elements is the largest, and the last NaN before all others.
#[test]
fn ties_and_nan_go_where_the_backend_puts_them() {
    let graph = pool([1, 1, 5, 7], &windows()[1], DType::I64);
    let elements = [1.0, 2.0, 2.0, f32::NAN, 0.0, -0.0, f32::NEG_INFINITY];
    let device = Default::default();
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let x: Vec<f32> = (0..35).map(|_| random.of(&elements)).collect();
        let x = Operand::<Flex>::from_data(TensorData::new(x, [1, 1, 5, 7]), &device);
        let inputs = vec![x.expect("a plain kind")];
        let expected = replay(&graph, &device, inputs.clone(), apply::<Flex>).expect("a run");
        let program = Program::new(graph.clone(), &device, apply::<Flex>).expect("a good graph");
        let found = program.run(inputs).expect("a run");
        assert_close(&numbers(found), &numbers(expected), 0.0, &format!("seed {seed}"));
    }
}
