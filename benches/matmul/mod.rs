//! The matrix products that dominate the MLP's time, with the layouts in which they occur: forward `x·W`, weights `xᵀ·g`,
//! inputs `g·Wᵀ`.

use burn::tensor::{Device, Distribution, Tensor};

use crate::figures::Figures;
use crate::harness::{Plan, Rounds};
use crate::{Backend, finish};

/// Rows, inner dimension and columns of a product, and the layout of its operands.
struct Product {
    figure: &'static str,
    extents: [usize; 3],
    left_transposed: bool,
    right_transposed: bool,
}

const PRODUCTS: [Product; 4] = [
    Product {
        figure: "gflops_256x784x512",
        extents: [256, 784, 512],
        left_transposed: false,
        right_transposed: false,
    },
    Product {
        figure: "gflops_784x256x512_left_transposed",
        extents: [784, 256, 512],
        left_transposed: true,
        right_transposed: false,
    },
    Product {
        figure: "gflops_256x512x784_right_transposed",
        extents: [256, 512, 784],
        left_transposed: false,
        right_transposed: true,
    },
    Product {
        figure: "gflops_1024x1024x1024",
        extents: [1024, 1024, 1024],
        left_transposed: false,
        right_transposed: false,
    },
];

/// Measures all products on one backend and prints GFLOP/s.
pub fn measure((backend, device): &Backend, plan: Plan) {
    let mut rounds = Rounds::default();
    for product in &PRODUCTS {
        let (left, right) = product.operands(device);
        rounds.add(product.figure, move || {
            finish(device, left.clone().matmul(right.clone()));
        });
    }
    let samples = rounds.measure(plan);
    let figures = Figures::new("matmul", backend);
    for product in &PRODUCTS {
        let flops = 2.0 * product.extents.iter().product::<usize>() as f64;
        figures.rate(product.figure, flops, samples.seconds(product.figure));
    }
}

impl Product {
    fn operands(&self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let [rows, inner, columns] = self.extents;
        (
            operand([rows, inner], self.left_transposed, device),
            operand([inner, columns], self.right_transposed, device),
        )
    }
}

/// Random values; `transposed` gives a view on the transposed storage.
fn operand([rows, columns]: [usize; 2], transposed: bool, device: &Device) -> Tensor<2> {
    let uniform = Distribution::Uniform(-1.0, 1.0);
    if transposed {
        Tensor::random([columns, rows], uniform, device).transpose()
    } else {
        Tensor::random([rows, columns], uniform, device)
    }
}
