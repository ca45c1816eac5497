//! Values in other shapes and with their dimensions in another order, mostly without a copy.
//!
//! A value lies in memory in the order of its indices, or is a view of one that does, with its dimensions in another order.
//! Dimensions can be merged into one without a copy where they follow each other in memory: in a view Vᵀ of V `[n, k, p]`,
//! n and k can, k and p can, n and p cannot.

use std::ops::Range;

use super::stack::{Stack, Stacked};
use crate::graph::{Binary, Op, ValueId};

/// What a value is a view of.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// A value that lies in the order of its indices.
    source: ValueId,
    /// For each dimension of the view, the one of the source.
    axes: Vec<usize>,
}

impl Stack<'_> {
    /// Whether the elements of a value lie in the order of their indices.
    pub fn is_stored(&self, value: ValueId) -> bool {
        !self.views.contains_key(&value) && !self.scattered.contains(&value)
    }

    /// A value in another shape; reshapes of reshapes are one, and dimensions of size one come and go without a copy.
    pub fn reshape(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        let own = self.shape(value);
        if own == shape {
            return value;
        }
        let large = |shape: &[usize]| -> Vec<usize> {
            (0..shape.len()).filter(|&dim| shape[dim] != 1).collect()
        };
        let (from, to) = (large(&own), large(shape));
        let sizes =
            |shape: &[usize], of: &[usize]| of.iter().map(|&d| shape[d]).collect::<Vec<_>>();
        if self.views.contains_key(&value) && sizes(&own, &from) == sizes(shape, &to) {
            let mut groups = vec![Vec::new(); shape.len()];
            to.iter().zip(from).for_each(|(&to, from)| groups[to] = vec![from]);
            if let Some(view) = self.grouped(value, &groups) {
                return view;
            }
        }
        let source = *self.reshaped.get(&value).unwrap_or(&value);
        if self.shape(source) == shape {
            return source;
        }
        let output = self.emit(Op::Reshape, vec![source], shape, source);
        if self.is_stored(source) {
            self.reshaped.insert(output, source);
        }
        output
    }

    pub fn expand(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        if self.shape(value) == shape {
            return value;
        }
        self.emit(Op::Expand, vec![value], shape, value)
    }

    /// A value with its dimensions in another order; such views of views are one.
    pub fn permute(&mut self, value: ValueId, axes: &[usize]) -> ValueId {
        if axes.is_sorted() {
            return value;
        }
        let (source, axes) = match self.views.get(&value) {
            Some(view) => (view.source, axes.iter().map(|&axis| view.axes[axis]).collect()),
            None => (value, axes.to_vec()),
        };
        if axes.is_sorted() {
            return source;
        }
        let own = self.shape(source);
        let shape: Vec<usize> = axes.iter().map(|&axis| own[axis]).collect();
        let stored = self.is_stored(source);
        if stored && axes.iter().filter(|&&axis| own[axis] != 1).is_sorted() {
            return self.reshape(source, &shape);
        }
        let output = self.emit(Op::Permute(axes.clone()), vec![source], &shape, source);
        if stored {
            self.scattered.remove(&output);
            self.views.insert(output, View { source, axes });
        }
        output
    }

    /// A value with some of its dimensions merged and all in another order: one dimension for each group, which lists those
    /// of the value. A group of none has size one, and dimensions of size one may be left out. `None` if this takes a copy.
    pub fn grouped(&mut self, value: ValueId, groups: &[Vec<usize>]) -> Option<ValueId> {
        let (source, axes) = match self.views.get(&value) {
            Some(view) => (view.source, view.axes.clone()),
            None if self.is_stored(value) => (value, (0..self.rank(value)).collect()),
            None => return None,
        };
        let sizes = self.shape(source);
        let large: Vec<usize> = (0..sizes.len()).filter(|&dim| sizes[dim] != 1).collect();
        let mut places = Vec::with_capacity(groups.len());
        for group in groups {
            let own = group.iter().map(|&dim| axes[dim]);
            let own: Vec<usize> =
                own.filter_map(|dim| large.iter().position(|&large| large == dim)).collect();
            if own.windows(2).any(|pair| pair[1] != pair[0] + 1) {
                return None;
            }
            places.push(own);
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|&group| places[group].first().copied());
        let size = |group: usize| places[group].iter().map(|&at| sizes[large[at]]).product();
        let shape: Vec<usize> = order.iter().map(|&group| size(group)).collect();
        let merged = self.reshape(source, &shape);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &group)| back[group] = at);
        Some(self.permute(merged, &back))
    }

    /// The same with a copy where it takes one.
    pub fn regrouped(&mut self, value: ValueId, groups: &[Vec<usize>]) -> ValueId {
        if let Some(view) = self.grouped(value, groups) {
            return view;
        }
        let own = self.shape(value);
        let size = |group: &Vec<usize>| group.iter().map(|&dim| own[dim]).product();
        let shape: Vec<usize> = groups.iter().map(size).collect();
        let listed: Vec<usize> = groups.iter().flatten().copied().collect();
        let missing = (0..own.len()).filter(|dim| !listed.contains(dim));
        let axes: Vec<usize> = missing.chain(listed.iter().copied()).collect();
        let turned = self.permute(value, &axes);
        self.reshape(turned, &shape)
    }

    /// A value with the axis at another place.
    pub fn moved(&mut self, Stacked { value, axis }: Stacked, to: usize) -> ValueId {
        let mut axes: Vec<usize> = (0..self.rank(value)).filter(|&dim| dim != axis).collect();
        axes.insert(to, axis);
        self.permute(value, &axes)
    }

    /// A value of the source for all vectors; broadcast along a leading axis where it depends on none.
    pub fn settled(&mut self, value: ValueId) -> Stacked {
        match self.find(value) {
            Some(stacked) => stacked,
            None => Stacked { value: self.full(value, 0), axis: 0 },
        }
    }

    /// A value of the source with the axis, of size one where it depends on no vector, and with dimensions of size one in
    /// front up to a rank; `behind` is the number of dimensions after the axis.
    pub fn aligned(&mut self, value: ValueId, rank: usize, behind: usize) -> ValueId {
        let mut shape = self.shape(value);
        let own = shape.len();
        let (from, size) = match self.find(value) {
            Some(stacked) => (self.moved(stacked, own - behind.min(own)), self.count()),
            None => (value, 1),
        };
        shape.splice(0..0, std::iter::repeat_n(1, rank - own));
        shape.insert(rank - behind, size);
        self.reshape(from, &shape)
    }

    /// A value of the source with the axis at a place; broadcast along it where it depends on no vector.
    pub fn full(&mut self, value: ValueId, axis: usize) -> ValueId {
        let rank = self.rank(value);
        let aligned = self.aligned(value, rank, rank - axis);
        let shape = self.with_axis(value, axis);
        self.expand(aligned, &shape)
    }

    /// Operands of an operation element by element in a shape that one of them had before it was reshaped to that of the
    /// result, so that reshapes there and back fall away; and this shape. The others must have all or none of what it
    /// merges.
    pub fn merged_operands(
        &mut self,
        operands: &[ValueId],
        shape: &[usize],
    ) -> Option<(Vec<ValueId>, Vec<usize>)> {
        if operands.iter().any(|&operand| !self.is_stored(operand)) {
            return None;
        }
        let mut whole = operands.iter().filter(|&&operand| self.shape(operand) == shape);
        let merged = whole.find_map(|operand| self.reshaped.get(operand).copied())?;
        let merged = self.shape(merged);
        let groups = groups(shape, &merged).filter(|groups| groups.len() < shape.len())?;
        let mut shapes = Vec::with_capacity(operands.len());
        for &operand in operands {
            let own = self.shape(operand);
            let sizes = groups.iter().map(|group| {
                let (own, all) = (own.get(group.clone())?, shape.get(group.clone())?);
                let whole = own == all || own.iter().all(|&size| size == 1);
                whole.then(|| own.iter().product())
            });
            shapes.push(sizes.collect::<Option<Vec<usize>>>()?);
        }
        let operands = operands.iter().zip(shapes);
        let operands = operands.map(|(&operand, shape)| self.reshape(operand, &shape)).collect();
        Some((operands, merged))
    }

    /// A float value stored in the order of its indices, as not every operation takes a view: a product with ones.
    pub fn stored(&mut self, value: ValueId) -> ValueId {
        if self.is_stored(value) {
            return value;
        }
        let shape = self.shape(value);
        let ones = self.emit(Op::Ones, vec![], &shape, value);
        self.emit(Op::Binary(Binary::Mul), vec![ones, value], &shape, value)
    }

    /// A value of the source whose dimension `at` counts all vectors too: `[a, b]` becomes `[a, k·b]` for 1, or `[a, b·k]`
    /// with the vectors `after` it.
    pub fn merged(&mut self, value: ValueId, at: usize, after: bool) -> ValueId {
        let full = self.full(value, at + usize::from(after));
        let mut shape = self.shape(value);
        shape[at] *= self.count();
        self.reshape(full, &shape)
    }

    /// The inverse: a value of the shape of `output`, but for its dimension `at`, which counts all vectors too.
    pub fn parted(&mut self, value: ValueId, at: usize, after: bool, output: ValueId) -> Stacked {
        let axis = at + usize::from(after);
        let shape = self.with_axis(output, axis);
        Stacked { value: self.reshape(value, &shape), axis }
    }

    /// Whether the axis of the vectors of a value is after its dimension `at` rather than before.
    pub fn is_after(&mut self, value: ValueId, at: usize) -> bool {
        self.find(value).is_some() && self.settled(value).axis == at + 1
    }
}

/// The dimensions of a shape that are one dimension each of another, which has as many elements.
fn groups(shape: &[usize], merged: &[usize]) -> Option<Vec<Range<usize>>> {
    let mut groups = Vec::with_capacity(merged.len());
    let mut start = 0;
    for (place, &size) in merged.iter().enumerate() {
        let last = place + 1 == merged.len();
        let mut end = start;
        let mut product = 1;
        while end < shape.len() && (product < size || last) {
            product *= shape[end];
            end += 1;
        }
        if product != size {
            return None;
        }
        groups.push(start..end);
        start = end;
    }
    (start == shape.len()).then_some(groups)
}
