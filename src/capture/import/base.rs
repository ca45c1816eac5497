//! Imports operations that exist for every kind of tensor.

use burn_backend::tensor::IndexingUpdateOp;
use burn_ir::{BaseOperationIr, BinaryOpIr, ReduceDimOpIr, ReduceOpIr, ScalarOpIr, UnfoldOpIr};

use super::{Imported, literal, one};
use crate::graph::{Comparison, Op, Reduction};

/// Operations on float and int tensors.
pub(super) fn operation(ir: &BaseOperationIr) -> Option<Imported> {
    use BaseOperationIr as Ir;
    match ir {
        Ir::Reshape(ir) => one(Op::Reshape, &[&ir.input], &ir.out),
        Ir::SwapDims(ir) => one(Op::SwapDims(ir.dim1, ir.dim2), &[&ir.input], &ir.out),
        Ir::Permute(ir) => one(Op::Permute(ir.axes.clone()), &[&ir.input], &ir.out),
        Ir::Flip(ir) => one(Op::Flip(ir.axes.clone()), &[&ir.input], &ir.out),
        Ir::Expand(ir) => one(Op::Expand, &[&ir.input], &ir.out),
        Ir::Unfold(ir) => unfold(ir),
        Ir::Slice(ir) => one(Op::Slice(ir.ranges.clone()), &[&ir.tensor], &ir.out),
        Ir::SliceAssign(ir) => {
            one(Op::SliceAssign(ir.ranges.clone()), &[&ir.tensor, &ir.value], &ir.out)
        }
        Ir::RepeatDim(ir) => {
            one(Op::RepeatDim { dim: ir.dim, times: ir.times }, &[&ir.tensor], &ir.out)
        }
        Ir::Cat(ir) => one(Op::Cat(ir.dim), &ir.tensors.iter().collect::<Vec<_>>(), &ir.out),
        Ir::Gather(ir) => one(Op::Gather(ir.dim), &[&ir.tensor, &ir.indices], &ir.out),
        Ir::Scatter(ir) => {
            let op = Op::Scatter(ir.dim, ir.update);
            one(op, &[&ir.tensor, &ir.indices, &ir.value], &ir.out)
        }
        Ir::GatherNd(ir) => one(Op::GatherNd, &[&ir.data, &ir.indices], &ir.out),
        Ir::ScatterNd(ir) => {
            let op = Op::ScatterNd(ir.reduction);
            one(op, &[&ir.data, &ir.indices, &ir.values], &ir.out)
        }
        Ir::Select(ir) => one(Op::Select(ir.dim), &[&ir.tensor, &ir.indices], &ir.out),
        Ir::SelectAssign(ir) => {
            let op = Op::SelectAssign(ir.dim, ir.update);
            one(op, &[&ir.tensor, &ir.indices, &ir.value], &ir.out)
        }
        Ir::MaskWhere(ir) => one(Op::MaskWhere, &[&ir.tensor, &ir.mask, &ir.value], &ir.out),
        Ir::MaskFill(ir) => one(Op::MaskFill(literal(ir.value)), &[&ir.tensor, &ir.mask], &ir.out),
        Ir::Equal(ir) => compare(Comparison::Equal, ir),
        Ir::NotEqual(ir) => compare(Comparison::NotEqual, ir),
        Ir::EqualElem(ir) => compare_scalar(Comparison::Equal, ir),
        Ir::NotEqualElem(ir) => compare_scalar(Comparison::NotEqual, ir),
        Ir::Cast(ir) => one(Op::Cast, &[&ir.input], &ir.out),
        // The contents of an empty tensor are undefined; zeros are as good, and repeatable.
        Ir::Empty(ir) | Ir::Zeros(ir) => one(Op::Zeros, &[], &ir.out),
        Ir::Ones(ir) => one(Op::Ones, &[], &ir.out),
        Ir::All(ir) => reduce(Reduction::All, ir),
        Ir::Any(ir) => reduce(Reduction::Any, ir),
        Ir::AllDim(ir) => reduce_dim(Reduction::All, ir),
        Ir::AnyDim(ir) => reduce_dim(Reduction::Any, ir),
    }
}

/// Operations on bool tensors: those above but for a few that Burn lacks.
pub(super) fn bool_operation(ir: &BaseOperationIr) -> Option<Imported> {
    let lacking = match ir {
        BaseOperationIr::GatherNd(_) | BaseOperationIr::ScatterNd(_) => true,
        BaseOperationIr::Scatter(scatter) => scatter.update != IndexingUpdateOp::Add,
        BaseOperationIr::SelectAssign(select) => select.update != IndexingUpdateOp::Add,
        _ => false,
    };
    if lacking { None } else { operation(ir) }
}

fn unfold(ir: &UnfoldOpIr) -> Option<Imported> {
    let (dim, size, step) = (ir.dim, ir.size, ir.step);
    one(Op::Unfold { dim, size, step }, &[&ir.input], &ir.out)
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
