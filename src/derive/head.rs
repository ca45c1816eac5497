//! The curvature of a loss in the space of outputs, next to those of likelihoods.

use burn_backend::{
    Backend, TensorData,
    ops::FloatTensorOps,
    tensor::{Device, FloatTensor},
};
use burn_capture::CaptureBackend;

use super::{
    DeriveError, derived, float,
    likelihood::Family,
    lower, outputs,
    reverse::{self, Arguments},
};
use crate::{
    error::Error,
    execute,
    graph::{Graph, ValueType},
    tensor::Operand,
};

/// At which outputs curvatures are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ComparedAt {
    /// Outputs without meaning, between −2 and 2, so that nothing vanishes by chance.
    Generic,
    /// Those of the model.
    Outputs,
}

/// The program that compares H = ∇²ℓ(z) with the F(z) of a family at outputs z along a generic u. Its inputs are the loss
/// program's and then a factor c `[1]`; it returns ‖Hu‖², ‖c·Fu‖², ⟨Hu, c·Fu⟩, ‖Hu − c·Fu‖² and ‖c·u‖².
pub(crate) fn comparison(
    loss: &Graph,
    parameters: usize,
    family: Family,
    at: ComparedAt,
) -> Result<Graph, Error> {
    let &[value, outputs] = loss.outputs() else {
        return Err(DeriveError::NoOutputs.into());
    };
    let (head, cut) = loss.returning(vec![value]).with_value_as_input(outputs);
    if !head.dependents(&[cut]).contains(&head.outputs()[0]) {
        return Err(DeriveError::UnusedOutputs.into());
    }
    let inputs = [cut].into_iter().chain(loss.inputs().iter().copied()).collect();
    let head = head.taking(inputs).without_dead_code();
    let network = loss.returning(vec![outputs]);
    let ty = loss.value(outputs).clone();
    derived("curvature of the loss in the outputs", loss, parameters, |scope, inputs| {
        let factor_type = ValueType { shape: vec![1].into(), dtype: ty.dtype };
        let factor = outputs::required(float(scope.input(&factor_type)))?;
        let device = scope.device();
        let all = inputs.parameters.iter().cloned().map(Operand::Float);
        let all: Vec<_> = all.chain(inputs.batch.iter().cloned()).collect();
        let z = match at {
            ComparedAt::Generic => {
                let waves = waves(&ty, 0.7, &device);
                CaptureBackend::float_mul_scalar(waves, 2.0.into())
            }
            ComparedAt::Outputs => {
                let apply = execute::apply::<CaptureBackend>;
                let found = execute::replay(&network, &device, all.clone(), apply)?;
                outputs::required(found.into_iter().next().and_then(float))?
            }
        };
        let u = waves(&ty, 1.3, &device);
        let arguments = Arguments {
            program: &head,
            device: &device,
            parameters: std::slice::from_ref(&z),
            batch: &all,
        };
        let direction = [u.clone()];
        let apply = lower::apply_recorded_twice;
        let curved = reverse::hessian_vector_product(&arguments, &direction, apply)?;
        let curved = outputs::required(curved.into_iter().next())?;
        let scale = expanded::<CaptureBackend>(factor, &ty);
        let expected = family.curvature::<CaptureBackend>(z, u.clone());
        let expected = CaptureBackend::float_mul(expected, scale.clone());
        Ok(compared::<CaptureBackend>(curved, expected, CaptureBackend::float_mul(u, scale)))
    })
}

fn compared<B: Backend>(
    curved: FloatTensor<B>,
    expected: FloatTensor<B>,
    direction: FloatTensor<B>,
) -> Vec<FloatTensor<B>> {
    let inner =
        |a: &FloatTensor<B>, b: &FloatTensor<B>| B::float_sum(B::float_mul(a.clone(), b.clone()));
    let difference = B::float_sub(curved.clone(), expected.clone());
    vec![
        inner(&curved, &curved),
        inner(&expected, &expected),
        inner(&curved, &expected),
        inner(&difference, &difference),
        inner(&direction, &direction),
    ]
}

fn expanded<B: Backend>(factor: FloatTensor<B>, ty: &ValueType) -> FloatTensor<B> {
    let ones = vec![1; ty.shape.num_dims()];
    B::float_expand(B::float_reshape(factor, ones.into()), ty.shape.clone())
}

/// cos of a phase that grows by another irrational step along each dimension.
fn waves(
    ty: &ValueType,
    frequency: f64,
    device: &Device<CaptureBackend>,
) -> FloatTensor<CaptureBackend> {
    let shape = ty.shape.to_vec();
    let mut phase: Option<FloatTensor<CaptureBackend>> = None;
    for (dim, &size) in shape.iter().enumerate() {
        let step = frequency * (2.0 + dim as f64).sqrt();
        let angles = (0..size).map(|index| (0.3 + step * index as f64) % std::f64::consts::TAU);
        let mut own = vec![1; shape.len()];
        own[dim] = size;
        let data = TensorData::new(angles.collect::<Vec<f64>>(), own).convert_dtype(ty.dtype);
        let angles = CaptureBackend::float_from_data(data, device);
        phase = Some(match phase {
            Some(phase) => CaptureBackend::float_add(phase, angles),
            None => angles,
        });
    }
    let phase = phase
        .unwrap_or_else(|| CaptureBackend::float_ones(ty.shape.clone(), device, ty.dtype.into()));
    CaptureBackend::float_cos(phase)
}
