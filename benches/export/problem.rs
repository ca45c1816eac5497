//! One problem for programs in other languages.

use std::{fs, path::Path};

use burn::{
    module::Module,
    tensor::{Int, Tensor, TensorData},
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Adjoint, Batch, CaptureConfig, GaussNewton, Hessian, Jacobian, KfacConfig, Likelihood,
    LinearOperator, Objective, ParamVector, Reduction,
    backend::ProgramBackend,
    kfac::{KfacFisher, KroneckerFactor},
};
use serde_json::{Map, Value, json};

use crate::models::Case;

/// For factors that cannot be exact: enough that their traces are known to a few percent.
pub const DRAWS: usize = 64;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What is written besides the model and its batch.
pub struct Problem {
    /// How the model computes: what its parameters do not show.
    pub network: Value,
    pub vectors: usize,
    /// Of which the first that the model allows is taken; no factors without any.
    pub factors: Vec<KfacConfig>,
    /// More results.
    pub more: Map<String, Value>,
}

/// A batch as numbers, inputs and targets, and whether they are integers.
pub trait Parts {
    fn parts(self) -> [(TensorData, bool); 2];
}

impl<const D: usize> Parts for (Tensor<D>, Tensor<1, Int>) {
    fn parts(self) -> [(TensorData, bool); 2] {
        [(self.0.into_data(), false), (self.1.into_data(), true)]
    }
}

impl<const D: usize> Parts for (Tensor<D, Int>, Tensor<1, Int>) {
    fn parts(self) -> [(TensorData, bool); 2] {
        [(self.0.into_data(), true), (self.1.into_data(), true)]
    }
}

impl Parts for (Tensor<2>, Tensor<2>) {
    fn parts(self) -> [(TensorData, bool); 2] {
        [(self.0.into_data(), false), (self.1.into_data(), false)]
    }
}

impl Problem {
    /// Writes `<model>.json`, names and shapes and results, and `<model>.f32`, all numbers in the order of the description.
    pub fn write<B, M, X>(self, folder: &Path, case: Case<M, X>) -> Outcome<()>
    where
        B: AutodiffBackend,
        B::InnerBackend: ProgramBackend,
        M: Module + 'static,
        X: Batch + Parts + Send + 'static,
    {
        let config = CaptureConfig::new();
        let objective =
            Objective::<B>::capture_with(&config, &case.model, case.batch.clone(), case.loss)?;
        let space = objective.parameters().space();
        let vectors: Vec<ParamVector<B>> =
            (0..self.vectors).map(|seed| space.normal(seed as u64)).collect();
        let outputs = objective.outputs()?;
        let cotangent = outputs.space().normal(2);
        let mut expected = results(&objective, &vectors[0], &cotangent)?;
        if !self.factors.is_empty() {
            expected.insert("factors".into(), factors(&objective, &self.factors)?);
        }
        expected.extend(self.more);

        let mut numbers = objective.parameters().to_vec()?;
        let mut described = Vec::new();
        for (data, integers) in case.batch.parts() {
            described.push(json!({ "shape": data.shape().to_vec(), "integers": integers }));
            numbers.extend(data.iter::<f64>());
        }
        for vector in vectors.iter().chain([&cotangent]) {
            numbers.extend(vector.to_vec()?);
        }
        let block = |(name, shape): (&str, &[usize])| json!({ "name": name, "shape": shape });
        let blocks = objective.layout().blocks().iter();
        let blocks = blocks.map(|one| block((one.name(), one.shape())));
        let shape = outputs.layout().blocks().first().map(|block| block.shape().to_vec());
        let description = json!({
            "network": self.network,
            "parameters": blocks.collect::<Vec<_>>(),
            "batch": described,
            "vectors": self.vectors,
            "outputs": shape,
            "expected": expected,
        });
        let bytes: Vec<u8> =
            numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
        fs::write(folder.join(format!("{}.f32", case.name)), bytes)?;
        let text = serde_json::to_string_pretty(&description)?;
        fs::write(folder.join(format!("{}.json", case.name)), text)?;
        println!("{} = {} parameters", folder.join(case.name).display(), space.len());
        Ok(())
    }
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

/// Trace and Frobenius norm of A and G of each layer, by its weight, and whether G is exact: by the first of the configurations
/// that the model allows.
fn factors<B: AutodiffBackend>(
    objective: &Objective<B>,
    configurations: &[KfacConfig],
) -> Outcome<Value>
where
    B::InnerBackend: ProgramBackend,
{
    let objective = &objective.reduced_by(Reduction::Mean)?;
    let mut found =
        configurations.iter().map(|config| config.init(objective, Likelihood::Categorical));
    let kfac = found.find(Result::is_ok).ok_or("no configuration allows these factors")??;
    let is_exact = kfac.coverage().fisher() == Some(KfacFisher::Exact);
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
