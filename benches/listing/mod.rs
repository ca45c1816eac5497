//! The operations of a program with the shapes of their operands, read from its listing.

use std::collections::HashMap;

use burn_curvature::program::Graph;

/// One line of a listing.
pub struct Operation {
    /// With its attributes, as in `Conv { … }`.
    pub name: String,
    pub operands: Vec<Vec<usize>>,
}

/// The operations in order. An operand without a shape is left out.
pub fn operations(program: &Graph) -> Vec<Operation> {
    let listing = program.to_string();
    let mut shapes: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut operations = Vec::new();
    for line in listing.lines() {
        let (typed, operation) = line.split_once(" = ").unwrap_or((line, ""));
        for value in typed.split('%').skip(1) {
            shapes.extend(value.split_once(": ").and_then(|(name, ty)| Some((name, sizes(ty)?))));
        }
        let Some((name, operands)) = operation.trim_end_matches(')').rsplit_once('(') else {
            continue;
        };
        let shape = |name: &str| shapes.get(name.trim_start_matches('%')).cloned();
        let operands = operands.split(", ").filter_map(shape).collect();
        operations.push(Operation { name: name.into(), operands });
    }
    operations
}

/// The sizes in a type such as `f32[2, 3]`.
fn sizes(ty: &str) -> Option<Vec<usize>> {
    let (_, sizes) = ty.split_once('[')?;
    let (sizes, _) = sizes.split_once(']')?;
    sizes.split(", ").map(|size| size.parse().ok()).collect()
}
