//! Imports operations that exist for every kind of tensor.

use burn_backend::tensor::IndexingUpdateOp;
use burn_ir::{BaseOperationIr, BinaryOpIr, ReduceDimOpIr, ReduceOpIr, ScalarOpIr};

use super::{Imported, literal, one};
use crate::graph::{Comparison, Op, Reduction};

/// Operations on float and int tensors.
pub(super) fn operation(ir: &BaseOperationIr) -> Option<Imported> {
    match ir {
        BaseOperationIr::Equal(ir) => compare(Comparison::Equal, ir),
        BaseOperationIr::NotEqual(ir) => compare(Comparison::NotEqual, ir),
        BaseOperationIr::EqualElem(ir) => compare_scalar(Comparison::Equal, ir),
        BaseOperationIr::NotEqualElem(ir) => compare_scalar(Comparison::NotEqual, ir),
        BaseOperationIr::Cast(ir) => one(Op::Cast, &[&ir.input], &ir.out),
        // What an empty tensor holds is undefined; zeros are as good, and repeatable.
        BaseOperationIr::Empty(ir) | BaseOperationIr::Zeros(ir) => one(Op::Zeros, &[], &ir.out),
        BaseOperationIr::Ones(ir) => one(Op::Ones, &[], &ir.out),
        BaseOperationIr::All(ir) => reduce(Reduction::All, ir),
        BaseOperationIr::Any(ir) => reduce(Reduction::Any, ir),
        BaseOperationIr::AllDim(ir) => reduce_dim(Reduction::All, ir),
        BaseOperationIr::AnyDim(ir) => reduce_dim(Reduction::Any, ir),
        BaseOperationIr::Gather(_)
        | BaseOperationIr::Scatter(_)
        | BaseOperationIr::GatherNd(_)
        | BaseOperationIr::ScatterNd(_)
        | BaseOperationIr::Select(_)
        | BaseOperationIr::SelectAssign(_)
        | BaseOperationIr::MaskWhere(_)
        | BaseOperationIr::MaskFill(_) => indexing(ir),
        _ => movement(ir),
    }
}

/// Operations on bool tensors, which lack some.
pub(super) fn bool_operation(ir: &BaseOperationIr) -> Option<Imported> {
    match ir {
        BaseOperationIr::GatherNd(_) | BaseOperationIr::ScatterNd(_) => None,
        BaseOperationIr::Scatter(scatter) if scatter.update != IndexingUpdateOp::Add => None,
        BaseOperationIr::SelectAssign(select) if select.update != IndexingUpdateOp::Add => None,
        _ => operation(ir),
    }
}

fn movement(ir: &BaseOperationIr) -> Option<Imported> {
    match ir {
        BaseOperationIr::Reshape(ir) => one(Op::Reshape, &[&ir.input], &ir.out),
        BaseOperationIr::SwapDims(ir) => one(Op::SwapDims(ir.dim1, ir.dim2), &[&ir.input], &ir.out),
        BaseOperationIr::Permute(ir) => one(Op::Permute(ir.axes.clone()), &[&ir.input], &ir.out),
        BaseOperationIr::Flip(ir) => one(Op::Flip(ir.axes.clone()), &[&ir.input], &ir.out),
        BaseOperationIr::Expand(ir) => one(Op::Expand, &[&ir.input], &ir.out),
        BaseOperationIr::Unfold(ir) => {
            let (dim, size, step) = (ir.dim, ir.size, ir.step);
            one(Op::Unfold { dim, size, step }, &[&ir.input], &ir.out)
        }
        BaseOperationIr::Slice(ir) => one(Op::Slice(ir.ranges.clone()), &[&ir.tensor], &ir.out),
        BaseOperationIr::SliceAssign(ir) => {
            let op = Op::SliceAssign(ir.ranges.clone());
            one(op, &[&ir.tensor, &ir.value], &ir.out)
        }
        BaseOperationIr::RepeatDim(ir) => {
            let (dim, times) = (ir.dim, ir.times);
            one(Op::RepeatDim { dim, times }, &[&ir.tensor], &ir.out)
        }
        BaseOperationIr::Cat(ir) => {
            let tensors: Vec<_> = ir.tensors.iter().collect();
            one(Op::Cat(ir.dim), &tensors, &ir.out)
        }
        _ => None,
    }
}

fn indexing(ir: &BaseOperationIr) -> Option<Imported> {
    match ir {
        BaseOperationIr::Gather(ir) => one(Op::Gather(ir.dim), &[&ir.tensor, &ir.indices], &ir.out),
        BaseOperationIr::Scatter(ir) => {
            let op = Op::Scatter(ir.dim, ir.update);
            one(op, &[&ir.tensor, &ir.indices, &ir.value], &ir.out)
        }
        BaseOperationIr::GatherNd(ir) => one(Op::GatherNd, &[&ir.data, &ir.indices], &ir.out),
        BaseOperationIr::ScatterNd(ir) => {
            let op = Op::ScatterNd(ir.reduction);
            one(op, &[&ir.data, &ir.indices, &ir.values], &ir.out)
        }
        BaseOperationIr::Select(ir) => one(Op::Select(ir.dim), &[&ir.tensor, &ir.indices], &ir.out),
        BaseOperationIr::SelectAssign(ir) => {
            let op = Op::SelectAssign(ir.dim, ir.update);
            one(op, &[&ir.tensor, &ir.indices, &ir.value], &ir.out)
        }
        BaseOperationIr::MaskWhere(ir) => {
            one(Op::MaskWhere, &[&ir.tensor, &ir.mask, &ir.value], &ir.out)
        }
        BaseOperationIr::MaskFill(ir) => {
            let op = Op::MaskFill(literal(ir.value));
            one(op, &[&ir.tensor, &ir.mask], &ir.out)
        }
        _ => None,
    }
}

/// A comparison of two tensors.
pub(super) fn compare(comparison: Comparison, ir: &BinaryOpIr) -> Option<Imported> {
    one(Op::Compare(comparison), &[&ir.lhs, &ir.rhs], &ir.out)
}

/// A comparison with a literal.
pub(super) fn compare_scalar(comparison: Comparison, ir: &ScalarOpIr) -> Option<Imported> {
    let op = Op::CompareScalar(comparison, literal(ir.rhs));
    one(op, &[&ir.lhs], &ir.out)
}

/// A reduction over everything.
pub(super) fn reduce(reduction: Reduction, ir: &ReduceOpIr) -> Option<Imported> {
    one(Op::Reduce(reduction), &[&ir.input], &ir.out)
}

/// A reduction along a dimension.
pub(super) fn reduce_dim(reduction: Reduction, ir: &ReduceDimOpIr) -> Option<Imported> {
    one(Op::ReduceDim(reduction, ir.axis), &[&ir.input], &ir.out)
}
