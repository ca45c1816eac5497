//! The operands of one operation, taken in order and checked for their kind.

use burn_backend::{
    Backend,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};

use crate::{derive::DeriveError, error::Error, execute::ExecuteError, graph::Op, tensor::Operand};

/// Operands still to be read.
pub(super) struct Inputs<B: Backend> {
    operation: String,
    total: usize,
    rest: std::vec::IntoIter<Operand<B>>,
}

impl<B: Backend> Inputs<B> {
    pub fn new(op: &Op, operands: Vec<Operand<B>>) -> Self {
        Self { operation: op.name(), total: operands.len(), rest: operands.into_iter() }
    }

    /// The next operand, which must be float.
    pub fn float(&mut self) -> Result<FloatTensor<B>, ExecuteError> {
        match self.next("float")? {
            Operand::Float(tensor) => Ok(tensor),
            other => Err(self.wrong_kind(&other, "float")),
        }
    }

    /// The next operand, which must be int.
    pub fn int(&mut self) -> Result<IntTensor<B>, ExecuteError> {
        match self.next("int")? {
            Operand::Int(tensor) => Ok(tensor),
            other => Err(self.wrong_kind(&other, "int")),
        }
    }

    /// The next operand, which must be bool.
    pub fn bool(&mut self) -> Result<BoolTensor<B>, ExecuteError> {
        match self.next("bool")? {
            Operand::Bool(tensor) => Ok(tensor),
            other => Err(self.wrong_kind(&other, "bool")),
        }
    }

    /// The next operand if `present` says that there is one.
    pub fn float_if(&mut self, present: bool) -> Result<Option<FloatTensor<B>>, ExecuteError> {
        present.then(|| self.float()).transpose()
    }

    /// The operands not yet read.
    pub fn into_operands(self) -> Vec<Operand<B>> {
        self.rest.collect()
    }

    /// Looks at the operands not yet read.
    pub fn peek(&self) -> &[Operand<B>] {
        self.rest.as_slice()
    }

    /// The error of an operation that cannot be differentiated twice with these operands.
    pub fn refuse(&self, reason: impl Into<String>) -> Error {
        let operation = self.operation.clone();
        DeriveError::NotDifferentiable { operation, reason: reason.into() }.into()
    }

    fn next(&mut self, expected: &str) -> Result<Operand<B>, ExecuteError> {
        self.rest.next().ok_or_else(|| ExecuteError::InputCount {
            what: format!("operation {} (next operand: {expected})", self.operation),
            expected: self.total + 1,
            found: self.total,
        })
    }

    fn wrong_kind(&self, found: &Operand<B>, expected: &str) -> ExecuteError {
        ExecuteError::Unsupported {
            operation: self.operation.clone(),
            found: kind_name(found).into(),
            expected: expected.into(),
        }
    }
}

fn kind_name<B: Backend>(operand: &Operand<B>) -> &'static str {
    match operand {
        Operand::Float(_) => "float",
        Operand::Int(_) => "int",
        Operand::Bool(_) => "bool",
    }
}
