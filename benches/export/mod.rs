//! Writes the problems of the benchmark for programs in other languages: parameters, batches, vectors, and results to
//! compare with. `benches/peers` reads them.

use std::{fs, path::Path};

use burn::{module::Module, tensor::TensorData};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Adjoint, Batch, CaptureConfig, GaussNewton, Hessian, Jacobian, KfacConfig, Likelihood,
    LinearOperator, Objective, ParamVector, Reduction,
    backend::ProgramBackend,
    kfac::{KfacFisher, KroneckerFactor},
};
use serde_json::{Map, Value, json};

use crate::{
    Backend, influence, kfac,
    models::{Case, cnn, mlp, tiny, transformer},
    operators::VECTORS,
};

/// For factors that cannot be exact: enough that their traces are known to a few percent.
const DRAWS: KfacFisher = KfacFisher::MonteCarlo { draws: 64, seed: 1 };

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Writes `<model>.json`, names and shapes and results, and `<model>.f32`, all numbers in the order of the description.
pub fn write<B: AutodiffBackend>(folder: &Path, backend: &Backend) -> Outcome<()>
where
    B::InnerBackend: ProgramBackend,
{
    fs::create_dir_all(folder)?;
    let device = &backend.1.clone().autodiff();
    let more = influence::results::<B>(device)?;
    let float = |data: TensorData| (data, false);
    let int = |data: TensorData| (data, true);
    model::<B, _, _>(folder, (mlp::case(device), more), |(x, y)| {
        [float(x.into_data()), int(y.into_data())]
    })?;
    model::<B, _, _>(folder, (cnn::case(device), Map::new()), |(x, y)| {
        [float(x.into_data()), int(y.into_data())]
    })?;
    model::<B, _, _>(folder, (transformer::case(device), Map::new()), |(x, y)| {
        [int(x.into_data()), int(y.into_data())]
    })?;
    model::<B, _, _>(folder, (tiny::case(device), Map::new()), |(x, y)| {
        [float(x.into_data()), float(y.into_data())]
    })
}

/// Writes one model. `parts` takes a batch apart and says which parts are integers.
fn model<B, M, X>(
    folder: &Path,
    (case, more): (Case<M, X>, Map<String, Value>),
    parts: impl Fn(X) -> [(TensorData, bool); 2],
) -> Outcome<()>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let config = CaptureConfig::new();
    let objective =
        Objective::<B>::capture_with(&config, &case.model, case.batch.clone(), case.loss)?;
    let space = objective.parameters().space();
    let vectors: Vec<ParamVector<B>> = (0..VECTORS).map(|seed| space.normal(seed as u64)).collect();
    let outputs = objective.outputs()?;
    let cotangent = outputs.space().normal(2);
    let mut expected = results(&objective, &vectors[0], &cotangent)?;
    if case.name != "tiny" {
        expected.insert("factors".into(), factors(&objective)?);
    }
    expected.extend(more);

    let mut numbers = objective.parameters().to_vec()?;
    let mut described = Vec::new();
    for (data, integers) in parts(case.batch) {
        described.push(json!({ "shape": data.shape().to_vec(), "integers": integers }));
        numbers.extend(data.iter::<f64>());
    }
    for vector in vectors.iter().chain([&cotangent]) {
        numbers.extend(vector.to_vec()?);
    }
    let block = |(name, shape): (&str, &[usize])| json!({ "name": name, "shape": shape });
    let blocks = objective.layout().blocks().iter().map(|one| block((one.name(), one.shape())));
    let shape = outputs.layout().blocks().first().map(|block| block.shape().to_vec());
    let description = json!({
        "parameters": blocks.collect::<Vec<_>>(),
        "batch": described,
        "vectors": VECTORS,
        "outputs": shape,
        "expected": expected,
    });
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    fs::write(folder.join(format!("{}.f32", case.name)), bytes)?;
    let text = serde_json::to_string_pretty(&description)?;
    fs::write(folder.join(format!("{}.json", case.name)), text)?;
    println!("{} = {} parameters", folder.join(case.name).display(), space.len());
    Ok(())
}

/// Loss, norms of products, and products with the vector itself.
fn results<B>(
    objective: &Objective<B>,
    vector: &ParamVector<B>,
    cotangent: &ParamVector<B>,
) -> Outcome<Map<String, Value>>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let jacobian = Jacobian::new(objective)?;
    let hessian = Hessian::new(objective)?.apply(vector)?;
    let newton = GaussNewton::new(objective)?.apply(vector)?;
    let found = [
        ("loss", objective.value()?),
        ("hv_norm", hessian.norm()?),
        ("vhv", hessian.dot(vector)?),
        ("ggn_norm", newton.norm()?),
        ("vggnv", newton.dot(vector)?),
        ("jv_norm", jacobian.apply(vector)?.norm()?),
        ("vj_norm", jacobian.apply_adjoint(cotangent)?.norm()?),
    ];
    Ok(found.into_iter().map(|(name, value)| (name.to_string(), json!(value))).collect())
}

/// Trace and Frobenius norm of A and G of each layer, by its weight. G is exact, or from [`DRAWS`] where places of a
/// sequence mix.
fn factors<B: AutodiffBackend>(objective: &Objective<B>) -> Outcome<Value>
where
    B::InnerBackend: ProgramBackend,
{
    let objective = &objective.reduced_by(Reduction::Mean)?;
    let by = |fisher| {
        let config = KfacConfig::new().with_fisher(fisher).with_uncovered(kfac::UNCOVERED);
        config.init(objective, Likelihood::Categorical)
    };
    let exact = by(KfacFisher::Exact);
    let is_exact = exact.is_ok();
    let kfac = exact.or_else(|_| by(DRAWS))?;
    let sizes = |factor: &KroneckerFactor<B>| -> Outcome<[f64; 2]> {
        let squares: f64 = factor.values()?.iter().map(|value| value * value).sum();
        Ok([factor.trace()?, squares.sqrt()])
    };
    let mut found = Map::new();
    for layer in kfac.layers() {
        let sizes = [sizes(layer.input())?, sizes(layer.output())?];
        found.insert(layer.weight().into(), json!(sizes));
    }
    Ok(json!({ "exact": is_exact, "of": found }))
}

/// The folder of `--export=FOLDER`, if it is asked for.
pub fn folder(arguments: &[String]) -> Option<&Path> {
    arguments.iter().find_map(|argument| argument.strip_prefix("--export=")).map(Path::new)
}
