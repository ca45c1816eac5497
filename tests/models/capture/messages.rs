//! What refusals say: the cause first, and a way out that works.

use burn::{
    nn::{
        Linear, LinearConfig,
        loss::{CrossEntropyLoss, CrossEntropyLossConfig},
    },
    prelude::*,
    tensor::activation::{log_softmax, sigmoid},
};
use burn_curvature::{Batch, Error, Objective};

use super::{close, device, hessian, refused};

fn x() -> Tensor<2> {
    Tensor::from_data([[1.0, 2.0], [-1.0, 0.5], [0.0, 3.0]], &device())
}

fn classes() -> (Tensor<2>, Tensor<1, Int>) {
    (x(), Tensor::from_data([0, 2, 1], &device()))
}

fn net(outputs: usize) -> Linear {
    LinearConfig::new(2, outputs).init(&device())
}

fn captured<X: Batch + Send + 'static>(
    model: &Linear,
    batch: X,
    loss: impl Fn(&Linear, X) -> Tensor<1> + Send + 'static,
) -> Result<Objective, Error> {
    Objective::capture(model, batch, loss)
}

fn weighted() -> CrossEntropyLossConfig {
    CrossEntropyLossConfig::new().with_weights(Some(vec![1.0, 2.0, 0.5]))
}

/// A batch that leaves its labels where they are.
#[derive(Clone)]
struct Forgetful(Tensor<2>, Tensor<1, Int>);

impl Batch for Forgetful {
    fn map_tensors<M: burn_curvature::BatchMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_tensors(mapper), self.1)
    }
}

#[test]
fn a_field_that_a_batch_of_ones_own_does_not_map() {
    let (x, y) = classes();
    let loss = |m: &Linear, Forgetful(x, y): Forgetful| {
        -log_softmax(m.forward(x), 1).gather(1, y.unsqueeze_dim(1)).mean()
    };
    let message = refused(captured(&net(3), Forgetful(x, y), loss), OUTSIDE);
    assert!(message.contains("map it in `map_tensors`"), "{message}");
}

const OUTSIDE: &str = "the closure uses a tensor or module from outside ";

#[test]
fn modules_and_tensors_from_outside() {
    let other = net(1);
    let by_module =
        move |m: &Linear, x: Tensor<2>| (m.forward(x.clone()) - other.forward(x)).square().mean();
    let message = refused(captured(&net(1), x(), by_module), OUTSIDE);
    assert!(message.contains("(model, other.no_grad())"), "{message}");
    assert!(message.contains("after operation "), "{message}");
    let weights = Tensor::<1>::from_data([1.0, 2.0, 0.5], &device());
    let by_tensor = move |m: &Linear, (x, y): (Tensor<2>, Tensor<1, Int>)| {
        let p = log_softmax(m.forward(x), 1) * weights.clone().unsqueeze();
        -p.gather(1, y.unsqueeze_dim(1)).mean()
    };
    refused(captured(&net(3), classes(), by_tensor), OUTSIDE);
    let criterion = weighted().init(&device());
    let by_criterion = move |m: &Linear, (x, y)| criterion.forward(m.forward(x), y);
    refused(captured(&net(3), classes(), by_criterion), OUTSIDE);
    let mine = x();
    let first = move |m: &Linear, x: Tensor<2>| m.forward(mine.clone() * x).square().mean();
    let message = refused(captured(&net(2), x(), first), OUTSIDE);
    assert!(message.contains("before its first operation"), "{message}");
    let mine = x();
    let moved = move |m: &Linear, x: Tensor<2>| {
        (m.forward(x.clone()) - mine.clone().to_device(&x.device())).square().mean()
    };
    refused(captured(&net(2), x(), moved), OUTSIDE);
}

#[test]
fn the_ways_out_for_modules_work() {
    let (model, other) = (net(1), net(1));
    let loss = |m: &Linear, other: &Linear, x: Tensor<2>| {
        (m.forward(x.clone()) - other.forward(x)).square().mean()
    };
    let tuple = (model.clone(), other.clone().no_grad());
    let tuple = Objective::capture(&tuple, x(), move |m: &(Linear, Linear), x| loss(&m.0, &m.1, x));
    let moved = captured(&model, x(), move |m, x: Tensor<2>| {
        let other = other.valid().to_device(&x.device());
        loss(m, &other, x)
    });
    close(&hessian(&tuple.unwrap()), &hessian(&moved.unwrap()));
}

#[test]
fn the_ways_out_for_tensors_and_criteria_work() {
    let mine = x();
    captured(&net(2), x(), move |m, x| {
        let mine = mine.clone().without_autodiff().to_device(&x.device());
        (m.forward(x) - mine).square().mean()
    })
    .unwrap();
    let model = net(3);
    let inside = captured(&model, classes(), |m, (x, y)| {
        weighted().init(&x.device()).forward(m.forward(x), y)
    });
    let both = (model, weighted().init(&device()));
    let tuple = Objective::capture(
        &both,
        classes(),
        |m: &(Linear, CrossEntropyLoss), (x, y): (Tensor<2>, Tensor<1, Int>)| {
            m.1.forward(m.0.forward(x), y)
        },
    );
    close(&hessian(&inside.unwrap()), &hessian(&tuple.unwrap()));
}

const READS: &str = "the closure may not read values while it is recorded, but reads those of ";

#[test]
fn one_hot_is_a_comparison() {
    let one_hot = captured(&net(3), classes(), |m, (x, y)| {
        (sigmoid(m.forward(x)) * y.one_hot::<2>(3).float()).sum()
    });
    drop(one_hot.unwrap());
    let compared = captured(&net(3), classes(), |m, (x, y)| {
        let classes = Tensor::<1, Int>::arange(0..3, &y.device()).unsqueeze::<2>();
        (sigmoid(m.forward(x)) * classes.equal(y.unsqueeze_dim(1)).float()).sum()
    });
    drop(compared.unwrap());
    // A count that becomes a shape is looked at, and no move.
    let counted = captured(&net(3), classes(), |m, (x, y)| {
        let rows: i64 = y.max().into_scalar();
        m.forward(x).narrow(0, 0, rows as usize).square().sum()
    });
    let message =
        refused(counted, &format!("{READS}a result of `Max` (int, shape [1]): integers may be"));
    assert!(message.contains("plain number"), "{message}");
}

#[test]
fn a_read_value_is_named_and_a_tensor_works() {
    let read = captured(&net(1), x(), |m, x| {
        let z = m.forward(x);
        let shift: f32 = z.clone().max().into_scalar();
        (z - shift).exp().sum().log()
    });
    refused(read, &format!("{READS}a result of `Max` (float, shape [1]): keep it a tensor"));
    captured(&net(1), x(), |m, x| {
        let z = m.forward(x);
        let shift = z.clone().max();
        (z - shift.clone().unsqueeze()).exp().sum().log() + shift
    })
    .unwrap();
    let guarded = captured(&net(1), x(), |m, x| {
        let loss = m.forward(x).square().mean();
        let value: f32 = loss.clone().into_scalar();
        if value.is_nan() { loss * 0.0 } else { loss }
    });
    refused(guarded, READS);
    captured(&net(1), x(), |m, x| {
        let loss = m.forward(x).square().mean();
        if loss.clone().is_nan().any().into_scalar::<bool>() { loss * 0.0 } else { loss }
    })
    .unwrap();
}

#[test]
fn derivatives_in_the_closure_are_named() {
    let residual = captured(&net(1), x(), |m, x| {
        let x = x.require_grad();
        let slopes = m.forward(x.clone()).sum().backward();
        (Tensor::<2>::from_inner(x.grad(&slopes).unwrap()) * m.forward(x)).square().sum()
    });
    let message = refused(residual, "the closure calls `require_grad` or `backward`");
    assert!(message.contains("chain rule"), "{message}");
}

#[test]
fn sizes_that_do_not_fit_are_named_without_other_advice() {
    let y = Tensor::<2>::zeros([2, 1], &device());
    let unequal = captured(&net(1), (x(), y), |m, (x, y)| (m.forward(x) - y).square().mean());
    let message = refused(unequal, "the closure panicked while it was recorded: Operation: 'Sub'");
    assert!(!message.contains("into_scalar") && !message.contains('\n'), "{message}");
}

#[test]
fn a_batch_on_another_backend_is_named() {
    let device = Device::ndarray();
    let x = Tensor::<2>::zeros([3, 2], &device);
    let error = captured(&net(1), x, |m, x| m.forward(x).sum()).unwrap_err().to_string();
    assert!(error.contains("Flex") && error.contains("NdArray"), "{error}");
}
