//! The tensors of a model besides its parameters: running statistics, frozen weights, integers and booleans.

use std::{collections::HashMap, sync::Arc};

use burn::{
    backend::{Dispatch, DispatchTensor},
    module::Module,
};
use burn_backend::{
    AutodiffBackend, FloatDType, TensorMetadata, ops::FloatTensorOps, tensor::Device,
};

use crate::tensor::{Kind, Operand, Precision, TensorBridge, TensorError};

use super::{
    super::{Inner, InnerFloat, ParamError, ParamLayout, changes::Changes},
    LocatedTensor, Place, Replace, Visit, any_rank, cast_to, float_places, float_primitive,
    off_tape, replace, user_tensor, visit,
    write::leaf,
};

/// One buffer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Buffer {
    pub place: Place,
    pub kind: Kind,
    pub shape: Vec<usize>,
    /// Whether Burn updates it during a forward pass in training mode.
    pub running: bool,
}

/// The tensors of a model besides its parameters, with their values at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Buffers<B: AutodiffBackend> {
    list: Arc<[Buffer]>,
    values: Vec<Operand<Inner<B>>>,
}

impl<B: AutodiffBackend> Buffers<B> {
    /// What there is, in the order of the values.
    pub fn list(&self) -> &[Buffer] {
        &self.list
    }

    pub fn values(&self) -> &[Operand<Inner<B>>] {
        &self.values
    }

    /// Positions and paths of the running statistics.
    pub fn running(&self) -> impl Iterator<Item = (usize, &str)> {
        let running = self.list.iter().enumerate().filter(|(_, buffer)| buffer.running);
        running.map(|(position, buffer)| (position, buffer.place.path.as_str()))
    }

    /// The same in the element types of a device, with floats in a precision.
    pub fn stored_on(self, device: &Device<B>, precision: Precision) -> Self {
        let values = self.values.into_iter();
        let stored = values.map(|value| value.stored_on(device, precision.dtype()));
        Self { list: self.list, values: stored.collect() }
    }
}

impl<B: AutodiffBackend> Buffers<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The buffers of a model whose parameters are those of a layout. Copies nothing; later forward passes of the model do not
    /// change them.
    ///
    /// # Errors
    /// A tensor of another backend, or a quantized one.
    pub fn of<M: Module>(layout: &ParamLayout, model: &M) -> Result<Self, ParamError> {
        // A copy of its own, with the pending updates taken in: clones share their running statistics.
        let copy = model.valid();
        let before = tensors(layout, &copy)?;
        drop(replace(copy.clone(), &mut Reshape));
        Self::found(before, tensors(layout, &copy)?)
    }

    /// The buffers of a model, and again after its clone was given other shapes.
    #[inline(never)]
    fn found(before: Listed, after: Listed) -> Result<Self, ParamError> {
        let (mut list, values): (Vec<_>, Vec<_>) = before.into_iter().unzip();
        for (buffer, (after, _)) in list.iter_mut().zip(after) {
            buffer.running = after.shape != buffer.shape;
        }
        let values = values.into_iter().map(<Inner<B> as TensorBridge>::from_dispatch);
        Ok(Self { list: list.into(), values: values.collect::<Result<_, TensorError>>()? })
    }

    /// The same buffers with the values of another model of the same architecture.
    ///
    /// # Errors
    /// [`ParamError::Changed`] for a model with other buffers, with what is alike and what is not; those of [`of`](Self::of).
    pub fn in_model<M: Module>(&self, layout: &ParamLayout, model: &M) -> Result<Self, ParamError> {
        self.valued(tensors(layout, &model.valid())?)
    }

    #[inline(never)]
    fn valued(&self, mut found: Listed) -> Result<Self, ParamError> {
        let (mut changes, mut values) = (Changes::default(), Vec::with_capacity(found.len()));
        for buffer in self.list.iter() {
            let path = &buffer.place.path;
            let at = found.iter().position(|(other, _)| other.place.path == *path);
            let Some((other, value)) = at.map(|at| found.remove(at)) else {
                changes.differs(path, "is missing");
                continue;
            };
            if (other.kind, &other.shape) == (buffer.kind, &buffer.shape) {
                changes.same(path);
                values.push(<Inner<B> as TensorBridge>::from_dispatch(value)?);
            } else {
                let of = |it: &Buffer| format!("{} {:?}", it.kind.name(), it.shape);
                changes.differs(path, &format!("is {} in place of {}", of(&other), of(buffer)));
            }
        }
        for (other, _) in &found {
            changes.differs(&other.place.path, "was not there");
        }
        changes.finish()?;
        Ok(Self { list: Arc::clone(&self.list), values })
    }
}

impl<B: AutodiffBackend> Buffers<B>
where
    B::InnerBackend: TensorBridge,
{
    /// Gives the running statistics of a model other values, in the order of [`running`](Self::running): those of the
    /// model itself and of all its clones, which share them.
    ///
    /// # Errors
    /// A model on another backend.
    pub fn give_running<M: Module>(
        &self,
        model: &M,
        values: Vec<InnerFloat<B>>,
    ) -> Result<(), ParamError> {
        drop(model.valid()); // takes in pending updates, which would overwrite them later
        let mut writer = self.statistics(values);
        drop(replace(model.clone(), &mut writer));
        writer.failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    #[inline(never)]
    fn statistics(&self, values: Vec<InnerFloat<B>>) -> Statistics<B> {
        let paths = self.running().map(|(_, path)| path.to_string());
        Statistics { values: paths.zip(values).collect(), failure: None }
    }
}

/// Writes running statistics by their paths.
struct Statistics<B: AutodiffBackend> {
    values: HashMap<String, InnerFloat<B>>,
    failure: Option<TensorError>,
}

impl<B: AutodiffBackend> Replace for Statistics<B>
where
    B::InnerBackend: TensorBridge,
{
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let value = self.values.remove(&found.place().path)?;
        let old = found.float()?;
        match float_primitive::<B>(old.clone()) {
            Ok(plain) => {
                let value = cast_to::<B>(value, plain.dtype().into());
                Some(leaf(any_rank(user_tensor::<B>(value)), &old, found.id).into_dispatch())
            }
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }
}

/// The tensors of a model without autodiff, except those of a layout.
fn tensors<M: Module>(layout: &ParamLayout, model: &M) -> Result<Listed, ParamError> {
    let mut read = Read::new(layout.positions_in(&float_places(model))?);
    visit(model, &mut read);
    Ok(read.finish())
}

/// Tensors of a model, with their values.
type Listed = Vec<(Buffer, DispatchTensor)>;

/// Gives every float tensor another shape.
///
/// Burn does not show visitors which tensors are running statistics. But these, and only these, are shared between a model
/// and its clones: a tensor that changes in the original when a clone is mapped is one.
struct Reshape;

impl Replace for Reshape {
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let old = found.float()?;
        let mut shape = vec![1; old.shape().num_dims()];
        if let (Some(size), Some(first)) = (shape.first_mut(), old.shape().to_vec().first()) {
            *size = first + 1;
        }
        let old = old.without_autodiff().into_dispatch();
        Some(Dispatch::float_zeros(shape.into(), &old.device(), FloatDType::F32))
    }
}

/// Lists all tensors but the parameters.
struct Read {
    parameters: HashMap<Place, usize>,
    found: Listed,
}

impl Read {
    fn new(parameters: HashMap<Place, usize>) -> Self {
        Self { parameters, found: Vec::new() }
    }

    fn finish(self) -> Listed {
        self.found
    }
}

impl Visit for Read {
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        if self.parameters.contains_key(&found.place()) {
            return;
        }
        let value = off_tape(found.kind, found.value());
        let shape = value.shape().to_vec();
        let buffer = Buffer { place: found.place(), kind: found.kind, shape, running: false };
        self.found.push((buffer, value));
    }
}
