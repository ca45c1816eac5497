//! Vectors of several backends and devices side by side.

use burn::backend::{Autodiff, Dispatch, DispatchDevice, Flex, NdArray};
use burn_curvature::{
    ParamLayout, ParamSpace, ParamVector, Precision,
    errors::{ParamError, VectorError},
};

use super::models::Mlp;
use crate::{TestBackend, flat};

/// A seed gives the same numbers on every backend, and these very numbers.
#[test]
fn seeds_are_the_same_everywhere() {
    for precision in [Precision::F32, Precision::F64] {
        let a = flat::<Autodiff<NdArray>>(&[0.0; 100], precision);
        let b = flat::<Autodiff<Flex>>(&[0.0; 100], precision);
        for seed in [0, 7] {
            assert_eq!(
                a.space().normal(seed).to_vec().unwrap(),
                b.space().normal(seed).to_vec().unwrap()
            );
            assert_eq!(
                a.space().rademacher(seed).to_vec().unwrap(),
                b.space().rademacher(seed).to_vec().unwrap()
            );
        }
    }
}

/// On `Dispatch` the device decides; vectors of two devices do not mix.
#[test]
fn dispatch_keeps_devices_apart() {
    type Any = Autodiff<Dispatch>;
    let layout = ParamLayout::flat(2).unwrap();
    let on = |device: DispatchDevice| {
        ParamSpace::<Any>::new(&layout, &device, Precision::F32)
            .unwrap()
            .vector(&[3.0, 4.0])
            .unwrap()
    };
    let flex = on(DispatchDevice::Flex(Default::default()));
    let ndarray = on(DispatchDevice::NdArray(Default::default()));
    assert_eq!(flex.norm().unwrap(), 5.0);
    assert_eq!(ndarray.norm().unwrap(), 5.0);
    assert!(matches!(flex.dot(&ndarray), Err(VectorError::DeviceMismatch { .. })));
    let recording = <Autodiff<Flex> as TestBackend>::user_device().autodiff();
    let refused = ParamSpace::<Any>::new(&layout, recording.as_dispatch(), Precision::F32);
    assert!(matches!(refused, Err(VectorError::AutodiffDevice { .. })));
}

/// On `Dispatch` a model on any device is taken; a typed backend refuses a model that lives elsewhere.
#[test]
fn models_on_other_backends() {
    let device = <Autodiff<Flex> as TestBackend>::user_device().autodiff();
    let model = Mlp::new(&device);
    let theta = ParamVector::<Autodiff<Dispatch>>::from_module(&model).unwrap();
    let typed = ParamVector::<Autodiff<Flex>>::from_module(&model).unwrap();
    assert_eq!(theta.to_vec().unwrap(), typed.to_vec().unwrap());
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert_eq!(
        ParamVector::<Autodiff<Flex>>::from_module(&stepped).unwrap().to_vec().unwrap(),
        typed.scale(2.0).to_vec().unwrap()
    );
    let error = ParamVector::<Autodiff<NdArray>>::from_module(&model).unwrap_err();
    assert!(matches!(error, ParamError::Bridge(_)), "{error}");
}
