//! From Burn's recorded operations to a [`Graph`].

mod base;
mod conv;
mod float;
mod module;
mod numeric;
mod pool;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests;

use std::collections::{HashMap, HashSet};

use burn_backend::TensorData;
use burn_capture::CapturedGraph;
use burn_ir::{OperationIr, ScalarIr, TensorId, TensorIr};

use super::ImportError;
use crate::graph::{Graph, GraphBuilder, Literal, Op, ValueId, ValueType};

/// One recorded operation as an [`Op`]; inputs and outputs in the order that it documents.
#[derive(Debug)]
pub(crate) struct Imported {
    pub op: Op,
    pub inputs: Vec<TensorIr>,
    pub outputs: Vec<TensorIr>,
}

/// An operation with one output.
fn one(op: Op, inputs: &[&TensorIr], output: &TensorIr) -> Option<Imported> {
    many(op, inputs, &[output])
}

/// An operation with any number of outputs.
fn many(op: Op, inputs: &[&TensorIr], outputs: &[&TensorIr]) -> Option<Imported> {
    let owned = |list: &[&TensorIr]| list.iter().map(|&tensor| tensor.clone()).collect();
    Some(Imported { op, inputs: owned(inputs), outputs: owned(outputs) })
}

fn literal(scalar: ScalarIr) -> Literal {
    match scalar {
        ScalarIr::Float(x) => Literal::Float(x),
        ScalarIr::Int(x) => Literal::Int(x),
        ScalarIr::UInt(x) => Literal::UInt(x),
        ScalarIr::Bool(x) => Literal::Bool(x),
    }
}

/// The operation at a position of the recording, as an [`Op`].
///
/// # Errors
/// [`ImportError::Unsupported`] for quantized, distributed, custom and deformable operations.
pub(crate) fn operation(position: usize, ir: &OperationIr) -> Result<Imported, ImportError> {
    let imported = match ir {
        OperationIr::BaseFloat(ir) | OperationIr::BaseInt(ir) => base::operation(ir),
        OperationIr::BaseBool(ir) => base::bool_operation(ir),
        OperationIr::NumericFloat(_, ir) | OperationIr::NumericInt(_, ir) => numeric::operation(ir),
        OperationIr::Bool(ir) => float::bool_operation(ir),
        OperationIr::Int(ir) => float::int_operation(ir),
        OperationIr::Float(_, ir) => float::operation(ir),
        OperationIr::Activation(ir) => float::activation(ir),
        OperationIr::Module(ir) => module::operation(ir),
        OperationIr::Init(_)
        | OperationIr::Drop(_)
        | OperationIr::Custom(_)
        | OperationIr::Distributed(_) => None,
    };
    imported.ok_or_else(|| ImportError::Unsupported {
        operation: name(ir),
        position,
        inputs: types(ir),
    })
}

/// Name of a recorded operation, as Burn calls it.
pub(super) fn name(ir: &OperationIr) -> String {
    if let OperationIr::Custom(custom) = ir {
        return format!("Custom \"{}\"", custom.id);
    }
    // The derived debug text contains the name: `Module(DeformableConv2d(DeformConv2dOpIr { … }))`.
    let text = format!("{ir:?}");
    let words: Vec<&str> = text
        .split('{')
        .next()
        .unwrap_or_default()
        .split(['(', ',', ')', ' '])
        .filter(|word| !word.is_empty() && !word.ends_with("Ir"))
        .collect();
    words.last().copied().unwrap_or("unknown").into()
}

fn types(ir: &OperationIr) -> String {
    let types: Vec<String> = ir.inputs().map(|ir| value_type(ir).to_string()).collect();
    format!("[{}]", types.join(", "))
}

fn value_type(ir: &TensorIr) -> ValueType {
    ValueType { shape: ir.shape.clone(), dtype: ir.dtype }
}

fn data_type(data: &TensorData) -> ValueType {
    ValueType { shape: data.shape().clone(), dtype: data.dtype() }
}

/// The recording as a program.
///
/// `inputs` become the program's inputs in that order; other tensors known by value become constants where they are
/// used; `outputs` are returned in order, and may be inputs, constants, or one tensor more than once.
///
/// # Errors
/// An unsupported operation, or a tensor that nothing defines; see [`ImportError`].
pub(crate) fn graph(
    captured: &CapturedGraph,
    inputs: &[TensorId],
    outputs: &[TensorId],
) -> Result<Graph, ImportError> {
    let mut import =
        Import { captured, builder: GraphBuilder::default(), known: HashMap::new(), inputs };
    import.declare_inputs()?;
    for (position, ir) in captured.graph.operations.iter().enumerate() {
        if !matches!(ir, OperationIr::Init(_) | OperationIr::Drop(_)) {
            import.node(position, ir)?;
        }
    }
    let mut results = Vec::with_capacity(outputs.len());
    for (index, id) in outputs.iter().enumerate() {
        let value = import.value(*id);
        results.push(value.ok_or(ImportError::UnknownOutput { index })?);
    }
    Ok(import.builder.finish(results))
}

/// A graph being built, and which of its values each recorded tensor is.
struct Import<'a> {
    captured: &'a CapturedGraph,
    builder: GraphBuilder,
    known: HashMap<TensorId, ValueId>,
    inputs: &'a [TensorId],
}

impl Import<'_> {
    fn declare_inputs(&mut self) -> Result<(), ImportError> {
        let uses = self.types_by_use();
        for (index, id) in self.inputs.iter().enumerate() {
            let ty = match self.captured.values.get(id) {
                Some(data) => data_type(data),
                None => uses.get(id).cloned().ok_or(ImportError::UnknownInput { index })?,
            };
            let value = self.builder.input(ty);
            if self.known.insert(*id, value).is_some() {
                return Err(ImportError::DefinedTwice { index, by: "an input before it".into() });
            }
        }
        Ok(())
    }

    /// Types of inputs that are not known by value, from the operations that read them.
    fn types_by_use(&self) -> HashMap<TensorId, ValueType> {
        let inputs = self.inputs.iter();
        let wanted: HashSet<TensorId> =
            inputs.filter(|id| !self.captured.values.contains_key(id)).copied().collect();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let operations = &self.captured.graph.operations;
        operations
            .iter()
            .flat_map(OperationIr::inputs)
            .filter(|ir| wanted.contains(&ir.id))
            .map(|ir| (ir.id, value_type(ir)))
            .collect()
    }

    /// The value of a recorded tensor; a constant is added at its first use.
    fn value(&mut self, id: TensorId) -> Option<ValueId> {
        if let Some(value) = self.known.get(&id) {
            return Some(*value);
        }
        let data = self.captured.values.get(&id)?;
        let value = self.builder.constant(data_type(data), data.clone());
        self.known.insert(id, value);
        Some(value)
    }

    fn node(&mut self, position: usize, ir: &OperationIr) -> Result<(), ImportError> {
        let imported = operation(position, ir)?;
        let mut inputs = Vec::with_capacity(imported.inputs.len());
        for input in &imported.inputs {
            let value = self.value(input.id);
            inputs.push(
                value.ok_or_else(|| ImportError::Undefined { operation: name(ir), position })?,
            );
        }
        let types = imported.outputs.iter().map(value_type).collect();
        let values = self.builder.node(imported.op, inputs, types);
        for (output, value) in imported.outputs.iter().zip(values) {
            let defined_before = self.known.insert(output.id, value).is_some();
            let as_input = || self.inputs.iter().position(|id| *id == output.id);
            if defined_before && let Some(index) = as_input() {
                let by = format!("operation {} (number {position} of the recording)", name(ir));
                return Err(ImportError::DefinedTwice { index, by });
            }
        }
        Ok(())
    }
}
