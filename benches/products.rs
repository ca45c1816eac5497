//! Times and memory of products with a model, in one interleaved run, beside the
//! plain Burn gradient of the same model and batch.
//!
//! ```text
//! cargo bench --bench products -- [--quick] [part of a name, such as flex or mlp]
//! ```
//!
//! Prints one figure a line, `<model>.<backend>.<figure> = <value>`; each median
//! is followed by its quartiles, `<figure>_q1` and `<figure>_q3`.
#![allow(clippy::print_stdout)]

mod figures;
mod harness;
mod matmul;
#[path = "../examples/support/mod.rs"]
mod support;

use burn::tensor::Device;

use figures::Figures;
use harness::memory::{CountingAllocator, peak_bytes};
use harness::{Plan, Rounds};
use support::models::{Case, cnn, mlp, tiny, transformer};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The unit of all figures but times and memory.
const GRADIENT: &str = "gradient";
/// The loss alone, without autodiff.
const FORWARD: &str = "forward";
const BYTES_PER_MEGABYTE: f64 = 1e6;

/// A device without autodiff and its name in figures.
type Backend = (&'static str, Device);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let plan = if quick { Plan::QUICK } else { Plan::FULL };
    let filter = arguments
        .into_iter()
        .find(|argument| !argument.starts_with("--"))
        .unwrap_or_default();

    for backend in &backends() {
        let run = |model: &str| format!("{model}.{}", backend.0).contains(&filter);
        if run("matmul") {
            matmul::measure(backend, plan);
        }
        if run("mlp") {
            measure(backend, plan, mlp::case);
        }
        if run("cnn") {
            measure(backend, plan, cnn::case);
        }
        if run("transformer") {
            measure(backend, plan, transformer::case);
        }
        if run("tiny") {
            measure(backend, plan, tiny::case);
        }
    }
}

/// The backends of this build; wgpu only where there is an adapter.
#[allow(deprecated, reason = "ndarray is deprecated in Burn 0.22, not gone")]
fn backends() -> Vec<Backend> {
    [
        #[cfg(feature = "flex")]
        Some(("flex", Device::flex())),
        #[cfg(feature = "ndarray")]
        Some(("ndarray", Device::ndarray())),
        #[cfg(feature = "wgpu")]
        Device::wgpu_options()
            .init()
            .ok()
            .map(|device| ("wgpu", device)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Measures all figures of one model on one backend and prints them.
fn measure<M, B: Clone>((backend, device): &Backend, plan: Plan, case: fn(&Device) -> Case<M, B>) {
    let plain = case(device);
    let case = case(&device.clone().autodiff());
    let gradient = || finish(device, case.forward().backward());
    let mut rounds = Rounds::default();
    rounds.add(GRADIENT, gradient);
    rounds.add(FORWARD, || finish(device, plain.forward()));
    let samples = rounds.measure(plan);

    let figures = Figures::new(case.name, backend);
    let seconds = samples.seconds(GRADIENT);
    figures.milliseconds("gradient_ms", seconds);
    figures.rate("gradient_gflops", case.gradient_flops, seconds);
    figures.value(
        "gradient_peak_mb",
        peak_bytes(gradient) as f64 / BYTES_PER_MEGABYTE,
    );
    figures.quartiles(FORWARD, samples.ratio(FORWARD, GRADIENT));
}

/// Waits for the device, so that the time of `result` is the time of its work.
fn finish<T>(device: &Device, result: T) {
    device.sync().expect("the device is lost");
    std::hint::black_box(result);
}
