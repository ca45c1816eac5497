//! The wgpu device, where there is one. Without an adapter the tests on it skip with a message, unless
//! `BURN_CURVATURE_REQUIRE_WGPU` is set: then they fail.

use std::sync::OnceLock;

use burn::tensor::Device;

/// The default wgpu device, or nothing where there is none and none is required.
pub fn device() -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let initialize = || Device::wgpu_options().init().map_err(|error| error.to_string());
    let device = DEVICE.get_or_init(initialize);
    if let Err(reason) = device {
        let required = std::env::var_os("BURN_CURVATURE_REQUIRE_WGPU").is_some();
        assert!(!required, "wgpu is required and missing: {reason}");
        eprintln!("skipped, no wgpu device: {reason}");
    }
    device.as_ref().ok().cloned()
}
