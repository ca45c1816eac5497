//! Values at the edge of an operation's domain: zeros under powers, infinite logits, expanded tensors that are written
//! to. Right, or refused with what is not finite.

use burn::{
    nn::{CosineSimilarityConfig, loss::CrossEntropyLossConfig, pool::AvgPool2dConfig},
    prelude::*,
    tensor::activation::{log_softmax, relu, softmax},
};
use burn_curvature::{CaptureConfig, Objective};

use super::{
    check::{Flexible, Table},
    probe::{Net, data, device, labels, readout, spread},
};

fn batch() -> Tensor<2> {
    data([6, 3], 1)
}

/// True in the last column.
fn last_column(columns: usize) -> Tensor<2, Bool> {
    let index = Tensor::<1, Int>::arange(0..columns as i64, &device()).unsqueeze::<2>();
    index.equal_elem(columns as i64 - 1).expand([6, columns])
}

#[test]
fn powers_of_zero() {
    let mut table = Table::new("Powers of zero");
    for exponent in [1.0f32, 2.0, 2.5, 3.0] {
        table.model(
            &format!("xᵉ, e = {exponent}"),
            Net::new(3, 4),
            batch(),
            move |net: &Net, x| {
                let z = net.forward(x);
                (rectified(z.clone()).powf_scalar(exponent) + z.square()).mean()
            },
        );
    }
    for exponent in [1, 2, 3] {
        table.model(
            &format!("xⁿ, n = {exponent}"),
            Net::new(3, 4),
            batch(),
            move |net: &Net, x| {
                let z = net.forward(x);
                (rectified(z.clone()).powi_scalar(exponent) + z.square()).mean()
            },
        );
    }
    let exponents = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 1.0]], &device());
    table.model("by a tensor", Net::new(3, 4), (batch(), exponents), |net: &Net, (x, e)| {
        let (x, e): (Tensor<2>, Tensor<2>) = (x, e);
        let z = net.forward(x);
        (rectified(z.clone()).powf(e.expand([6, 4])) + z.square()).mean()
    });
    table.finish();
}

/// 49/49 is one, and 49·(1/49) less: what is rounded down or compared must be the same number in the derivatives.
#[test]
fn values_that_are_rounded_down_or_compared() {
    let mut table = Table::new("Values rounded down or compared");
    let whole = |divisor: f32| {
        let numbers: Vec<f32> = (1..=6).map(|number| number as f32 * divisor).collect();
        Tensor::<1>::from_floats(numbers.as_slice(), &device()).unsqueeze_dim::<2>(1)
    };
    table.everywhere("by a number", Net::new(3, 4), (batch(), whole(49.0)), |net: &Net, (x, n)| {
        let (x, n): (Tensor<2>, Tensor<2>) = (x, n);
        (net.forward(x).square() * (n / 49.0).floor()).mean()
    });
    let by_tensor = (batch(), whole(49.0), Tensor::<2>::from_floats([[49.0]], &device()));
    table.everywhere("by a tensor", Net::new(3, 4), by_tensor, |net: &Net, (x, n, by)| {
        let (x, n, by): (Tensor<2>, Tensor<2>, Tensor<2>) = (x, n, by);
        (net.forward(x).square() * (n / by).floor()).mean()
    });
    // The first of two images has a hole.
    let mask = Tensor::<4>::ones([2, 1, 9, 9], &device());
    let mask = mask.slice_fill([0..1, 0..1, 4..5, 4..5], 0.0);
    table.everywhere(
        "where all of a window is one",
        Net::new(3, 9),
        (data([2, 3], 1), mask),
        |net: &Net, (x, mask): (Tensor<2>, Tensor<4>)| {
            let means = AvgPool2dConfig::new([7, 7]).with_strides([1, 1]).init().forward(mask);
            let whole = means.equal_elem(1.0);
            (net.forward(x).square() * whole.float().reshape([2, 9])).mean()
        },
    );
    table.finish();
}

fn rectified(z: Tensor<2>) -> Tensor<2> {
    relu(z)
}

#[test]
fn infinite_logits() {
    let mut table = Table::new("Logits of −∞");
    let minus_infinity = f32::NEG_INFINITY;
    table.everywhere(
        "cross entropy",
        Net::new(3, 5),
        (batch(), labels([6], 4), last_column(5)),
        move |net: &Net, (x, y, hidden): (Tensor<2>, Tensor<1, Int>, Tensor<2, Bool>)| {
            let logits = net.forward(x).mask_fill(hidden, minus_infinity);
            CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, y)
        },
    );
    table.everywhere(
        "cross entropy, a mask that is added",
        Net::new(3, 5),
        (batch(), labels([6], 4), last_column(5)),
        move |net: &Net, (x, y, hidden): (Tensor<2>, Tensor<1, Int>, Tensor<2, Bool>)| {
            let logits = net.forward(x);
            let mask = logits.zeros_like().mask_fill(hidden, minus_infinity);
            CrossEntropyLossConfig::new().init(&logits.device()).forward(logits + mask, y)
        },
    );
    table.everywhere(
        "softmax",
        Net::new(3, 4),
        (batch(), last_column(4)),
        move |net: &Net, (x, hidden): (Tensor<2>, Tensor<2, Bool>)| {
            readout(softmax(net.forward(x).mask_fill(hidden, minus_infinity), 1))
        },
    );
    table.everywhere(
        "log-softmax, gathered",
        Net::new(3, 5),
        (batch(), labels([6, 1], 4), last_column(5)),
        move |net: &Net, (x, y, hidden): (Tensor<2>, Tensor<2, Int>, Tensor<2, Bool>)| {
            readout(log_softmax(net.forward(x).mask_fill(hidden, minus_infinity), 1).gather(1, y))
        },
    );
    table.finish();
}

#[test]
fn writes_to_expanded_tensors() {
    let mut table = Table::new("Writes to expanded tensors");
    table.everywhere("slice_assign", Net::new(3, 4), batch(), |net: &Net, x: Tensor<2>| {
        let z = net.forward(x);
        let base = z.clone().sum_dim(1).expand([6, 4]);
        readout(base.slice_assign([0..3, 1..3], z.slice([1..4, 0..2])).tanh())
    });
    table.everywhere("slice_assign of an expanded row", Net::new(3, 4), batch(), |net: &Net, x| {
        let z: Tensor<2> = net.forward(x);
        let row = z.clone().slice([0..1, 0..4]).expand([3, 4]);
        readout(z.slice_assign([2..5, 0..4], row).sin())
    });
    table.everywhere("slice_fill", Net::new(3, 4), batch(), |net: &Net, x: Tensor<2>| {
        let z = net.forward(x);
        readout(z.slice([0..1, 0..4]).expand([6, 4]).slice_fill([1..2, 0..4], 0.5).exp())
    });
    table.everywhere(
        "select_assign",
        Net::new(3, 4),
        (batch(), labels([6], 6)),
        |net: &Net, (x, rows)| {
            let z: Tensor<2> = net.forward(x);
            let base = z.clone().mean_dim(0).expand([6, 4]);
            readout(base.select_assign(0, rows, z, burn::tensor::IndexingUpdateOp::Add).tanh())
        },
    );
    table.finish();
}

#[test]
fn what_is_not_finite_is_refused() {
    let mut table = Table::new("Not finite");
    table.refused(
        "cosine of a zero row",
        &["NaN"],
        (Net::new(3, 4), (batch(), Tensor::<1>::from_floats([1., 1., 0., 1., 1., 1.], &device()))),
        |net: &Net, (x, kept): (Tensor<2>, Tensor<1>)| {
            let z = net.forward(x) * kept.unsqueeze_dim::<2>(1);
            let other = z.clone().flip([0]);
            CosineSimilarityConfig::new().init().forward(z, other).mean()
        },
    );
    table.refused(
        "a row of which everything is masked",
        &["NaN"],
        (Net::new(3, 4), (batch(), labels([6], 4))),
        |net: &Net, (x, y): (Tensor<2>, Tensor<1, Int>)| {
            let logits = net.forward(x);
            let first = logits.zeros_like().slice_fill([0..1, 0..4], f32::NEG_INFINITY);
            CrossEntropyLossConfig::new().init(&logits.device()).forward(logits + first, y)
        },
    );
    table.refused(
        "a label out of range",
        &["index 4 out of bounds at row 0", "4 is the number of classes"],
        (Net::new(3, 4), (batch(), Tensor::full([6], 4, &device()))),
        |net: &Net, (x, y): (Tensor<2>, Tensor<1, Int>)| {
            let logits = net.forward(x);
            CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, y)
        },
    );
    table.finish();
}

/// The same in a later batch: the recording is there, the values are not.
#[test]
fn a_later_batch_with_impossible_labels_is_refused() {
    let loss = |net: &Net, (x, y): (Tensor<2>, Tensor<1, Int>)| {
        let logits = net.forward(x);
        let config = CrossEntropyLossConfig::new().with_pad_tokens(Some(vec![0]));
        config.init(&logits.device()).forward(logits, y)
    };
    let net = spread(&Net::new(3, 4));
    let objective = Objective::<Flexible>::capture_with(
        &CaptureConfig::new(),
        &net,
        (batch(), labels([6], 4)),
        loss,
    )
    .expect("a loss with right labels");
    let words = |y: Tensor<1, Int>| {
        let at = objective.on((batch(), y)).and_then(|objective| objective.value_and_gradient());
        at.map(|_| ()).expect_err("refused").to_string()
    };
    let ignored = words(Tensor::zeros([6], &device()));
    assert!(ignored.contains("NaN"), "{ignored}");
    let beyond = words(Tensor::full([6], 4, &device()));
    assert!(beyond.contains("index 4 out of bounds"), "{beyond}");
    let product = |y: Tensor<1, Int>| {
        let v = objective.parameters().space().ones();
        let at = objective.on((batch(), y)).and_then(|it| it.hessian_vector_product(&v));
        at.map(|_| ()).expect_err("refused").to_string()
    };
    assert!(product(Tensor::zeros([6], &device())).contains("NaN"));
    let beyond = product(Tensor::full([6], 4, &device()));
    assert!(beyond.contains("index 4 out of bounds"), "{beyond}");
}
