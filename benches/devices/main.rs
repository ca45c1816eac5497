//! Time and memory of products and of K-FAC on one device, with models from small to large, compared with the plain Burn
//! gradient of the same model and batch on the same device.
//!
//! ```text
//! cargo bench --bench devices -- [--quick] [--scale=8] [--as=NAME] [part of a name, such as g1 or flex; with --exact a whole one]
//! cargo bench --bench devices -- --scale=8 --export=FOLDER
//! ```
//!
//! Prints one figure per line, `<model>.<backend>.<figure> = <value>`: `…_ms` in milliseconds, without the suffix in gradients,
//! `…_first_ms` the first call, in which a device compiles and tunes kernels. `--scale` divides the sizes of all models; `--as`
//! names the backend of the GPU in the figures, for builds that differ in Burn's features. The second form measures nothing: it
//! writes the problems for the programs in `benches/peers`.
#![allow(clippy::print_stdout)]

#[cfg(feature = "flex")]
#[path = "../../tests/support/counted_steps.rs"]
mod counted_steps;
#[cfg(feature = "flex")]
#[path = "../../tests/support/counting.rs"]
mod counting;
mod factors;
#[path = "../figures/mod.rs"]
mod figures;
mod floor;
#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod harness;
#[path = "../kfac/config.rs"]
mod kfac;
#[cfg(feature = "flex")]
#[path = "../launches/mod.rs"]
mod launches;
#[path = "../listing/mod.rs"]
mod listing;
#[path = "../../tests/support/models/mod.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod models;
mod networks;
#[path = "../export/problem.rs"]
mod problem;
mod products;
#[path = "../../tests/support/random.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod random;
#[path = "../operators/steps.rs"]
mod steps;
mod timed;

use std::path::Path;

use burn::{backend::Autodiff, module::Module, tensor::Device};
use burn_backend::AutodiffBackend;
use burn_curvature::{Batch, backend::ProgramBackend};
use serde_json::{Value, json};

use harness::{Plan, memory::CountingAllocator};
use models::{Case, transformer::Sizes};
use networks::Scale;
use problem::{Outcome, Parts, Problem};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The unit of all figures but times and memory.
const GRADIENT: &str = "gradient";
/// Makes the matrices here definite enough for twenty steps.
const DAMPING: f64 = 1.0;

const MLPS: [(&str, &[usize], usize); 3] = [
    ("s1", &[784, 512, 512, 10], 256),
    ("k1", &[784, 1024, 1024, 10], 1024),
    ("g1", &[1024, 4096, 4096, 4096, 1000], 4096),
];
const TRANSFORMERS: [(&str, Sizes); 2] = [
    (
        "s2",
        Sizes {
            sequences: 16,
            tokens: 32,
            vocabulary: 64,
            width: 64,
            feed_forward: 256,
            heads: 4,
            layers: 2,
        },
    ),
    (
        "g2",
        Sizes {
            sequences: 8,
            tokens: 256,
            vocabulary: 8192,
            width: 768,
            feed_forward: 3072,
            heads: 12,
            layers: 6,
        },
    ),
];
const CNNS: [(&str, &[usize], usize, usize); 2] =
    [("s3", &[1, 16, 32], 28, 128), ("g3", &[3, 64, 128, 256], 32, 512)];

/// The command line.
struct Request {
    plan: Plan,
    scale: Scale,
    filter: String,
    exact: bool,
    export: Option<String>,
}

/// A device without autodiff and its name in figures.
type Backend<'a> = (&'a str, Device);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let value = |flag: &str| arguments.iter().find_map(|argument| argument.strip_prefix(flag));
    let scale = value("--scale=").map_or(1, |scale| scale.parse().expect("--scale=NUMBER"));
    assert!(scale > 0, "--scale=NUMBER, at least 1");
    let request = Request {
        plan: if flag("--quick") { Plan::QUICK } else { Plan::FULL },
        scale: Scale(scale),
        exact: flag("--exact"),
        export: value("--export=").map(Into::into),
        filter: arguments.iter().find(|it| !it.starts_with("--")).cloned().unwrap_or_default(),
    };
    #[cfg(feature = "flex")]
    on_backend::<Autodiff<burn::backend::Flex>>(&("flex", Device::flex()), &request);
    #[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
    if request.export.is_none() {
        for (name, device) in gpus() {
            let name = value("--as=").unwrap_or(name);
            on_backend::<Autodiff<burn::backend::Cube>>(&(name, device), &request);
        }
    }
}

/// The GPUs of the features that are switched on.
#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
fn gpus() -> Vec<Backend<'static>> {
    let mut found = Vec::new();
    #[cfg(feature = "cuda")]
    found.push(("cuda", Device::cuda(0)));
    #[cfg(feature = "rocm")]
    found.push(("rocm", Device::rocm(0)));
    #[cfg(feature = "wgpu")]
    if let Ok(device) = Device::wgpu_options().init() {
        let name = if cfg!(feature = "vulkan") {
            "vulkan"
        } else if cfg!(feature = "metal") {
            "metal"
        } else {
            "wgpu"
        };
        found.push((name, device));
    }
    found
}

fn on_backend<B: AutodiffBackend>(backend: &Backend, request: &Request)
where
    B::InnerBackend: ProgramBackend,
{
    let device = &backend.1.clone().autodiff();
    let scale = request.scale;
    for mlp in MLPS {
        let network = || json!({ "family": "mlp", "activation": "tanh" });
        visit::<B, _, _>((backend, mlp.0), request, network, || networks::mlp(mlp, scale, device));
    }
    for (name, sizes) in &TRANSFORMERS {
        let network = || json!({ "family": "transformer", "heads": sizes.heads });
        let case = || networks::transformer((name, sizes), scale, device);
        visit::<B, _, _>((backend, name), request, network, case);
    }
    for cnn in CNNS {
        let network = || json!({ "family": "cnn", "padding": 1 });
        visit::<B, _, _>((backend, cnn.0), request, network, || networks::cnn(cnn, scale, device));
    }
}

/// Measures or writes one model, if it is asked for.
fn visit<B, M, X>(
    (backend, model): (&Backend, &str),
    request: &Request,
    network: impl Fn() -> Value,
    case: impl Fn() -> Case<M, X>,
) where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Parts + Send + 'static,
{
    let name = format!("{model}.{}", backend.0);
    let asked = if request.exact { name == request.filter } else { name.contains(&request.filter) };
    if !asked {
        return;
    }
    match &request.export {
        Some(folder) => export::<B, _, _>(Path::new(folder), network(), case())
            .expect("the folder can be written to"),
        None => {
            if let Err(error) = products::measure::<B, _, _>(backend, request.plan, case()) {
                println!("# {name} stops: {error}");
            }
        }
    }
}

fn export<B, M, X>(folder: &Path, network: Value, case: Case<M, X>) -> Outcome<()>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Parts + Send + 'static,
{
    /// Exact factors take one pass for each class.
    const MOST_CLASSES: usize = 10;
    std::fs::create_dir_all(folder)?;
    let drawn = kfac::drawn(problem::DRAWS);
    let [_, classes] = (case.loss)(&case.model, case.batch.clone()).0.dims();
    let factors = if classes > MOST_CLASSES { vec![drawn] } else { vec![kfac::exact(), drawn] };
    let problem = Problem { network, vectors: 1, factors, more: Default::default() };
    problem.write::<B, _, _>(folder, case)
}

/// Waits for the device, so that the time of `result` is the time of its work.
fn finish<T>(device: &Device, result: T) {
    device.sync().expect("the device is lost");
    std::hint::black_box(result);
}
