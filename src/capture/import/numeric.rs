//! Imports operations that exist for float and int tensors.

use burn_ir::{
    BinaryOpIr, DimOpIr, NumericOperationIr, PadModeIr, ReduceDimOpIr, ReduceDimWithIndicesOpIr,
    ScalarOpIr, SortOpIr, TensorIr, UnaryOpIr,
};

use super::{
    Imported,
    base::{compare, compare_scalar, reduce, reduce_dim},
    literal, many, one,
};
use crate::graph::{Binary, Comparison, Cumulative, Literal, Op, Reduction, SortOutputs, Unary};

/// Operations on float and int tensors.
pub(super) fn operation(ir: &NumericOperationIr) -> Option<Imported> {
    use NumericOperationIr as Ir;
    match ir {
        Ir::Add(ir) => binary(Binary::Add, ir),
        Ir::Sub(ir) => binary(Binary::Sub, ir),
        Ir::Mul(ir) => binary(Binary::Mul, ir),
        Ir::Div(ir) => binary(Binary::Div, ir),
        Ir::Rem(ir) => binary(Binary::Rem, ir),
        Ir::Powi(ir) => binary(Binary::Powi, ir),
        Ir::AddScalar(ir) => scalar(Binary::Add, ir),
        Ir::SubScalar(ir) => scalar(Binary::Sub, ir),
        Ir::MulScalar(ir) => scalar(Binary::Mul, ir),
        Ir::DivScalar(ir) => scalar(Binary::Div, ir),
        Ir::RemScalar(ir) => scalar(Binary::Rem, ir),
        Ir::PowiScalar(ir) => scalar(Binary::Powi, ir),
        Ir::Abs(ir) => unary(Unary::Abs, ir),
        Ir::Neg(ir) => unary(Unary::Neg, ir),
        Ir::Sign(ir) => unary(Unary::Sign, ir),
        Ir::Full(ir) => one(Op::Full(literal(ir.value)), &[], &ir.out),
        Ir::IntRandom(ir) => one(Op::Random(ir.distribution), &[], &ir.out),
        Ir::Greater(ir) => compare(Comparison::Greater, ir),
        Ir::GreaterEqual(ir) => compare(Comparison::GreaterEqual, ir),
        Ir::Lower(ir) => compare(Comparison::Lower, ir),
        Ir::LowerEqual(ir) => compare(Comparison::LowerEqual, ir),
        Ir::GreaterElem(ir) => compare_scalar(Comparison::Greater, ir),
        Ir::GreaterEqualElem(ir) => compare_scalar(Comparison::GreaterEqual, ir),
        Ir::LowerElem(ir) => compare_scalar(Comparison::Lower, ir),
        Ir::LowerEqualElem(ir) => compare_scalar(Comparison::LowerEqual, ir),
        Ir::Clamp(ir) => clamp(Some(literal(ir.min)), Some(literal(ir.max)), [&ir.tensor, &ir.out]),
        Ir::ClampMin(ir) => clamp(Some(literal(ir.rhs)), None, [&ir.lhs, &ir.out]),
        Ir::ClampMax(ir) => clamp(None, Some(literal(ir.rhs)), [&ir.lhs, &ir.out]),
        Ir::Pad(ir) => {
            let op = Op::Pad { padding: ir.padding.clone(), mode: PadModeIr::into(ir.mode) };
            one(op, &[&ir.input], &ir.out)
        }
        Ir::Sum(ir) => reduce(Reduction::Sum, ir),
        Ir::Mean(ir) => reduce(Reduction::Mean, ir),
        Ir::Prod(ir) => reduce(Reduction::Prod, ir),
        Ir::Max(ir) => reduce(Reduction::Max, ir),
        Ir::Min(ir) => reduce(Reduction::Min, ir),
        Ir::MaxAbs(ir) => reduce(Reduction::MaxAbs, ir),
        Ir::SumDim(ir) => reduce_dim(Reduction::Sum, ir),
        Ir::MeanDim(ir) => reduce_dim(Reduction::Mean, ir),
        Ir::ProdDim(ir) => reduce_dim(Reduction::Prod, ir),
        Ir::MaxDim(ir) => reduce_dim(Reduction::Max, ir),
        Ir::MinDim(ir) => reduce_dim(Reduction::Min, ir),
        Ir::MaxAbsDim(ir) => reduce_dim(Reduction::MaxAbs, ir),
        Ir::ArgMax(ir) => reduce_dim(Reduction::ArgMax, ir),
        Ir::ArgMin(ir) => reduce_dim(Reduction::ArgMin, ir),
        Ir::SumDims(ir) => one(Op::SumDims(ir.axes.clone()), &[&ir.input], &ir.out),
        Ir::MaxDimWithIndices(ir) => extremum(true, ir),
        Ir::MinDimWithIndices(ir) => extremum(false, ir),
        Ir::TopK(ir) => top_k(SortOutputs::Values, ir),
        Ir::ArgTopK(ir) => top_k(SortOutputs::Indices, ir),
        Ir::TopKWithIndices(ir) => {
            let op = Op::TopK { dim: ir.dim, k: ir.k, outputs: SortOutputs::Both };
            many(op, &[&ir.tensor], &[&ir.out, &ir.out_indices])
        }
        Ir::Sort(ir) => sort(SortOutputs::Values, ir),
        Ir::ArgSort(ir) => sort(SortOutputs::Indices, ir),
        Ir::SortWithIndices(ir) => {
            let (dim, descending, outputs) = (ir.dim, ir.descending, SortOutputs::Both);
            let op = Op::Sort { dim, descending, outputs };
            many(op, &[&ir.input], &[&ir.out, &ir.out_indices])
        }
        Ir::CumSum(ir) => cumulative(Cumulative::Sum, ir),
        Ir::CumProd(ir) => cumulative(Cumulative::Prod, ir),
        Ir::CumMin(ir) => cumulative(Cumulative::Min, ir),
        Ir::CumMax(ir) => cumulative(Cumulative::Max, ir),
    }
}

fn clamp(
    min: Option<Literal>,
    max: Option<Literal>,
    [input, out]: [&TensorIr; 2],
) -> Option<Imported> {
    one(Op::Clamp { min, max }, &[input], out)
}

fn cumulative(function: Cumulative, ir: &DimOpIr) -> Option<Imported> {
    one(Op::Cumulative(function, ir.axis), &[&ir.input], &ir.out)
}

/// A function of one tensor.
pub(super) fn unary(function: Unary, ir: &UnaryOpIr) -> Option<Imported> {
    one(Op::Unary(function), &[&ir.input], &ir.out)
}

/// A function of two tensors.
pub(super) fn binary(function: Binary, ir: &BinaryOpIr) -> Option<Imported> {
    one(Op::Binary(function), &[&ir.lhs, &ir.rhs], &ir.out)
}

/// A function of a tensor and a literal.
pub(super) fn scalar(function: Binary, ir: &ScalarOpIr) -> Option<Imported> {
    let op = Op::BinaryScalar(function, literal(ir.rhs));
    one(op, &[&ir.lhs], &ir.out)
}

fn extremum(largest: bool, ir: &ReduceDimWithIndicesOpIr) -> Option<Imported> {
    let op = Op::ExtremumWithIndices { dim: ir.dim, largest };
    many(op, &[&ir.tensor], &[&ir.out, &ir.out_indices])
}

fn top_k(outputs: SortOutputs, ir: &ReduceDimOpIr) -> Option<Imported> {
    let op = Op::TopK {
        dim: ir.axis,
        // How many elements the reduction keeps: the recording's name for k.
        k: ir.accumulator_len,
        outputs,
    };
    one(op, &[&ir.input], &ir.out)
}

fn sort(outputs: SortOutputs, ir: &SortOpIr) -> Option<Imported> {
    let op = Op::Sort { dim: ir.dim, descending: ir.descending, outputs };
    one(op, &[&ir.input], &ir.out)
}
