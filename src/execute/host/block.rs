//! Runs a chain: block after block goes through all of its instructions while it is in the cache, on all threads if there
//! is enough to do.

use burn_backend::DType;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    chain::{Chain, Function, Instruction, Source},
    elements::{Elements, rows},
    number::{Number, fill},
};

use crate::parallel::are_busy;

/// Bytes of one register in one block: a chain's registers together fit into the caches of a core.
const BLOCK: usize = 1 << 12;

/// Additions from which on work is shared among threads.
const SHARED: usize = 1 << 17;

/// Runs a chain. `inputs` are the tensors it reads, `results` memory for its results, one tensor of its length each, which
/// nothing else uses. Returns whether the tensors are such.
pub(super) fn run(chain: &Chain, inputs: &[&FlexTensor], results: &mut [FlexTensor]) -> bool {
    let fits = |tensor: &FlexTensor| tensor.dtype() == chain.dtype;
    if !inputs.iter().copied().all(fits) || !results.iter().all(fits) {
        return false;
    }
    match chain.dtype {
        DType::F32 => run_in::<f32>(chain, inputs, results),
        _ => run_in::<f64>(chain, inputs, results),
    }
}

fn run_in<N: Number>(chain: &Chain, inputs: &[&FlexTensor], results: &mut [FlexTensor]) -> bool {
    if chain.len == 0 {
        return true;
    }
    let shaped = || inputs.iter().copied().zip(chain.inputs.iter().map(|input| &input.shape));
    let elements = shaped().map(|(tensor, shape)| Elements::<N>::new(tensor, shape));
    let Some(elements) = elements.collect::<Option<Vec<Elements<'_, N>>>>() else {
        let copied = |(tensor, shape)| rows(tensor, shape);
        let copies = shaped().map(copied).collect::<Option<Vec<FlexTensor>>>();
        return copies.is_some_and(|copies| {
            let copies: Vec<&FlexTensor> = copies.iter().collect();
            run_in::<N>(chain, &copies, results)
        });
    };
    let results = results.iter_mut().map(N::memory_mut).collect::<Option<Vec<&mut [N]>>>();
    let Some(results) = results.filter(|all| all.iter().all(|one| one.len() == chain.len)) else {
        return false;
    };
    let block = BLOCK / size_of::<N>();
    let large = chain.len.saturating_mul(cost(&chain.code)) >= SHARED && chain.len > block;
    let shared = large && !are_busy();
    if !shared {
        Task { start: 0, results }.run(chain, &elements);
        return true;
    }
    let blocks = chain.len.div_ceil(block).div_ceil(2 * rayon::current_num_threads());
    let tasks = split(results, chain.len, blocks * block);
    tasks.into_par_iter().for_each(|task| task.run(chain, &elements));
    true
}

/// Time of a chain per element, in additions.
fn cost(code: &[Instruction]) -> usize {
    let one = |instruction: &Instruction| match instruction.function {
        Function::Add
        | Function::Sub
        | Function::Mul
        | Function::Neg
        | Function::Abs
        | Function::Relu
        | Function::Greater => 1,
        Function::Div | Function::Recip | Function::Sqrt => 4,
        _ => 32,
    };
    code.iter().map(one).sum()
}

/// A part of the results.
struct Task<'a, N> {
    start: usize,
    results: Vec<&'a mut [N]>,
}

/// Parts of equal lengths.
fn split<N>(results: Vec<&mut [N]>, len: usize, part: usize) -> Vec<Task<'_, N>> {
    let starts = (0..len).step_by(part);
    let mut tasks: Vec<Task<'_, N>> =
        starts.map(|start| Task { start, results: Vec::with_capacity(results.len()) }).collect();
    for result in results {
        for (task, part) in tasks.iter_mut().zip(result.chunks_mut(part)) {
            task.results.push(part);
        }
    }
    tasks
}

impl<N: Number> Task<'_, N> {
    fn run(mut self, chain: &Chain, inputs: &[Elements<'_, N>]) {
        let len = self.results.first().map_or(0, |result| result.len());
        let width = len.min(BLOCK / size_of::<N>());
        if width == 0 {
            return;
        }
        let scratch = chain.registers - chain.results;
        let loaded = inputs.iter().filter(|input| !input.is_dense()).count();
        let mut memory = vec![N::default(); width * (scratch + chain.constants.len() + loaded)];
        let (scratch, fixed) = memory.split_at_mut(width * scratch);
        let (constants, own) = fixed.split_at_mut(width * chain.constants.len());
        for (to, &number) in constants.chunks_exact_mut(width).zip(&chain.constants) {
            fill(to, N::of(number));
        }
        let loaded = || inputs.iter().filter(|input| !input.is_dense());
        for (to, input) in own.chunks_exact_mut(width).zip(loaded()) {
            if let Elements::Uniform(number) = input {
                fill(to, *number);
            }
        }
        let mut registers: Vec<&mut [N]> = Vec::with_capacity(chain.registers);
        registers.extend(self.results.iter_mut().map(|_| &mut [][..]));
        registers.extend(scratch.chunks_exact_mut(width));
        for at in (0..len).step_by(width) {
            let (size, start) = (width.min(len - at), self.start + at);
            for (to, input) in own.chunks_exact_mut(width).zip(loaded()) {
                if let Elements::Strided(walk) = input {
                    walk.load(start, &mut to[..size]);
                }
            }
            for (register, result) in registers.iter_mut().zip(&mut self.results) {
                let (block, rest) = std::mem::take(result).split_at_mut(size);
                (*register, *result) = (block, rest);
            }
            Block { start, size, width, inputs, constants, own }.run(&chain.code, &mut registers);
        }
    }
}

/// What the instructions read besides registers, in one block.
struct Block<'a, N> {
    start: usize,
    size: usize,
    /// Distance of the elements of one constant, or of one input that is loaded, from those of the next.
    width: usize,
    inputs: &'a [Elements<'a, N>],
    constants: &'a [N],
    own: &'a [N],
}

impl<N: Number> Block<'_, N> {
    fn run(&self, code: &[Instruction], registers: &mut [&mut [N]]) {
        for &Instruction { function, first, second, to } in code {
            let own = Source::Register(to);
            let register = std::mem::take(&mut registers[to]);
            let y = &mut register[..self.size];
            let read = |source| self.read(source, registers);
            match second {
                Some(second) if first == own => N::combine(function, y, read(second)),
                Some(second) if second == own => N::combine_reversed(function, y, read(first)),
                Some(second) => {
                    y.copy_from_slice(read(first));
                    N::combine(function, y, read(second));
                }
                None => {
                    if first != own {
                        y.copy_from_slice(read(first));
                    }
                    N::map(function, y);
                }
            }
            registers[to] = register;
        }
    }

    fn read<'b>(&'b self, source: Source, registers: &'b [&mut [N]]) -> &'b [N] {
        match source {
            Source::Register(register) => &registers[register][..self.size],
            Source::Constant(constant) => &self.constants[constant * self.width..][..self.size],
            Source::Input(input) => match &self.inputs[input] {
                Elements::Dense(elements) => &elements[self.start..][..self.size],
                _ => {
                    let before = self.inputs[..input].iter().filter(|one| !one.is_dense());
                    &self.own[before.count() * self.width..][..self.size]
                }
            },
        }
    }
}
