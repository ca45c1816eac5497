//! Functions of two operands, element by element.

use super::{
    case::{Case, fixed, positive, real, small, unit},
    check_all,
};
use crate::graph::{Binary, Literal, Op};

pub(super) fn cases() -> Vec<Case> {
    [binary(), scalars(), powers(), bounds()].concat()
}

fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for function in [Binary::Add, Binary::Sub, Binary::Mul, Binary::ArcTan2, Binary::Hypot] {
        for (name, left, right) in shapes() {
            let name = format!("{function:?} {name}");
            cases.push(Case::new(
                &name,
                Op::Binary(function),
                vec![real(&left), real(&right)],
                &[2, 3, 4],
            ));
        }
    }
    for (name, left, right) in shapes() {
        let divide = Op::Binary(Binary::Div);
        cases.push(Case::new(
            &format!("Div {name}"),
            divide,
            vec![real(&left), positive(&right)],
            &[2, 3, 4],
        ));
        let remainder = Op::Binary(Binary::Rem);
        cases.push(Case::new(
            &format!("Rem {name}"),
            remainder,
            vec![real(&left), positive(&right)],
            &[2, 3, 4],
        ));
    }
    cases
}

fn shapes() -> Vec<(&'static str, Vec<usize>, Vec<usize>)> {
    vec![
        ("equal", vec![2, 3, 4], vec![2, 3, 4]),
        ("right broadcast", vec![2, 3, 4], vec![1, 3, 1]),
        ("left broadcast", vec![2, 1, 1], vec![2, 3, 4]),
        ("both broadcast", vec![2, 1, 4], vec![1, 3, 4]),
    ]
}

fn scalars() -> Vec<Case> {
    let scalar = |function: Binary, value: f64| {
        let op = Op::BinaryScalar(function, Literal::Float(value));
        Case::new(&format!("{function:?} {value}"), op, vec![real(&[2, 5])], &[2, 5])
    };
    vec![
        scalar(Binary::Add, 0.7),
        scalar(Binary::Sub, 0.7),
        scalar(Binary::Mul, -1.3),
        scalar(Binary::Div, 3.0),
        scalar(Binary::Div, -0.7),
        scalar(Binary::Rem, 0.9),
    ]
}

fn powers() -> Vec<Case> {
    let scalar = |value: f64, input| {
        let op = Op::BinaryScalar(Binary::Powf, Literal::Float(value));
        Case::new(&format!("power {value}"), op, vec![input], &[2, 5])
    };
    let mut cases: Vec<Case> =
        [0.5, 1.5, -0.5, -3.0, 2.7].map(|value| scalar(value, positive(&[2, 5]))).to_vec();
    cases.extend([1.0, 2.0, 3.0, 4.0].map(|value| scalar(value, real(&[2, 5]))));
    cases.extend([2, 3, -1, -2].map(|value| {
        let op = Op::BinaryScalar(Binary::Powi, Literal::Int(value));
        Case::new(&format!("integer power {value}"), op, vec![positive(&[2, 5])], &[2, 5])
    }));
    let powf = Op::Binary(Binary::Powf);
    cases.extend([
        Case::new("power of both", powf.clone(), vec![positive(&[2, 5]), real(&[2, 5])], &[2, 5]),
        Case::new(
            "power broadcast",
            powf.clone(),
            vec![positive(&[2, 5]), small(&[1, 1])],
            &[2, 5],
        ),
        Case::new(
            "power of a constant",
            powf,
            vec![super::case::given(&[1, 1], &[2.5]), real(&[2, 5])],
            &[2, 5],
        ),
        Case::new(
            "power by integers",
            Op::Binary(Binary::Powi),
            vec![real(&[2, 3]), super::case::ints(&[2, 3], &[1, 2, 3, 2, 4, 1])],
            &[2, 3],
        ),
    ]);
    cases
}

fn bounds() -> Vec<Case> {
    let clamp = |name, min: Option<f64>, max: Option<f64>| {
        let op = Op::Clamp { min: min.map(Literal::Float), max: max.map(Literal::Float) };
        Case::new(name, op, vec![real(&[3, 4])], &[3, 4])
    };
    vec![
        clamp("clamp", Some(-0.6), Some(0.8)),
        clamp("clamp from below", Some(-0.3), None),
        clamp("clamp from above", None, Some(0.3)),
        Case::new("cross", Op::Cross(1), vec![real(&[2, 3, 2]), real(&[2, 3, 2])], &[2, 3, 2]),
        Case::new(
            "cross, left broadcast",
            Op::Cross(1),
            vec![positive(&[1, 3, 2]), real(&[2, 3, 2])],
            &[2, 3, 2],
        ),
        Case::new(
            "cross, both broadcast",
            Op::Cross(0),
            vec![positive(&[3, 1, 2]), positive(&[3, 4, 1])],
            &[3, 4, 2],
        ),
        Case::new("cast", Op::Cast, vec![unit(&[3])], &[3]),
        Case::new(
            "product with a constant",
            Op::Binary(Binary::Mul),
            vec![real(&[4]), fixed(&[4])],
            &[4],
        ),
    ]
}

#[test]
fn arithmetic_is_differentiated_twice() {
    check_all(cases());
}
