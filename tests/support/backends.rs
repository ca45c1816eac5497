//! The backends on which a test body runs, and vectors on them.

use std::sync::Arc;

use burn::{
    backend::{Autodiff, Dispatch, Flex, NdArray},
    tensor::Device as UserDevice,
};
use burn_backend::{AutodiffBackend, tensor::Device};
use burn_curvature::{ParamLayout, ParamSpace, ParamVector, Precision, backend::ProgramBackend};

/// A backend on which the shared test bodies run.
pub trait TestBackend: AutodiffBackend<InnerBackend: ProgramBackend> {
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

/// One `#[test]` per backend for the body above, `fn body<B: TestBackend>()`: `on_backends!(body: ndarray, flex)`. The
/// tests are called after their backends: `body::flex`.
macro_rules! on_backends {
    ($body:ident: $($backend:ident),+) => {
        mod $body {
            $(on_backends!(@ $backend $body);)+
        }
    };
    (@ ndarray $body:ident) => {
        #[test]
        fn ndarray() {
            super::$body::<burn::backend::Autodiff<burn::backend::NdArray>>();
        }
    };
    (@ flex $body:ident) => {
        #[test]
        fn flex() {
            super::$body::<burn::backend::Autodiff<burn::backend::Flex>>();
        }
    };
    (@ dispatch $body:ident) => {
        #[test]
        fn dispatch() {
            super::$body::<burn::backend::Autodiff<burn::backend::Dispatch>>();
        }
    };
    (@ wgpu $body:ident) => {}; // In `tests/wgpu`, which has a macro of its own.
}

/// ℝⁿ as one block.
pub fn flat_space<B: TestBackend>(n: usize, precision: Precision) -> ParamSpace<B> {
    ParamSpace::new(&ParamLayout::flat(n).unwrap(), &B::device(), precision).unwrap()
}

/// The space of a given layout.
pub fn space_of<B: TestBackend>(layout: &Arc<ParamLayout>, precision: Precision) -> ParamSpace<B> {
    ParamSpace::new(layout, &B::device(), precision).unwrap()
}

/// A vector of one block.
pub fn flat<B: TestBackend>(values: &[f64], precision: Precision) -> ParamVector<B> {
    flat_space(values.len(), precision).vector(values).unwrap()
}

/// A vector of a given layout.
pub fn on<B: TestBackend>(
    layout: &Arc<ParamLayout>,
    values: &[f64],
    precision: Precision,
) -> ParamVector<B> {
    space_of(layout, precision).vector(values).unwrap()
}
