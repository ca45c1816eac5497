//! Memory of a device, where its allocator reports it.

use burn::tensor::Device;

/// Bytes that the allocator of a device has taken for `run`, besides those that were in use before it. Pages that it keeps for
/// later use count too, so that this is an upper bound of the peak. `None` where a device does not tell: Burn's backends for
/// the CPU.
pub fn reserved_bytes(device: &Device, run: impl FnOnce()) -> Option<u64> {
    device.sync().ok()?;
    device.memory_cleanup();
    device.sync().ok()?;
    let before = device.memory_pool_usage()?.bytes_in_use;
    run();
    device.sync().ok()?;
    Some(device.memory_pool_usage()?.bytes_reserved.saturating_sub(before))
}
