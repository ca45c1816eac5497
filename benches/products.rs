//! Time and memory of products with a model, compared with the plain Burn gradient of the same model and batch in one
//! interleaved run.
//!
//! ```text
//! cargo bench --bench products -- [--quick] [part of a name, such as flex or mlp; with --exact a whole one, mlp.flex]
//! cargo bench --bench products -- --export=FOLDER
//! ```
//!
//! Prints one figure per line, `<model>.<backend>.<figure> = <value>`; each median is followed by its quartiles,
//! `<figure>_q1` and `<figure>_q3`; ratios to a gradient also by the ratio of the shortest times, `<figure>_min`. The second
//! form measures nothing: it writes the problems for the programs in `benches/peers`.
#![allow(clippy::print_stdout)]

#[cfg(feature = "flex")]
#[path = "../tests/support/counted_steps.rs"]
mod counted_steps;
#[cfg(feature = "flex")]
#[path = "../tests/support/counting.rs"]
mod counting;
mod data_set;
#[cfg(feature = "flex")]
mod export;
mod figures;
#[cfg(feature = "flex")]
mod floor;
mod harness;
mod influence;
mod kfac;
#[cfg(feature = "flex")]
mod launches;
#[cfg(feature = "flex")]
mod listing;
mod materialize;
mod matmul;
#[path = "../tests/support/models/mod.rs"]
mod models;
mod operators;
#[path = "../tests/support/random.rs"]
mod random;

use burn::{backend::Autodiff, module::Module, tensor::Device};
use burn_backend::AutodiffBackend;
use burn_curvature::{Batch, backend::ProgramBackend};

use figures::Figures;
use harness::device::reserved_bytes;
use harness::memory::{CountingAllocator, peak_bytes};
use harness::{Plan, Rounds};
use models::{Case, cnn, mlp, tiny, transformer};
use operators::{Products, steps::STEPS};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The unit of all figures but times and memory.
const GRADIENT: &str = "gradient";
const BYTES_PER_MEGABYTE: f64 = 1e6;
/// Makes the Hessians here definite enough for twenty steps.
const DAMPING: f64 = 1.0;

/// The command line.
struct Request {
    plan: Plan,
    filter: String,
    exact: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(feature = "flex")]
    if let Some(folder) = export::folder(&arguments) {
        let backend = ("flex", Device::flex());
        return export::write::<Autodiff<burn::backend::Flex>>(folder, &backend)
            .expect("the folder can be written to");
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let request = Request {
        plan: if quick { Plan::QUICK } else { Plan::FULL },
        exact: arguments.iter().any(|argument| argument == "--exact"),
        filter: arguments
            .into_iter()
            .find(|argument| !argument.starts_with("--"))
            .unwrap_or_default(),
    };
    #[cfg(feature = "flex")]
    on_backend::<Autodiff<burn::backend::Flex>>("flex", &Device::flex(), &request);
    #[cfg(feature = "ndarray")]
    #[allow(deprecated, reason = "ndarray is deprecated in Burn 0.22, not gone")]
    on_backend::<Autodiff<burn::backend::NdArray>>("ndarray", &Device::ndarray(), &request);
    #[cfg(feature = "wgpu")]
    if let Ok(device) = Device::wgpu_options().init() {
        on_backend::<Autodiff<burn::backend::Cube>>("wgpu", &device, &request);
    }
}

/// Measures all requested models on one backend.
fn on_backend<B: AutodiffBackend>(name: &'static str, device: &Device, request: &Request)
where
    B::InnerBackend: ProgramBackend,
{
    let asked = |model: &str| {
        let name = format!("{model}.{name}");
        if request.exact { name == request.filter } else { name.contains(&request.filter) }
    };
    let backend = (name, device.clone());
    if asked("kfac.mlp") {
        kfac::measure::<B, _, _>(&backend, request.plan, &mlp::case(&device.clone().autodiff()));
    }
    if asked("kfac.cnn") {
        kfac::measure::<B, _, _>(&backend, request.plan, &cnn::case(&device.clone().autodiff()));
    }
    if asked("kfac.transformer") {
        let case = transformer::case(&device.clone().autodiff());
        kfac::measure::<B, _, _>(&backend, request.plan, &case);
    }
    if asked("influence.mlp") {
        influence::measure::<B>(&backend, request.plan);
    }
    if asked("materialize") {
        materialize::measure::<B>(&backend, request.plan);
    }
    if asked("matmul") {
        matmul::measure(&backend, request.plan);
    }
    if asked("mlp") {
        measure::<B, _, _>(&backend, request.plan, mlp::case);
    }
    if asked("cnn") {
        measure::<B, _, _>(&backend, request.plan, cnn::case);
    }
    if asked("transformer") {
        measure::<B, _, _>(&backend, request.plan, transformer::case);
    }
    if asked("tiny") {
        measure::<B, _, _>(&backend, request.plan, tiny::case);
    }
    if asked("data20") {
        data_set::measure::<B>(&backend, request.plan);
    }
}

/// A device without autodiff and its name in figures.
type Backend = (&'static str, Device);

/// Measures all figures of one model on one backend and prints them.
fn measure<B, M, X>((backend, device): &Backend, plan: Plan, case: fn(&Device) -> Case<M, X>)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let case = case(&device.clone().autodiff());
    let gradient = || finish(device, case.forward().backward());
    let products = Products::<B>::new(&case);
    let mut rounds = Rounds::default();
    rounds.add(GRADIENT, gradient);
    products.add_to(&mut rounds, device);
    products.add_outputs_to(&mut rounds, device);
    #[cfg(feature = "flex")] // whose threads these are
    products.add_floors_to(&mut rounds);
    let samples = rounds.measure(plan);

    let figures = Figures::new(case.name, backend);
    let seconds = samples.seconds(GRADIENT);
    figures.milliseconds("gradient_ms", seconds);
    figures.rate("gradient_gflops", case.gradient_flops, seconds);
    for figure in [
        "loss",
        "gradient_program",
        "hv",
        "hv_prepare",
        "hv_eager",
        "cg20",
        "ggn",
        "ggn_prepare",
        "jvp",
        "vjp",
        "cg20_ggn",
    ] {
        figures.quartiles(figure, samples.ratio(figure, GRADIENT));
        let shortest = samples.ratio_of_shortest(figure, GRADIENT);
        figures.value(&format!("{figure}_min"), shortest);
    }
    for (many, one) in [("hv_many16", "hv"), ("ggn_many16", "ggn")] {
        figures.quartiles(many, samples.ratio(many, one));
        figures.value(&format!("{many}_min"), samples.ratio_of_shortest(many, one));
    }
    #[cfg(feature = "flex")] // the counting backend computes on Flex
    launches::print(&figures, &products.program(), products.vector.layout(), DAMPING);
    for figure in ["gradient_program", "hv", "hv_many16", "ggn", "jvp", "vjp", "cg20", "cg20_ggn"] {
        figures.milliseconds(&format!("{figure}_ms"), samples.seconds(figure));
    }
    #[cfg(feature = "flex")]
    for figure in ["hv_floor", "ggn_floor"] {
        figures.milliseconds(&format!("{figure}_ms"), samples.seconds(figure));
    }
    figures.quartiles("cg_overhead", samples.overhead("cg20", "hv", STEPS));
    let overhead = samples.overhead("cg20_ggn", "ggn", STEPS);
    figures.quartiles("cg_overhead_ggn", overhead);
    figures.rate("hv_gflops", products.flops(), samples.seconds("hv"));
    figures.value("gradient_peak_mb", megabytes(gradient));
    figures.value("peak_mb", megabytes(|| products.prepare_and_multiply()));
    let of_gradient = reserved_bytes(device, || {
        gradient();
        finish(device, ());
    });
    let of_product = reserved_bytes(device, || products.prepare_and_multiply());
    for (figure, bytes) in
        [("device_gradient_peak_mb", of_gradient), ("device_peak_mb", of_product)]
    {
        if let Some(bytes) = bytes {
            figures.value(figure, bytes as f64 / BYTES_PER_MEGABYTE);
        }
    }
}

fn megabytes(run: impl FnOnce()) -> f64 {
    peak_bytes(run) as f64 / BYTES_PER_MEGABYTE
}

/// Waits for the device, so that the time of `result` is the time of its work.
fn finish<T>(device: &Device, result: T) {
    device.sync().expect("the device is lost");
    std::hint::black_box(result);
}
