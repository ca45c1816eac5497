//! What all test binaries share: the backends, and oracles that share no code with the library.
#![allow(dead_code, unused_imports, deprecated)] // Not every binary uses everything; Burn deprecates NdArray but still ships it.
#![allow(clippy::unwrap_used)]

pub mod models;
pub mod operators;
pub mod oracle;
pub mod solvers;
pub mod spectrum;
pub mod vectors;

use std::sync::Arc;

use burn::{
    backend::{Autodiff, Dispatch, Flex, NdArray},
    tensor::Device as UserDevice,
};
use burn_backend::{AutodiffBackend, tensor::Device};
use burn_curvature::{ParamLayout, ParamSpace, ParamVector, Precision, TensorBridge};

/// A backend on which the shared test bodies run.
pub trait TestBackend: AutodiffBackend<InnerBackend: TensorBridge> {
    /// The formats that it computes in.
    const PRECISIONS: &'static [Precision];

    /// Its device as users name it.
    fn user_device() -> UserDevice;

    /// Its device as the typed side names it.
    fn device() -> Device<Self> {
        Default::default()
    }
}

impl TestBackend for Autodiff<NdArray> {
    const PRECISIONS: &'static [Precision] = &[Precision::F32, Precision::F64];

    fn user_device() -> UserDevice {
        UserDevice::ndarray()
    }
}

impl TestBackend for Autodiff<Flex> {
    const PRECISIONS: &'static [Precision] = &[Precision::F32, Precision::F64];

    fn user_device() -> UserDevice {
        UserDevice::flex()
    }
}

/// 'Whatever device my tensors are on', here Burn's default one.
impl TestBackend for Autodiff<Dispatch> {
    const PRECISIONS: &'static [Precision] = &[Precision::F32, Precision::F64];

    fn user_device() -> UserDevice {
        UserDevice::default()
    }
}

/// One `#[test]` per body and backend.
#[macro_export]
macro_rules! run_on {
    ($module:ident = $backend:ty, $bodies:ident: $($body:ident),* $(,)?) => {
        mod $module {
            #[allow(unused_imports)]
            use burn::backend::{Autodiff, Dispatch, Flex, NdArray};
            $(#[test]
            fn $body() {
                $crate::common::$bodies::$body::<$backend>();
            })*
        }
    };
}

/// ℝⁿ as one block.
pub fn space<B: TestBackend>(n: usize, precision: Precision) -> ParamSpace<B> {
    ParamSpace::new(&ParamLayout::flat(n).unwrap(), &B::device(), precision).unwrap()
}

/// A vector of one block.
pub fn flat<B: TestBackend>(values: &[f64], precision: Precision) -> ParamVector<B> {
    space(values.len(), precision).vector(values).unwrap()
}

/// A vector of a given layout.
pub fn on<B: TestBackend>(
    layout: &Arc<ParamLayout>,
    values: &[f64],
    precision: Precision,
) -> ParamVector<B> {
    ParamSpace::new(layout, &B::device(), precision).unwrap().vector(values).unwrap()
}

/// ‖a − b‖ / ‖b‖
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    (difference / norm).sqrt()
}

/// Fails with both sides unless they agree to a relative tolerance.
#[track_caller]
pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    let error = relative_error(a, b);
    assert!(error <= tolerance, "relative error {error:e} > {tolerance:e}\n{a:?}\n{b:?}");
}
