//! Writes the problems of the benchmark for programs in other languages: parameters, batches, vectors, and results to
//! compare with. `benches/peers` reads them.

pub mod problem;

use std::{fs, path::Path};

use burn_backend::AutodiffBackend;
use burn_curvature::backend::ProgramBackend;
use serde_json::json;

use crate::{
    Backend, influence, kfac,
    models::{cnn, mlp, tiny, transformer},
    operators::VECTORS,
};
use problem::{Outcome, Problem};

/// Writes all models.
pub fn write<B: AutodiffBackend>(folder: &Path, backend: &Backend) -> Outcome<()>
where
    B::InnerBackend: ProgramBackend,
{
    fs::create_dir_all(folder)?;
    let device = &backend.1.clone().autodiff();
    let of = |network| Problem {
        network,
        vectors: VECTORS,
        factors: vec![kfac::config::exact(), kfac::config::drawn(problem::DRAWS)],
        more: Default::default(),
    };
    let mut problem = of(json!({ "family": "mlp", "activation": "tanh" }));
    problem.more = influence::results::<B>(device)?;
    problem.write::<B, _, _>(folder, mlp::case(device))?;
    let problem = of(json!({ "family": "cnn", "padding": 0 }));
    problem.write::<B, _, _>(folder, cnn::case(device))?;
    let problem = of(json!({ "family": "transformer", "heads": 4 }));
    problem.write::<B, _, _>(folder, transformer::case(device))?;
    let mut problem = of(json!({ "family": "mlp", "activation": "sigmoid" }));
    problem.factors.clear();
    problem.write::<B, _, _>(folder, tiny::case(device))
}

/// The folder of `--export=FOLDER`, if it is asked for.
pub fn folder(arguments: &[String]) -> Option<&Path> {
    arguments.iter().find_map(|argument| argument.strip_prefix("--export=")).map(Path::new)
}
