//! The matrix of a product, some columns at a time. Unit vectors are made where a program takes them and entries are read
//! from where it leaves them; no vector is made for a column.
//!
//! A unit vector is zero but in one parameter: each parameter has a program of its own, without what is zero for all of its
//! unit vectors. Columns of different parameters are made at the same time, as many as there are threads.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::{AutodiffBackend, DType, DataError, TensorData};

use super::{
    Engine, Objective,
    products::PreparedProduct,
    ready::Ready,
    split_program::{ManyProgram, SplitProgram},
};
use crate::{
    error::Error,
    operator::{DenseMatrix, LinearOperator, columns_by_products, zeros_for_columns},
    parallel::{map_each, on_threads},
    space::{ParamBlock, ParamLayout},
    tensor::{Operand, TensorError},
};

impl<B: AutodiffBackend> Objective<B> {
    /// Columns of the matrix of an operator whose products are Σ over batches of weight · factor · `product`. Collective.
    pub(crate) fn columns<A: LinearOperator<B>>(
        &self,
        operator: &A,
        product: &PreparedProduct<B>,
        positions: Range<usize>,
    ) -> Result<DenseMatrix, Error> {
        if self.engine() == Engine::Eager || self.is_shared() {
            return columns_by_products(operator, positions);
        }
        let mut entries = Entries {
            layout: self.layout(),
            values: zeros_for_columns(operator, &positions)?,
            positions: positions.clone(),
        };
        self.each_product(product, |part, ready| match ready {
            Ready::Compiled { programs, prepared, working } => {
                let all = Runs { programs, prepared, layout: self.layout() };
                all.add_to(&mut entries, product.weight(part), *working)
            }
            Ready::Eager { .. } => Ok(()),
        })?;
        DenseMatrix::new(self.layout().len(), positions.len(), entries.values)
    }
}

/// The runs of a product on one batch that make columns.
struct Runs<'a, B: AutodiffBackend> {
    programs: &'a SplitProgram<B>,
    prepared: &'a [Operand<B::InnerBackend>],
    layout: &'a ParamLayout,
}

/// A run for some unit vectors of one parameter.
struct Run<'a, B: AutodiffBackend> {
    program: Arc<ManyProgram<B>>,
    parameter: &'a ParamBlock,
    /// Positions of the unit vectors in θ-space.
    columns: Range<usize>,
    /// Vectors that the program takes; more of them than columns are zero.
    count: usize,
}

impl<B: AutodiffBackend> Runs<'_, B> {
    fn add_to(&self, entries: &mut Entries<'_>, weight: f64, bytes: usize) -> Result<(), Error> {
        let (runs, wave) = self.of_columns(&entries.positions, bytes)?;
        on_threads(|| {
            for wave in runs.chunks(wave) {
                let made = map_each(wave, |_| 1, |run| self.products(run));
                let made = made.into_iter().zip(wave).map(|(products, run)| {
                    let (columns, count) = (run.columns.clone(), run.count);
                    let axes = run.program.outputs.clone();
                    Ok(Made { columns, count, axes, products: products? })
                });
                entries.add(weight, &made.collect::<Result<Vec<_>, Error>>()?);
            }
            Ok(())
        })
    }

    /// The runs that make the columns at some positions, and of how many the products are held at a time.
    fn of_columns(
        &self,
        positions: &Range<usize>,
        bytes: usize,
    ) -> Result<(Vec<Run<'_, B>>, usize), Error> {
        let mut runs = Vec::new();
        let mut wave = usize::MAX;
        for (place, parameter) in self.layout.blocks().iter().enumerate() {
            let own = parameter.range();
            let wanted = own.start.max(positions.start)..own.end.min(positions.end);
            if wanted.is_empty() {
                continue;
            }
            let together = self.programs.together_of(place, positions.len(), bytes);
            let rounds = wanted.len().div_ceil(together.run);
            let count = wanted.len().div_ceil(rounds);
            let program = self.programs.many_of(place, count)?;
            wave = wave.min(together.wave);
            runs.extend(wanted.clone().step_by(count).map(|start| {
                let columns = start..wanted.end.min(start + count);
                Run { program: Arc::clone(&program), parameter, columns, count }
            }));
        }
        let wave = wave.min(runs.len()).max(1);
        Ok((runs, wave))
    }

    /// The products with the unit vectors of a run, one tensor for each parameter.
    fn products(&self, run: &Run<'_, B>) -> Result<Vec<Numbers>, Error> {
        let program = &run.program.program;
        let vectors = program.graph().inputs().last();
        let dtype = vectors.map(|&vectors| program.graph().value(vectors).dtype);
        let axis = run.program.inputs.first().copied().unwrap_or(0);
        let units = unit_vectors(run, axis, dtype == Some(DType::F64));
        let units = vec![Operand::from_data(units, program.device())?];
        let products = program.run_beside(self.prepared, units)?.into_iter();
        products.map(|product| Numbers::of(product.into_data()?)).collect()
    }
}

/// The unit vectors of a run, as parts of one tensor with an axis for them.
fn unit_vectors<B: AutodiffBackend>(run: &Run<'_, B>, axis: usize, in_f64: bool) -> TensorData {
    let mut shape = run.parameter.shape().to_vec();
    let behind: usize = shape.iter().skip(axis).product();
    shape.insert(axis, run.count);
    let first = run.parameter.range().start;
    let ones = run.columns.clone().enumerate().map(|(vector, column)| {
        let position = column - first;
        (position / behind * run.count + vector) * behind + position % behind
    });
    let elements = shape.iter().product();
    if in_f64 {
        TensorData::new(with_ones(elements, 1.0_f64, ones), shape)
    } else {
        TensorData::new(with_ones(elements, 1.0_f32, ones), shape)
    }
}

fn with_ones<N: Copy + Default>(
    elements: usize,
    one: N,
    ones: impl Iterator<Item = usize>,
) -> Vec<N> {
    let mut all = vec![N::default(); elements];
    for position in ones {
        if let Some(element) = all.get_mut(position) {
            *element = one;
        }
    }
    all
}

/// What a run has made.
struct Made {
    columns: Range<usize>,
    count: usize,
    /// Where the axis is in each of the products' parts.
    axes: Vec<usize>,
    products: Vec<Numbers>,
}

/// The elements of a tensor. Their type is found once: to ask for a slice of it goes through all of them.
enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Numbers {
    fn of(data: TensorData) -> Result<Self, Error> {
        let read = |message: DataError| TensorError::Read { message: message.to_string() };
        if data.dtype() == DType::F64 {
            return Ok(Self::F64(data.try_into_vec().map_err(read)?));
        }
        Ok(Self::F32(data.try_into_vec().map_err(read)?))
    }
}

/// The entries of the columns at some positions, row by row.
struct Entries<'a> {
    layout: &'a ParamLayout,
    positions: Range<usize>,
    values: Vec<f64>,
}

/// Rows that one thread adds entries to at a time.
const ROWS: usize = 64;

/// Rows whose entries are read before those of others, so that what is read for one row is still in the nearest cache for the
/// next.
const TILE: usize = 16;

impl Entries<'_> {
    /// Adds weight · products; every thread has its own rows.
    fn add(&mut self, weight: f64, made: &[Made]) {
        let width = self.positions.len();
        let strips = self.values.chunks_mut(ROWS * width).enumerate();
        let strips: Vec<_> =
            strips.map(|(index, values)| Mutex::new((index * ROWS, values))).collect();
        map_each(
            &strips,
            |_| 1,
            |strip| {
                let mut strip = strip.lock().unwrap_or_else(PoisonError::into_inner);
                let (first, values) = &mut *strip;
                let mut strip = Strip { first: *first, width, left: self.positions.start, values };
                for made in made {
                    for (place, block) in self.layout.blocks().iter().enumerate() {
                        strip.add(weight, (place, block), made);
                    }
                }
            },
        );
    }
}

/// Some rows of the entries.
struct Strip<'a> {
    first: usize,
    width: usize,
    /// Position of the first column.
    left: usize,
    values: &'a mut [f64],
}

impl Strip<'_> {
    /// Adds the rows of one parameter, as far as they are here.
    fn add(&mut self, weight: f64, (place, block): (usize, &ParamBlock), made: &Made) {
        let (Some(products), Some(&axis)) = (made.products.get(place), made.axes.get(place)) else {
            return;
        };
        let own = block.range();
        let end = self.first + self.values.len() / self.width;
        let behind: usize = block.shape().iter().skip(axis).product();
        let mut start = own.start.max(self.first);
        while start < own.end.min(end) {
            // Rows whose entries follow each other in the products.
            let position = start - own.start;
            let run = behind - position % behind;
            let rows = start..own.end.min(end).min(start + run).min(start + TILE);
            let from = position / behind * made.count * behind + position % behind;
            start = rows.end;
            match products {
                Numbers::F32(all) => {
                    self.add_rows(weight, rows, made, all.get(from..).map(|x| (x, behind)));
                }
                Numbers::F64(all) => {
                    self.add_rows(weight, rows, made, all.get(from..).map(|x| (x, behind)));
                }
            }
        }
    }

    /// Adds some rows, of which the entries of each column follow each other, at a distance from those of the next column.
    fn add_rows<N: Copy + Into<f64>>(
        &mut self,
        weight: f64,
        rows: Range<usize>,
        made: &Made,
        elements: Option<(&[N], usize)>,
    ) {
        let Some((elements, distance)) = elements else { return };
        let left = (rows.start - self.first) * self.width + made.columns.start - self.left;
        let strip = self.values.get_mut(left..).unwrap_or_default();
        for (row, slots) in strip.chunks_mut(self.width).take(rows.len()).enumerate() {
            let own = elements.get(row..).unwrap_or_default().iter().step_by(distance);
            for (slot, &element) in slots.iter_mut().take(made.columns.len()).zip(own) {
                *slot += weight * element.into();
            }
        }
    }
}
