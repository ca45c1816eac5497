//! Running statistics and other buffers are values of the model: an objective holds them, and takes them from a model.

use burn::{
    backend::{Autodiff, Dispatch, Flex, NdArray},
    module::{Module, Param, RunningState},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, GaussNewton, LinearOperator, Objective, ParamVector, Reduction,
    backend::ProgramBackend,
    errors::{ObjectiveError, ParamError},
};

use super::{B, autodiff, failure, hessian};

/// A normalization, a frozen table with an index, and what is trained.
#[derive(Module, Debug)]
struct Net {
    first: Linear,
    norm: BatchNorm,
    frozen: Param<Tensor<1>>,
    chosen: Param<Tensor<1, Int>>,
    keep: Param<Tensor<1, Bool>>,
}

fn net(device: &Device, [scale, statistic, frozen]: [f32; 3]) -> Net {
    let mut first = LinearConfig::new(1, 2).with_bias(false).init(device);
    first.weight = Param::from_tensor(Tensor::from_floats([[scale, -scale]], device));
    let mut norm = BatchNormConfig::new(2).with_epsilon(1e-12).init(device);
    norm.running_mean = RunningState::new(Tensor::from_floats([statistic, 0.0], device));
    norm.running_var = RunningState::new(Tensor::from_floats([statistic * statistic, 1.0], device));
    let frozen = Tensor::from_floats([frozen, 100.0], device).set_require_grad(false);
    Net {
        first,
        norm,
        frozen: Param::from_tensor(frozen).set_require_grad(false),
        chosen: Param::initialized(burn::module::ParamId::new(), Tensor::from_ints([0], device)),
        keep: Param::initialized(
            burn::module::ParamId::new(),
            Tensor::<1>::from_floats([1.0, 0.0], device).greater_elem(0.5),
        ),
    }
}

/// z = (w x − m)/s of the first channel, times the chosen entry of the frozen table; ℒ = ½ Σ z².
fn loss(model: &Net, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let z = model.norm.forward(model.first.forward(x));
    let dropped = model.keep.val().bool_not().unsqueeze::<2>().expand(z.dims());
    let z = z.mask_fill(dropped, 0.0);
    let z = z * model.frozen.val().select(0, model.chosen.val()).unsqueeze::<2>();
    (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
}

fn batch(device: &Device) -> Tensor<2> {
    Tensor::from_floats([[1.0], [3.0]], device)
}

fn first<B: AutodiffBackend<InnerBackend: ProgramBackend>>(
    objective: &Objective<B>,
) -> ParamVector<B> {
    let space = objective.parameters().space();
    let mut unit = vec![0.0; objective.layout().len()];
    unit[0] = 1.0;
    space.vector(&unit).unwrap()
}

/// With w = c, statistics m and s = m and frozen f: ∂²ℒ/∂w² = f²/m² Σx², Σx² = 10.
fn second_derivative<B: AutodiffBackend<InnerBackend: ProgramBackend>>(
    objective: &Objective<B>,
) -> f64 {
    objective.hessian_vector_product(&first(objective)).unwrap().to_vec().unwrap()[0]
}

/// All buffers of a model are those of the model that is handed in, on every backend and in f64.
fn buffers_are_taken<B: AutodiffBackend<InnerBackend: ProgramBackend>>(device: &Device) {
    let device = device.clone().autodiff();
    let config = CaptureConfig::new().evaluation();
    let (early, late) = (net(&device, [1.0, 2.0, 3.0]), net(&device, [0.5, 4.0, 5.0]));
    let objective = Objective::<B>::capture_with(&config, &early, batch(&device), loss).unwrap();
    let f64_too = objective.in_f64().unwrap();
    let (before, after) = (10.0 * 9.0 / 4.0, 10.0 * 25.0 / 16.0);
    for objective in [&objective, &f64_too] {
        assert!((second_derivative(objective) - before).abs() < 1e-5 * before);
        let later = objective.at_model(&late).unwrap();
        assert!((second_derivative(&later) - after).abs() < 1e-5 * after);
        let product = GaussNewton::new(&later).unwrap();
        let found = product.apply(&first(&later)).unwrap().to_vec().unwrap()[0];
        assert!((found - after).abs() < 1e-5 * after, "{found}");
        // A validation copy holds the same, and so do batches and data sets made from there on.
        let valid = later.at_model(&late.valid()).unwrap();
        assert_eq!(valid.value().unwrap(), later.value().unwrap());
        let other = later.on(batch(&device)).unwrap();
        assert_eq!(other.value().unwrap(), later.value().unwrap());
        let all = later.over([batch(&device), batch(&device)], Reduction::Sum).unwrap();
        assert!((second_derivative(&all) - 2.0 * after).abs() < 1e-5 * after);
        let back = all.at_model(&early).unwrap();
        assert!((second_derivative(&back) - 2.0 * before).abs() < 1e-5 * before);
    }
}
#[test]
fn buffers_are_taken_from_the_model_on_every_backend() {
    buffers_are_taken::<Autodiff<NdArray>>(&Device::ndarray());
    buffers_are_taken::<Autodiff<Flex>>(&Device::flex());
    buffers_are_taken::<Autodiff<Dispatch>>(&Device::default());
}

/// The truth is a fresh recording.
#[test]
fn at_a_model_is_what_a_new_recording_is() {
    let device = autodiff();
    let config = CaptureConfig::new().evaluation();
    let capture = |model: &Net| config.init(model, batch(&device), loss).unwrap().in_f64().unwrap();
    let (early, late) = (net(&device, [1.0, 2.0, 3.0]), net(&device, [0.5, 4.0, 5.0]));
    let moved = capture(&early).at_model(&late).unwrap();
    let again = capture(&late);
    assert_eq!(moved.value().unwrap(), again.value().unwrap());
    assert_eq!(hessian(&moved), hessian(&again));
    // It is an objective of the model handed in.
    assert_eq!(moved.layout(), again.layout());
    assert!(moved.gradient().unwrap().add_to(&late, -0.1).is_ok());
    assert!(moved.gradient().unwrap().add_to(&early, -0.1).is_err());
}

#[test]
fn parameters_alone_are_refused_where_statistics_belong_to_them() {
    let config = CaptureConfig::new().evaluation();
    let model = net(&autodiff(), [1.0, 2.0, 3.0]);
    let objective = config.init(&model, batch(&autodiff()), loss).unwrap();
    let other = objective.parameters().clone().scale(2.0);
    let error = objective.at(&other);
    let buffers = ["norm.running_mean", "norm.running_var"].map(str::to_string).to_vec();
    assert_eq!(failure(&error), Some(&ObjectiveError::RunningStatistics { buffers }));
    assert!(failure::<_, ObjectiveError>(&error).unwrap().to_string().contains("at_model"));
    // γ = 2 times that.
    assert_eq!(second_derivative(&objective.at_keeping_buffers(&other).unwrap()), 90.0);
    // A clone shares its running statistics with the model; what was captured does not change with them.
    let before = objective.value().unwrap();
    let trained = model.norm.forward::<2>(model.first.forward(batch(&autodiff())));
    drop(trained);
    let moved = model.valid();
    assert_ne!(super::read(moved.norm.running_mean.value()), [2.0, 0.0]);
    assert_eq!(objective.value().unwrap(), before);
    assert_eq!(objective.on(batch(&autodiff())).unwrap().value().unwrap(), before);
    assert_ne!(objective.at_model(&model).unwrap().value().unwrap(), before);
}

/// What the loss does not read does not matter.
#[test]
fn parameters_alone_will_do_where_no_statistic_is_read() {
    let config = CaptureConfig::new().evaluation();
    let model = net(&autodiff(), [1.0, 2.0, 3.0]);
    let objective = config.init(&model, batch(&autodiff()), |model: &Net, x| {
        model.first.forward(x).powf_scalar(2.0).sum() * 0.5
    });
    let objective = objective.unwrap();
    let other = objective.at(&objective.parameters().clone().scale(2.0)).unwrap();
    assert_eq!(other.value().unwrap(), 4.0 * objective.value().unwrap());
}

/// In training mode the statistics are those of the batch, a function of the parameters.
#[test]
fn parameters_alone_will_do_in_training_mode() {
    let device = autodiff();
    let config = CaptureConfig::new().training(1);
    let capture = |model: &Net| config.init(model, batch(&device), loss).unwrap().in_f64().unwrap();
    let model = net(&device, [1.0, 2.0, 3.0]);
    let objective = capture(&model);
    let moved = objective.at(&objective.parameters().clone().scale(2.0)).unwrap();
    assert!((moved.value().unwrap() / objective.value().unwrap() - 4.0).abs() < 1e-9);
    let doubled = moved.parameters().clone().cast(burn_curvature::Precision::F32);
    let again = capture(&doubled.unwrap().write_to(&model).unwrap());
    assert!((moved.value().unwrap() - again.value().unwrap()).abs() < 1e-9);
    for (found, expected) in hessian(&moved).iter().zip(&hessian(&again)) {
        assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found}, {expected}");
    }
    // Running statistics of another model are not read, its frozen table is.
    let other = objective.at_model(&net(&device, [1.0, 7.0, 3.0])).unwrap();
    assert_eq!(other.value().unwrap(), objective.value().unwrap());
    let other = objective.at_model(&net(&device, [1.0, 7.0, 6.0])).unwrap();
    assert!((other.value().unwrap() / objective.value().unwrap() - 4.0).abs() < 1e-9);
}

/// A frozen weight is no running statistic.
#[test]
fn parameters_alone_will_do_beside_frozen_weights() {
    let mut model = LinearConfig::new(1, 1).init(&autodiff());
    model.weight = model.weight.set_require_grad(false);
    let objective = Objective::capture(&model, batch(&autodiff()), |model: &Linear, x| {
        model.forward(x).powf_scalar(2.0).mean()
    })
    .unwrap();
    assert!(objective.at(&objective.parameters().clone().scale(2.0)).is_ok());
}

#[test]
fn another_architecture_is_refused_part_by_part() {
    let config = CaptureConfig::new().evaluation();
    let device = autodiff();
    let objective = config.init(&net(&device, [1.0, 2.0, 3.0]), batch(&device), loss).unwrap();
    let mut wide = net(&device, [1.0, 2.0, 3.0]);
    wide.norm.running_mean = RunningState::new(Tensor::zeros([3], &device));
    let error = objective.at_model(&wide);
    let Some(ParamError::Changed { changed, report }) = failure(&error) else {
        panic!("{error:?}");
    };
    assert_eq!(changed, &["norm.running_mean"]);
    assert!(report.contains("✓ `norm.running_var`") && report.contains("[3] in place of"));
    let mut unfrozen = net(&device, [1.0, 2.0, 3.0]);
    unfrozen.frozen = unfrozen.frozen.set_require_grad(true);
    let error = objective.at_model(&unfrozen);
    let Some(ParamError::Changed { changed, report }) = failure(&error) else {
        panic!("{error:?}");
    };
    assert_eq!(changed, &["frozen"]);
    assert!(report.contains("requires a gradient now"), "{report}");
    let other = objective.at_model(&wide.first);
    assert!(matches!(failure(&other), Some(ObjectiveError::OtherModel { .. })), "{other:?}");
    let _: &Objective<B> = &objective;
}
