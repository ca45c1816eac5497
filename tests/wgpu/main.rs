//! Everything that runs on wgpu, and nothing else, so that a build with wgpu instantiates no other backend's tests: the
//! bodies of `tests/algebra` that name it, and objectives of models against values on the CPU.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.
#![allow(dead_code, unused_imports)] // Bodies that do not name wgpu.

/// As in `tests/support/backends.rs`, with wgpu in place of the other backends.
macro_rules! on_backends {
    ($body:ident: $($backend:ident),+) => {
        mod $body {
            $(on_backends!(@ $backend $body);)+
        }
    };
    (@ wgpu $body:ident) => {
        #[test]
        fn wgpu() {
            if $crate::wgpu_device::device().is_some() {
                super::$body::<burn::backend::Autodiff<burn::backend::Cube>>();
            }
        }
    };
    (@ $backend:ident $body:ident) => {};
}

#[allow(unused_macros)]
#[path = "../support/backends.rs"]
mod backends;
#[path = "../support/compare.rs"]
mod compare;
#[path = "../support/dense.rs"]
mod dense;
#[path = "../support/failure.rs"]
mod failure;
#[path = "../support/models/mod.rs"]
mod models;
mod objectives;
#[path = "../algebra/operators/mod.rs"]
mod operators;
#[path = "../support/oracle.rs"]
mod oracle;
#[path = "../support/plain.rs"]
mod plain;
#[path = "../support/random.rs"]
mod random;
mod ranks;
#[path = "../support/shares.rs"]
mod shares;
#[path = "../algebra/solvers/mod.rs"]
mod solvers;
#[path = "../algebra/spectrum/mod.rs"]
mod spectrum;
#[path = "../support/wgpu_device.rs"]
mod wgpu_device;

use backends::{TestBackend, flat, flat_space, on, space_of};
use burn::{
    backend::{Autodiff, Cube},
    tensor::Device,
};
use burn_curvature::Precision;
use compare::relative_error;
use oracle::assert_close;

impl TestBackend for Autodiff<Cube> {
    const PRECISIONS: &'static [Precision] = &[Precision::F32];

    fn user_device() -> Device {
        wgpu_device::device().expect("asked for only where there is one")
    }
}
