//! Functions of one and two operands, comparisons, activations.

use burn::tensor::{Tensor, activation as act};

use super::{Entry, Source, check_all, entry, out};

fn unary(name: &'static str, f: fn(Tensor<2>) -> Tensor<2>) -> Entry {
    entry(name, move |s: &Source| vec![out(f(s.float([3, 4], 1.0)))])
}

fn positive(name: &'static str, f: fn(Tensor<2>) -> Tensor<2>) -> Entry {
    entry(name, move |s: &Source| vec![out(f(s.positive([3, 4], 2.0)))])
}

fn binary(name: &'static str, f: fn(Tensor<2>, Tensor<2>) -> Tensor<2>) -> Entry {
    entry(name, move |s: &Source| {
        let (x, y) = (s.positive([3, 4], 3.0), s.positive([1, 4], 4.0));
        vec![out(f(x, y))]
    })
}

#[test]
fn element_by_element() {
    check_all(vec![
        unary("abs", Tensor::abs),
        unary("neg", Tensor::neg),
        unary("sign", Tensor::sign),
        unary("exp", Tensor::exp),
        positive("log", Tensor::log),
        unary("log1p", Tensor::log1p),
        unary("erf", Tensor::erf),
        positive("sqrt", Tensor::sqrt),
        positive("recip", Tensor::recip),
        unary("square", |x| x.square()),
        unary("sin", Tensor::sin),
        unary("cos", Tensor::cos),
        unary("tan", Tensor::tan),
        unary("sinh", Tensor::sinh),
        unary("cosh", Tensor::cosh),
        unary("tanh", Tensor::tanh),
        unary("asin", Tensor::asin),
        unary("acos", Tensor::acos),
        unary("atan", Tensor::atan),
        unary("asinh", Tensor::asinh),
        positive("acosh", |x| x.add_scalar(1.0).acosh()),
        unary("atanh", |x| x.mul_scalar(0.9).atanh()),
        unary("round", |x| x.mul_scalar(5.0).round()),
        unary("floor", |x| x.mul_scalar(5.0).floor()),
        unary("ceil", |x| x.mul_scalar(5.0).ceil()),
        unary("trunc", |x| x.mul_scalar(5.0).trunc()),
        unary("deg2rad", Tensor::deg2rad),
        unary("rad2deg", Tensor::rad2deg),
        unary("clamp", |x| x.clamp(-0.3, 0.4)),
        unary("clamp_min", |x| x.clamp_min(-0.3)),
        unary("clamp_max", |x| x.clamp_max(0.4)),
        unary("scalars", |x| ((x + 0.5) * 1.7 - 0.2) / 3.0),
        unary("remainder_scalar", |x| x.remainder_scalar(0.3)),
        unary("fmod_scalar", |x| x.fmod_scalar(0.3)),
        unary("powi_scalar", |x| x.powi_scalar(3)),
        positive("powf_scalar", |x| x.powf_scalar(1.3)),
        unary("detach", Tensor::detach),
        binary("add", Tensor::add),
        binary("sub", Tensor::sub),
        binary("mul", Tensor::mul),
        binary("div", Tensor::div),
        binary("remainder", Tensor::remainder),
        binary("fmod", Tensor::fmod),
        binary("powf", Tensor::powf),
        binary("powi", |x, y| x.powi(y.mul_scalar(2.0))),
        binary("atan2", Tensor::atan2),
        binary("hypot", Tensor::hypot),
        binary("max_pair", Tensor::max_pair),
        binary("min_pair", Tensor::min_pair),
        binary("one tensor twice", |x, _| x.clone() * x),
    ]);
}

#[test]
fn comparisons_and_casts() {
    check_all(vec![
        entry("comparisons", |s| {
            let (x, y) = (s.float([3, 4], 1.0), s.float([3, 4], 1.0).round());
            vec![
                out(x.clone().greater(y.clone())),
                out(x.clone().greater_equal(y.clone())),
                out(x.clone().lower(y.clone())),
                out(x.clone().lower_equal(y.clone())),
                out(x.clone().equal(y.clone())),
                out(x.clone().not_equal(y.clone())),
                out(x.clone().greater_scalar(0.2)),
                out(x.clone().greater_equal_scalar(0.2)),
                out(x.clone().lower_scalar(0.2)),
                out(x.clone().lower_equal_scalar(0.2)),
                out(y.clone().equal_scalar(0.0)),
                out(y.not_equal_scalar(0.0)),
                out(x.clone().is_close(x.clone(), None, None)),
                out(x.clone().log().is_nan()),
                out(x.clone().contains_nan()),
                out(x.clone().mul_scalar(0.0).recip().is_inf()),
                out(x.is_finite()),
            ]
        }),
        entry("int comparisons", |s| {
            let (x, y) = (s.int([4], &[1, 5, -3, 2]), s.int([4], &[1, 4, -2, 2]));
            vec![
                out(x.clone().greater(y.clone())),
                out(x.clone().lower_equal(y.clone())),
                out(x.clone().equal(y.clone())),
                out(x.clone().not_equal(y)),
                out(x.clone().lower_scalar(2)),
                out(x.greater_equal_scalar(2)),
            ]
        }),
        entry("bool", |s| {
            let (x, y) = (s.bool([4], &[0, 0, 1, 1]), s.bool([4], &[0, 1, 0, 1]));
            vec![
                out(x.clone().bool_and(y.clone())),
                out(x.clone().bool_or(y.clone())),
                out(x.clone().bool_xor(y.clone())),
                out(x.clone().bool_not()),
                out(x.clone().equal(y.clone())),
                out(x.clone().not_equal(y)),
                out(x.clone().any()),
                out(x.clone().all()),
                out(x.clone().any_dim(0)),
                out(x.clone().all_dim(0)),
                out(x.clone().int()),
                out(x.float()),
            ]
        }),
        entry("casts", |s| {
            let x = s.float([3], 1.0).mul_scalar(4.0);
            let n = s.int([3], &[0, -2, 7]);
            vec![
                out(x.clone().int()),
                out(x.clone().bool()),
                out(x.cast(burn::tensor::DType::F64)),
                out(n.clone().float()),
                out(n.clone().bool()),
                out(n.cast(burn::tensor::DType::I32)),
            ]
        }),
    ]);
}

#[test]
fn integers() {
    check_all(vec![entry("int", |s| {
        let (x, y) = (s.int([4], &[13, 5, -3, 2]), s.int([4], &[3, 4, 2, 1]));
        vec![
            out(x.clone() + y.clone()),
            out(x.clone() - y.clone()),
            out(x.clone() * y.clone()),
            out(x.clone() / y.clone()),
            out(x.clone().remainder(y.clone())),
            out(x.clone().powi(y.clone())),
            out(x.clone().powi_scalar(2)),
            out(x.clone().square()),
            out(x.clone() + 2),
            out(x.clone() - 2),
            out(x.clone() * 2),
            out(x.clone() / 2),
            out(x.clone().remainder_scalar(3)),
            out(x.clone().bitwise_and(y.clone())),
            out(x.clone().bitwise_or(y.clone())),
            out(x.clone().bitwise_xor(y.clone())),
            out(x.clone().bitwise_not()),
            out(x.clone().bitwise_left_shift(y.clone())),
            out(x.clone().bitwise_right_shift(y.clone())),
            out(x.clone().bitwise_and_scalar(6)),
            out(x.clone().bitwise_or_scalar(6)),
            out(x.clone().bitwise_xor_scalar(6)),
            out(x.clone().bitwise_left_shift_scalar(1)),
            out(x.clone().bitwise_right_shift_scalar(1)),
            out(x.clone().abs()),
            out(x.clone().sign()),
            out(-x.clone()),
            out(x.clone().sum()),
            out(x.clone().prod()),
            out(x.clone().max()),
            out(x.clone().min()),
            out(x.clone().argmax(0)),
            out(x.clone().cumsum(0)),
            out(x.clone().clamp(0, 6)),
            out(x.clone().sort(0)),
            out(x.clone().argsort(0)),
            out(x.clone().reshape([2, 2]).matmul(y.reshape([2, 2]))),
            out(x.float().mean()),
        ]
    })]);
}

#[test]
fn activations() {
    check_all(vec![
        unary("relu", act::relu),
        unary("relu6", act::relu6),
        unary("hardtanh", |x| act::hardtanh(x, -0.5, 0.5)),
        unary("tanhshrink", act::tanhshrink),
        unary("leaky_relu", |x| act::leaky_relu(x, 0.1)),
        unary("gelu", act::gelu),
        unary("gelu_approximate", act::gelu_approximate),
        entry("prelu", |s| {
            let (x, alpha) = (s.float([3, 4], 1.0), s.positive([4], 5.0));
            vec![out(act::prelu(x, alpha))]
        }),
        unary("softmax", |x| act::softmax(x, 1)),
        unary("softmax of the first dimension", |x| act::softmax(x, 0)),
        unary("softmin", |x| act::softmin(x, 1)),
        unary("quiet_softmax", |x| act::quiet_softmax(x, 1)),
        unary("log_softmax", |x| act::log_softmax(x, 1)),
        unary("softplus", |x| act::softplus(x, 1.5)),
        unary("sigmoid", act::sigmoid),
        unary("hard_sigmoid", |x| act::hard_sigmoid(x, 0.3, 0.5)),
        unary("log_sigmoid", act::log_sigmoid),
        unary("silu", act::silu),
        unary("hard_swish", act::hard_swish),
        unary("mish", act::mish),
        unary("elu", |x| act::elu(x, 1.2)),
        unary("celu", |x| act::celu(x, 1.2)),
        unary("selu", act::selu),
        unary("thresholded_relu", |x| act::thresholded_relu(x, 0.2)),
        unary("threshold", |x| act::threshold(x, 0.2, 0.7)),
        unary("glu", |x| act::glu(x, 1)),
        unary("softsign", act::softsign),
        unary("hard_shrink", |x| act::hard_shrink(x, 0.3)),
        unary("soft_shrink", |x| act::soft_shrink(x, 0.3)),
        unary("shrink", |x| act::shrink(x, 0.3, 0.1)),
    ]);
}
