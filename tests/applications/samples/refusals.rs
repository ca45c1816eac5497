//! What is refused, and by which error.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, KfacConfig, Likelihood, Loss, Objective,
    errors::{DeriveError, KfacError, ObjectiveError, VectorError},
    kfac::{KfacFisher, SampleGradients},
    operator::{BlockDiagonal, DenseMatrix, Kronecker},
};

use super::{B, device, in_f64, indices, mean_cross_entropy, random};

#[derive(Module, Debug)]
struct One {
    w: Param<Tensor<2>>,
}

fn one(width: usize) -> One {
    in_f64(One { w: Param::from_tensor(Tensor::zeros([4, width], &device())) }, 1)
}

type Pair = (Tensor<2>, Tensor<1, Int>);

fn batch() -> Pair {
    (random([5, 4], 2), indices([5], 3, 3))
}

fn objective(forward: impl Fn(&One, Tensor<2>) -> Tensor<2> + Send + 'static) -> Objective<B> {
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &one(3),
        batch(),
        move |model: &One, (x, y): Pair| mean_cross_entropy(forward(model, x), y),
    );
    objective.unwrap().without_loss_check()
}

fn plain() -> Objective<B> {
    objective(|model, x| x.matmul(model.w.val()))
}

#[test]
fn a_layer_whose_rows_reach_several_samples_is_refused_by_its_name() {
    let mixing = objective(|model, x| {
        let z = x.matmul(model.w.val());
        z.clone() - z.mean_dim(0)
    });
    let error = SampleGradients::new(&mixing).unwrap_err();
    let Some(KfacError::Places { parameter, .. }) = error.downcast_ref() else {
        panic!("{error}");
    };
    assert_eq!(parameter, "w");
}

#[test]
fn a_parameter_whose_gradients_are_not_known_is_refused_by_its_name() {
    let used_otherwise = objective(|model, x| x.matmul(model.w.val().sin()));
    let error = SampleGradients::new(&used_otherwise).unwrap_err();
    let Some(KfacError::SampleGradient { parameter, reason }) = error.downcast_ref() else {
        panic!("{error}");
    };
    assert_eq!(parameter, "w");
    assert!(reason.contains("Sin"), "{reason}");
}

#[test]
fn a_loss_needs_outputs_and_a_reduction() {
    let config = CaptureConfig::new();
    let alone =
        Objective::<B>::capture_with(&config, &one(3), batch(), |model: &One, (x, y): Pair| {
            mean_cross_entropy(x.matmul(model.w.val()), y).1
        });
    let error = SampleGradients::new(&alone.unwrap()).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&DeriveError::NoOutputs));
    let unstated =
        Objective::<B>::capture_with(&config, &one(3), batch(), |model: &One, (x, _): Pair| {
            let z = x.matmul(model.w.val());
            (z.clone(), Loss::from(z.powf_scalar(2.0).mean()))
        });
    let error = SampleGradients::new(&unstated.unwrap()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::NoReduction)), "{error}");
}

#[test]
fn vectors_are_checked() {
    let objective = plain();
    let gradients = SampleGradients::new(&objective).unwrap();
    let error = gradients.inner_products(&objective, &[]).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::NoVectors));

    let space = objective.parameters().space();
    let single = space.ones().cast(burn_curvature::Precision::F32).unwrap();
    let error = gradients.inner_products(&objective, &[single]).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(VectorError::PrecisionMismatch { .. })), "{error}");

    let other = burn_curvature::ParamSpace::<B>::from_shapes([("v", [4, 3])]).unwrap().ones();
    let error = gradients.inner_products(&objective, &[other]).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(VectorError::LayoutMismatch { .. })), "{error}");

    let mut values = vec![1.0; 12];
    values[3] = f64::NAN;
    let vectors = [space.ones(), space.vector(&values).unwrap()];
    let error = gradients.inner_products(&objective, &vectors).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::NonFiniteScores { layer: "w".into() }));

    // Nothing is left behind.
    let found = gradients.inner_products(&objective, &vectors[..1]).unwrap();
    assert_eq!(found, gradients.inner_products(&objective, &vectors[..1]).unwrap());
    assert_eq!(found.part("v"), None);
    assert_eq!(found.part("w"), Some(&found.total()[..]));
}

/// A Kronecker product of one's own, and that of another model.
#[test]
fn operators_are_checked() {
    let objective = plain();
    let gradients = SampleGradients::new(&objective).unwrap();
    let config = KfacConfig::new().with_fisher(KfacFisher::Empirical);
    let of = |objective: &Objective<B>| {
        config.init(objective, Likelihood::Categorical).unwrap().inverse(0.1).unwrap()
    };

    let ones = DenseMatrix::from_rows(&[[1.0; 4]; 4]).unwrap();
    let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let identity = DenseMatrix::from_rows(&identity).unwrap();
    let space = objective.parameters().space();
    let block = BlockDiagonal::per_block(space, |subset| {
        Kronecker::new(&ones, &identity, &space.restricted(subset)?)
    });
    let found = gradients.quadratic_forms(&objective, &block.unwrap()).unwrap().total();
    // The sums of the squares of the columns' sums.
    let columns = [0, 1, 2].map(|column| {
        let values: Vec<f64> = (0..12).map(|i| f64::from(u8::from(i % 3 == column))).collect();
        space.vector(&values).unwrap()
    });
    let sums = gradients.inner_products(&objective, &columns).unwrap().total();
    let expected = sums.chunks(3).map(|sums| sums.iter().map(|sum| sum * sum).sum::<f64>());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");

    let wide = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &one(5),
        batch(),
        |model: &One, (x, y): Pair| mean_cross_entropy(x.matmul(model.w.val()), y),
    );
    let wide = wide.unwrap().without_loss_check();
    let error = gradients.quadratic_forms(&objective, &of(&wide)).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(VectorError::LayoutMismatch { .. })), "{error}");
    let error = gradients.quadratic_forms(&wide, &of(&wide)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::OtherBlocks { parameter: "w".into() }));
}
