//! Functions of one element.

use super::{
    case::{Case, above_one, positive, real, small, unit},
    check_all,
};
use crate::graph::{Binary, Literal, Op, Unary};

pub(super) fn cases() -> Vec<Case> {
    let shape = [3, 4];
    let unary = |function: Unary, input| {
        Case::new(&format!("{function:?}"), Op::Unary(function), vec![input], &shape)
    };
    let mut cases: Vec<Case> = [
        Unary::Abs,
        Unary::Neg,
        Unary::Exp,
        Unary::Erf,
        Unary::Sin,
        Unary::Cos,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Tanh,
        Unary::ArcTan,
        Unary::ArcSinh,
        Unary::Relu,
        Unary::Gelu,
        Unary::Sigmoid,
        Unary::LogSigmoid,
    ]
    .into_iter()
    .map(|function| unary(function, real(&shape)))
    .collect();
    for function in [Unary::Log, Unary::Log1p, Unary::Sqrt, Unary::Recip] {
        cases.push(unary(function, positive(&shape)));
    }
    for function in [Unary::Tan, Unary::ArcSin, Unary::ArcCos, Unary::ArcTanh] {
        cases.push(unary(function, unit(&shape)));
    }
    cases.push(unary(Unary::ArcCosh, above_one(&shape)));
    cases.extend([
        Case::new(
            "leaky relu",
            Op::BinaryScalar(Binary::LeakyRelu, Literal::Float(0.1)),
            vec![real(&shape)],
            &shape,
        ),
        Case::new("prelu", Op::Binary(Binary::PRelu), vec![real(&shape), real(&[1, 4])], &shape),
        Case::new(
            "prelu of one slope",
            Op::Binary(Binary::PRelu),
            vec![real(&shape), real(&[1, 1])],
            &shape,
        ),
        Case::new(
            "hard sigmoid",
            Op::HardSigmoid { alpha: Literal::Float(0.3), beta: Literal::Float(0.45) },
            vec![real(&shape)],
            &shape,
        ),
        backward("relu backward", Binary::ReluBackward),
        backward("gelu backward", Binary::GeluBackward),
        backward("log sigmoid backward", Binary::LogSigmoidBackward),
        Case::new(
            "sigmoid backward",
            Op::Binary(Binary::SigmoidBackward),
            vec![small(&shape), real(&shape)],
            &shape,
        ),
    ]);
    cases
}

fn backward(name: &str, function: Binary) -> Case {
    Case::new(name, Op::Binary(function), vec![real(&[3, 4]), real(&[3, 4])], &[3, 4])
}

#[test]
fn activations_are_differentiated_twice() {
    check_all(cases());
}
