//! One operation about to run, with its operands and the types of its results; checks their number and kinds.

use burn_backend::{
    Backend, BoolDType, FloatDType, IntDType, Scalar, TensorMetadata,
    tensor::{BoolTensor, Device, FloatTensor, IntTensor},
};

use super::{ExecuteError, Operand};
use crate::graph::{Arity, Kind, Op, ValueType};

/// Results of one operation.
pub(crate) type Results<B> = Result<Vec<Operand<B>>, ExecuteError>;

/// One operation about to run; returns its operands in order, by value.
pub(crate) struct Call<'a, B: Backend> {
    pub op: &'a Op,
    pub device: &'a Device<B>,
    inputs: std::vec::IntoIter<Operand<B>>,
    outputs: &'a [ValueType],
    kinds: Vec<Kind>,
}

impl<'a, B: Backend> Call<'a, B> {
    /// Checks how many operands and results there are.
    pub fn new(
        op: &'a Op,
        inputs: Vec<Operand<B>>,
        outputs: &'a [ValueType],
        device: &'a Device<B>,
    ) -> Result<Self, ExecuteError> {
        let Arity { inputs: takes, outputs: expected } = op.arity();
        if let Some(expected) = takes
            && expected != inputs.len()
        {
            return Err(ExecuteError::InputCount {
                what: op.name(),
                expected,
                found: inputs.len(),
            });
        }
        if expected != outputs.len() {
            return Err(ExecuteError::OutputCount {
                what: op.name(),
                expected,
                found: outputs.len(),
            });
        }
        Ok(Self {
            op,
            device,
            kinds: inputs.iter().map(Operand::kind).collect(),
            inputs: inputs.into_iter(),
            outputs,
        })
    }

    /// The next operand, of any kind.
    pub fn any(&mut self) -> Result<Operand<B>, ExecuteError> {
        self.inputs.next().ok_or_else(|| ExecuteError::InputCount {
            what: self.op.name(),
            expected: self.kinds.len() + 1,
            found: self.kinds.len(),
        })
    }

    /// The next operand, which must hold floats.
    pub fn float(&mut self) -> Result<FloatTensor<B>, ExecuteError> {
        match self.any()? {
            Operand::Float(tensor) => Ok(tensor),
            _ => Err(self.unsupported("float")),
        }
    }

    /// The next operand, which must hold integers.
    pub fn int(&mut self) -> Result<IntTensor<B>, ExecuteError> {
        match self.any()? {
            Operand::Int(tensor) => Ok(tensor),
            _ => Err(self.unsupported("int")),
        }
    }

    /// The next operand, which must hold truth values.
    pub fn bool(&mut self) -> Result<BoolTensor<B>, ExecuteError> {
        match self.any()? {
            Operand::Bool(tensor) => Ok(tensor),
            _ => Err(self.unsupported("bool")),
        }
    }

    /// The next operand, which must hold floats, where the operation has it.
    pub fn float_if(&mut self, present: bool) -> Result<Option<FloatTensor<B>>, ExecuteError> {
        present.then(|| self.float()).transpose()
    }

    /// The next operand, which must hold truth values, where the operation has it.
    pub fn bool_if(&mut self, present: bool) -> Result<Option<BoolTensor<B>>, ExecuteError> {
        present.then(|| self.bool()).transpose()
    }

    /// All operands that are left.
    pub fn rest(&mut self) -> Vec<Operand<B>> {
        self.inputs.by_ref().collect()
    }

    /// Type of a result.
    pub fn output(&self, position: usize) -> Result<&'a ValueType, ExecuteError> {
        self.outputs.get(position).ok_or_else(|| ExecuteError::OutputCount {
            what: self.op.name(),
            expected: position + 1,
            found: self.outputs.len(),
        })
    }

    /// Element type of a float result.
    pub fn float_dtype(&self, position: usize) -> Result<FloatDType, ExecuteError> {
        let ty = self.output(position)?;
        match ty.kind() {
            Kind::Float => Ok(ty.dtype.into()),
            _ => Err(self.wrong_result("a float result")),
        }
    }

    /// Element type of an int result.
    pub fn int_dtype(&self, position: usize) -> Result<IntDType, ExecuteError> {
        let ty = self.output(position)?;
        if ty.dtype.is_int() || ty.dtype.is_uint() {
            Ok(ty.dtype.into())
        } else {
            Err(self.wrong_result("an int result"))
        }
    }

    /// Element type of a bool result.
    pub fn bool_dtype(&self, position: usize) -> Result<BoolDType, ExecuteError> {
        let ty = self.output(position)?;
        match ty.kind() {
            Kind::Bool => Ok(ty.dtype.into()),
            _ => Err(self.wrong_result("a bool result")),
        }
    }

    /// An int result in its recorded element type, for operations of Burn that choose their own.
    pub fn int_result(
        &self,
        position: usize,
        tensor: IntTensor<B>,
    ) -> Result<Operand<B>, ExecuteError> {
        let dtype = self.int_dtype(position)?;
        Ok(Operand::Int(if tensor.dtype() == dtype.into() {
            tensor
        } else {
            B::int_cast(tensor, dtype)
        }))
    }

    /// A bool result, for operations that some backend returns labeled as integers (Flex: gather and select).
    pub fn bool_result(
        &self,
        position: usize,
        tensor: BoolTensor<B>,
    ) -> Result<Operand<B>, ExecuteError> {
        if tensor.dtype().is_bool() {
            return Ok(Operand::Bool(tensor));
        }
        let dtype = self.bool_dtype(position)?;
        let numbers = B::bool_into_int(tensor, IntDType::I32);
        let flags = B::int_not_equal_elem(numbers, Scalar::Int(0), dtype);
        Ok(Operand::Bool(flags))
    }

    /// The error of an operation that does not exist for these operands.
    pub fn unsupported(&self, expected: &str) -> ExecuteError {
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        ExecuteError::Unsupported {
            operation: self.op.name(),
            found: if names.is_empty() { "no".into() } else { names.join(", ") },
            expected: expected.into(),
        }
    }

    fn wrong_result(&self, expected: &str) -> ExecuteError {
        let found: Vec<String> = self.outputs.iter().map(|ty| ty.to_string()).collect();
        ExecuteError::Unsupported {
            operation: format!("{} with result {}", self.op.name(), found.join(", ")),
            found: "these".into(),
            expected: expected.into(),
        }
    }
}

/// One float result.
pub(crate) fn float<B: Backend>(tensor: FloatTensor<B>) -> Results<B> {
    Ok(vec![Operand::Float(tensor)])
}

/// One int result.
pub(crate) fn int<B: Backend>(tensor: IntTensor<B>) -> Results<B> {
    Ok(vec![Operand::Int(tensor)])
}

/// One bool result.
pub(crate) fn bool<B: Backend>(tensor: BoolTensor<B>) -> Results<B> {
    Ok(vec![Operand::Bool(tensor)])
}
