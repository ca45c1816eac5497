//! The instructions of a chain, and the registers that they share.

use std::collections::HashMap;

use burn_backend::Shape;

use super::chain::{Input, Instruction, Source, Step};
use crate::graph::{Node, ValueId};

/// Instructions whose registers are still their own positions.
#[derive(Default)]
pub(super) struct Lines {
    pub inputs: Vec<Input>,
    pub constants: Vec<f64>,
    code: Vec<Instruction>,
    of_value: HashMap<ValueId, usize>,
    /// Positions of the inputs that are a value, in one shape or another.
    of_input: HashMap<ValueId, Vec<usize>>,
    /// Positions of the constants, by their bits.
    of_constant: HashMap<u64, usize>,
}

impl Lines {
    /// Adds an operation, and returns which line computes it.
    pub fn add(&mut self, node: &Node, step: Step, shape: &Shape) -> Option<usize> {
        let line = self.line(node, step, shape)?;
        self.of_value.insert(*node.outputs.first()?, line);
        Some(line)
    }

    fn line(&mut self, node: &Node, step: Step, shape: &Shape) -> Option<usize> {
        let value = *node.inputs.first()?;
        if step == Step::Reshape {
            return self.of_value.get(&value).copied();
        }
        let first = self.source(value, shape);
        let (function, second) = match step {
            Step::One(function) => (function, None),
            Step::Two(function) => (function, Some(self.source(*node.inputs.get(1)?, shape))),
            Step::Number(function, number) => (function, Some(self.constant(number))),
            Step::Itself(function) => (function, Some(first)),
            Step::Reshape => return None,
        };
        let to = self.code.len();
        self.code.push(Instruction { function, first, second, to });
        Some(to)
    }

    fn source(&mut self, value: ValueId, shape: &Shape) -> Source {
        if let Some(&line) = self.of_value.get(&value) {
            return Source::Register(line);
        }
        let known = self.of_input.entry(value).or_default();
        let same = known.iter().find(|&&input| self.inputs[input].shape == *shape);
        Source::Input(same.copied().unwrap_or_else(|| {
            known.push(self.inputs.len());
            self.inputs.push(Input { value, shape: shape.clone() });
            self.inputs.len() - 1
        }))
    }

    fn constant(&mut self, number: f64) -> Source {
        Source::Constant(*self.of_constant.entry(number.to_bits()).or_insert_with(|| {
            self.constants.push(number);
            self.constants.len() - 1
        }))
    }

    /// The instructions with few registers, and how many there are. Registers are given from the last instruction to the
    /// first: that of a result is free before the result is written, and goes to the operand that is read last there.
    pub fn allocated(&self, results: &[usize]) -> (Vec<Instruction>, usize) {
        let mut registers: Vec<Option<usize>> = vec![None; self.code.len()];
        for (register, &line) in results.iter().enumerate() {
            registers[line] = Some(register);
        }
        let mut count = results.len();
        let mut free: Vec<usize> = Vec::new();
        let mut code = self.code.clone();
        for (line, instruction) in code.iter_mut().enumerate().rev() {
            let mut grant = |source: Source, free: &mut Vec<usize>| match source {
                Source::Register(line) => {
                    Source::Register(*registers[line].get_or_insert_with(|| {
                        free.pop().unwrap_or_else(|| {
                            count += 1;
                            count - 1
                        })
                    }))
                }
                other => other,
            };
            // Nothing reads a line without a register.
            let twice = Some(instruction.first) == instruction.second;
            if twice {
                instruction.first = grant(instruction.first, &mut free);
                instruction.second = Some(instruction.first);
            }
            let to = Source::Register(line);
            let Source::Register(own) = grant(to, &mut free) else { continue };
            instruction.to = own;
            free.push(own);
            if !twice {
                instruction.first = grant(instruction.first, &mut free);
                instruction.second = instruction.second.map(|second| grant(second, &mut free));
            }
        }
        (code, count)
    }
}
