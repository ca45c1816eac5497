//! Points and sizes the random table does not meet: zeros in products, tails of sigmoids, ties, closed forms.

use burn::backend::Flex;

use super::{
    super::{apply, apply_recorded_twice, apply_twice},
    case::{Case, Domain, Input, real},
    draw::Draw,
    harness::{Once, Twice, gradient, hessian_product, numbers, relative_error, try_outputs},
};
use crate::graph::{Binary, Cumulative, Literal, Op, Reduction, Unary};

/// A row whose parameters are the operands themselves: `x = p`.
fn plain(op: Op, values: &[f64], output: &[usize]) -> (Case, Draw) {
    let case =
        Case::new("plain", op, vec![Input::Float(vec![values.len()], Domain::Plain)], output);
    let mut draw = Draw::new(&case, 7);
    draw.point = vec![values.to_vec()];
    draw.weights.iter_mut().flatten().for_each(|weight| *weight = 1.0);
    (case, draw)
}

/// `∇²Σ(y + y²/4)` of `y = Π p`, column by column, at a point with one zero and at one with two.
#[test]
fn products_at_zeros() {
    for point in [vec![1.5, 0.0, -2.0, 0.5], vec![0.0, 3.0, 0.0, -1.0]] {
        let without = |skip: &[usize]| -> f64 {
            (0..4).filter(|index| !skip.contains(index)).map(|index| point[index]).product()
        };
        for op in [Op::Reduce(Reduction::Prod), Op::ReduceDim(Reduction::Prod, 0)] {
            let (case, mut draw) = plain(op, &point, &[1]);
            let expected: Vec<f64> = (0..4).map(|i| without(&[i])).collect();
            let found = gradient(&case, &draw.point, &draw, apply::<Once>);
            assert!(relative_error(&found, &expected) < 1e-14, "{found:?} against {expected:?}");
            for column in 0..4 {
                draw.direction = vec![(0..4).map(|i| f64::from(u8::from(i == column))).collect()];
                let mixed = |i: usize| {
                    if i == column { 0.0 } else { without(&[i, column]) }
                };
                let expected: Vec<f64> =
                    (0..4).map(|i| mixed(i) + 0.5 * without(&[i]) * without(&[column])).collect();
                let found = hessian_product(&case, &draw, apply_recorded_twice::<Once>);
                assert!(
                    relative_error(&found, &expected) < 1e-14,
                    "{found:?} against {expected:?}"
                );
            }
        }
    }
}

/// `∇²Σ(y + y²/4)` of `y = xᵉ` at x = 0, where Burn's rule is 0 · ∞ for the exponents 0 and 1.
#[test]
fn powers_by_a_tensor_at_zero() {
    // y″ + (y′² + y y″)/2 with y = 1, x, x², x³.
    let (exponents, expected) = ([0.0, 1.0, 2.0, 3.0], [0.0, 0.5, 2.0, 0.0]);
    let slopes = [0.0, 1.0, 0.0, 0.0];
    for shape in [vec![4], vec![1]] {
        let inputs =
            vec![Input::Float(shape.clone(), Domain::Plain), super::case::given(&[4], &exponents)];
        let case = Case::new("power", Op::Binary(Binary::Powf), inputs, &[4]);
        let mut draw = Draw::new(&case, 7);
        draw.point = vec![vec![0.0; shape[0]]];
        draw.direction = vec![vec![1.0; shape[0]]];
        draw.weights.iter_mut().flatten().for_each(|weight| *weight = 1.0);
        let over = |values: &[f64; 4]| match shape[0] {
            1 => vec![values.iter().sum()],
            _ => values.to_vec(),
        };
        // The gradient of y + y²/4 is y′·(1 + y/2), and y is 0 wherever y′ is not.
        assert_eq!(gradient(&case, &draw.point, &draw, apply::<Once>), over(&slopes));
        for run in [apply_recorded_twice::<Once> as super::harness::Run<Twice>, apply::<Twice>] {
            assert_eq!(hessian_product(&case, &draw, run), over(&expected));
        }
    }
}

/// The last running product is the product.
#[test]
fn running_products_at_zeros() {
    let point = [1.5, 0.0, -2.0, 0.0, 0.5];
    let (running, mut draw) = plain(Op::Cumulative(Cumulative::Prod, 0), &point, &[5]);
    draw.weights = vec![vec![0.0, 0.0, 0.0, 0.0, 1.0]];
    let (product, mut other) = plain(Op::Reduce(Reduction::Prod), &point, &[1]);
    other.direction.clone_from(&draw.direction);
    let found = hessian_product(&running, &draw, apply_recorded_twice::<Once>);
    assert_eq!(found, hessian_product(&product, &other, apply_recorded_twice::<Once>));
}

/// Far out and at zero: value, slope and curvature of sigmoid and log-sigmoid against closed forms that are exact there.
#[test]
fn sigmoids_in_their_tails() {
    let points = [-800.0, -40.0, -1e-9, 0.0, 3.0, 40.0, 800.0];
    let exact = |x: f64| {
        let e = (-x.abs()).exp();
        let (near, far) = (1.0 / (1.0 + e), e / (1.0 + e));
        let sigmoid = if x > 0.0 { near } else { far };
        (sigmoid, near * far, near * far * (1.0 - 2.0 * sigmoid))
    };
    for (function, run) in [
        (Unary::Sigmoid, apply_recorded_twice::<Once> as super::harness::Run<Twice>),
        (Unary::Sigmoid, apply::<Twice>),
    ] {
        for x in points {
            let (case, mut draw) = plain(Op::Unary(function), &[x], &[1]);
            draw.direction = vec![vec![1.0]];
            let (value, slope, curvature) = exact(x);
            let expected = (1.0 + value / 2.0) * curvature + slope * slope / 2.0;
            let found = hessian_product(&case, &draw, run)[0];
            assert!(
                (found - expected).abs() <= 1e-14 * expected.abs(),
                "at {x}: {found} against {expected}"
            );
        }
    }
}

#[test]
fn log_sigmoid_in_its_tails() {
    for x in [-800.0f64, -40.0, -1e-9, 0.0, 3.0, 40.0, 700.0] {
        let (case, mut draw) = plain(Op::Unary(Unary::LogSigmoid), &[x], &[1]);
        draw.direction = vec![vec![1.0]];
        let e = (-x.abs()).exp();
        let value = x.min(0.0) - e.ln_1p();
        let (near, far) = (1.0 / (1.0 + e), e / (1.0 + e));
        let slope = if x > 0.0 { far } else { near };
        let expected = slope * slope / 2.0 - (1.0 + value / 2.0) * near * far;
        for run in [apply_recorded_twice::<Once> as super::harness::Run<Twice>, apply::<Twice>] {
            let found = hessian_product(&case, &draw, run)[0];
            assert!(
                (found - expected).abs() <= 1e-14 * expected.abs(),
                "at {x}: {found} against {expected}"
            );
        }
    }
}

/// A target longer than its input has no path: infinite loss, no gradient, nothing undefined.
#[test]
fn ctc_loss_without_a_path() {
    use super::case::ints;
    let inputs = vec![real(&[2, 1, 3]), ints(&[1, 2], &[1, 1]), ints(&[1], &[2]), ints(&[1], &[2])];
    let case = Case::new("ctc", Op::CtcLoss { blank: 0 }, inputs, &[1]);
    let outputs = try_outputs::<Flex>(&case, apply::<Flex>).expect("a loss");
    let crate::tensor::Operand::Float(loss) = outputs[0].clone() else { panic!("a float") };
    assert_eq!(numbers::<Flex>(loss), [f64::INFINITY]);
}

/// Both eager and recorded.
fn ways() -> [super::harness::Run<Twice>; 2] {
    [apply_recorded_twice::<Once>, apply_twice::<Once>]
}

/// x⁴ is out of range, 1/x and its derivatives are not: `∇²Σ(y + y²/4)` of `y = 1/x`, of `y = 1/x²` and of `y = a/b`.
#[test]
fn reciprocals_and_quotients_of_large_values() {
    for x in [1e80, -3e90, 1e-60] {
        let (case, mut draw) = plain(Op::Unary(Unary::Recip), &[x], &[1]);
        draw.direction = vec![vec![1.0]];
        let (y, slope, curvature) = (1.0 / x, -1.0 / x / x, 2.0 / x / x / x);
        let expected = (1.0 + y / 2.0) * curvature + slope * slope / 2.0;
        for run in ways() {
            let found = hessian_product(&case, &draw, run);
            assert!((found[0] / expected - 1.0).abs() < 1e-14, "at {x}: {found:?} for {expected}");
        }
    }
    let [a, b] = [3e90, -2e90_f64];
    let quotient = Op::Binary(Binary::Div);
    let operand = || Input::Float(vec![1], Domain::Plain);
    let case = Case::new("quotient", quotient, vec![operand(), operand()], &[1]);
    let mut draw = Draw::new(&case, 7);
    draw.point = vec![vec![a], vec![b]];
    draw.direction = vec![vec![0.0], vec![1.0]];
    draw.weights = vec![vec![1.0]];
    let (y, by_a, by_b) = (a / b, 1.0 / b, -a / b / b);
    let expected = [
        -(1.0 + y / 2.0) / b / b + by_a * by_b / 2.0,
        (1.0 + y / 2.0) * 2.0 * a / b / b / b + by_b * by_b / 2.0,
    ];
    for run in ways() {
        let found = hessian_product(&case, &draw, run);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 1e-14, "{found} for {expected}");
        }
    }
}

/// A quotient that is rounded down or compared must be the same number as in the loss: 49·(1/49) is less than one.
#[test]
fn quotients_are_those_of_a_division() {
    use super::case::given;
    let numbers: Vec<f64> = (1..=200).map(f64::from).collect();
    let count = [numbers.len()];
    for (divisor, quotient) in [(49.0, 49.0), (41.0, 123.0), (10.0, 1.0), (0.3, 0.9)] {
        let expected: Vec<f64> = numbers.iter().map(|x| x * quotient / divisor).collect();
        let x: Vec<f64> = numbers.iter().map(|x| x * quotient).collect();
        let x = given(&count, &x);
        let by_literal = Op::BinaryScalar(Binary::Div, Literal::Float(divisor));
        let cases = [
            Case::new("by a literal", by_literal, vec![x.clone()], &count),
            Case::new(
                "by a tensor",
                Op::Binary(Binary::Div),
                vec![x.clone(), given(&[1], &[divisor])],
                &count,
            ),
            Case::new(
                "by as many",
                Op::Binary(Binary::Div),
                vec![x, given(&count, &vec![divisor; count[0]])],
                &count,
            ),
        ];
        for case in cases {
            let values =
                |outputs: Vec<crate::tensor::Operand<Flex>>| numbers_of(outputs).expect("a float");
            let plain = try_outputs::<Flex>(&case, apply::<Flex>).expect("a quotient");
            assert_eq!(values(plain), expected, "{}", case.name);
            for run in ways() {
                let outputs = try_outputs::<Twice>(&case, run).expect("a quotient");
                let found = outputs.into_iter().map(below).collect();
                assert_eq!(values(found), expected, "{}", case.name);
            }
        }
    }
}

/// So must a mean: of ones it is one, which the sum of seven sevenths in each direction is not.
#[test]
fn means_are_those_of_a_pool() {
    use super::case::given;
    use crate::graph::PoolWindow;
    let ones = given(&[1, 1, 9, 9], &[1.0; 81]);
    let window = PoolWindow {
        kernel: vec![7; 2],
        stride: vec![1; 2],
        padding: vec![0; 2],
        dilation: vec![1; 2],
        ceil_mode: false,
    };
    let pool = Op::AvgPool { window, count_include_pad: true };
    let case = Case::new("mean", pool, vec![ones], &[1, 1, 3, 3]);
    let outputs = try_outputs::<Twice>(&case, apply_recorded_twice::<Once>).expect("means");
    let found = numbers_of(outputs.into_iter().map(below).collect());
    assert_eq!(found.expect("a float"), [1.0; 9]);
}

/// x² is out of range where the third derivative of GELU is zero.
#[test]
fn gelu_backward_of_large_values() {
    use super::case::given;
    let operand = Input::Float(vec![1], Domain::Plain);
    let inputs = vec![operand, given(&[1], &[1.0])];
    let case = Case::new("gelu", Op::Binary(Binary::GeluBackward), inputs, &[1]);
    let mut draw = Draw::new(&case, 7);
    draw.direction = vec![vec![1.0]];
    for x in [-1e200, 1e200] {
        draw.point = vec![vec![x]];
        for run in ways() {
            assert_eq!(hessian_product(&case, &draw, run), [0.0], "at {x}");
        }
    }
}

fn numbers_of(outputs: Vec<crate::tensor::Operand<Flex>>) -> Option<Vec<f64>> {
    outputs.into_iter().next()?.into_float().ok().map(numbers::<Flex>)
}

fn below(operand: crate::tensor::Operand<Twice>) -> crate::tensor::Operand<Flex> {
    use burn_backend::AutodiffBackend;
    let tensor = operand.into_float().expect("a float");
    crate::tensor::Operand::Float(Once::inner(Twice::inner(tensor)))
}

/// The reciprocal of the divisor overflows, the quotient does not.
#[test]
fn division_by_a_tiny_literal() {
    let op = Op::BinaryScalar(Binary::Div, Literal::Float(1e-310));
    let case =
        Case::new("quotient", op, vec![super::case::given(&[2], &[3e-310, -0.5e-310])], &[2]);
    let outputs = try_outputs::<Flex>(&case, apply::<Flex>).expect("a quotient");
    let crate::tensor::Operand::Float(quotient) = outputs[0].clone() else { panic!("a float") };
    let error = relative_error(&numbers::<Flex>(quotient), &[3.0, -0.5]);
    assert!(error < 1e-9, "{error}");
}

/// In f32 the sigmoid is the backend's own.
#[test]
fn sigmoid_in_single_precision() {
    use burn_backend::{AutodiffBackend, Shape, TensorData, ops::FloatTensorOps};
    let device = Default::default();
    for x in [-90.0f32, -3.0, 0.0, 0.7, 20.0] {
        let data = TensorData::new(vec![x], Shape::from(vec![1]));
        let inner = Once::float_set_require_grad(Once::float_from_data(data, &device), true);
        let outer = Twice::float_set_require_grad(Twice::from_inner(inner.clone()), true);
        let ty = crate::graph::ValueType {
            shape: Shape::from(vec![1]),
            dtype: burn_backend::DType::F32,
        };
        let inputs = vec![crate::tensor::Operand::Float(outer.clone())];
        let outputs =
            apply::<Twice>(&Op::Unary(Unary::Sigmoid), inputs, &[ty], &device).expect("a sigmoid");
        let y = outputs[0].clone().into_float().expect("a float");
        let gradients = Twice::backward(y);
        let slope = Twice::grad(&outer, &gradients).expect("a gradient");
        let gradients = Once::backward(slope);
        let found = numbers::<Flex>(Once::grad(&inner, &gradients).expect("a gradient"))[0];
        let s = 1.0 / (1.0 + (-f64::from(x)).exp());
        let expected = s * (1.0 - s) * (1.0 - 2.0 * s);
        assert!((found - expected).abs() < 1e-7, "at {x}: {found} against {expected}");
    }
}
