//! Random values of a recording: refused, or drawn once from a seed and constants from then on.

use burn_backend::{DType, Distribution, TensorData};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use super::CaptureError;
use crate::{
    graph::{Constant, Graph, Node, Op, ValueType},
    panics::caught,
    seeds::Seeds,
};

/// Refuses a program whose outputs depend on random values.
pub(super) fn refuse(graph: &Graph) -> Result<(), CaptureError> {
    let live = graph.clone().without_dead_code();
    let draws = |node: &Node| node.op.is_random();
    let Some(position) = live.nodes.iter().position(draws) else {
        return Ok(());
    };
    let node = &live.nodes[position];
    let distribution = match &node.op {
        Op::Random(distribution) => format!("{distribution:?}"),
        other => other.name(),
    };
    let shape = node.outputs.first().map(|&output| live.value(output).shape.to_vec());
    Err(CaptureError::Random {
        position: position + 1,
        count: live.nodes.len(),
        distribution,
        shape: shape.unwrap_or_default(),
    })
}

/// The program with all random values drawn on the host: the same for the same seed, on every device and in every
/// precision. Also returns how many tensors were drawn.
///
/// # Errors
/// A distribution that cannot be drawn from, such as a normal one of negative deviation.
pub(super) fn once(mut graph: Graph, seed: u64) -> Result<(Graph, usize), CaptureError> {
    let mut seeds = Seeds::new(seed);
    let mut drawn = 0;
    for node in std::mem::take(&mut graph.nodes) {
        match (&node.op, node.outputs.first()) {
            (Op::Random(distribution), Some(&value)) => {
                let ty = &graph.values[value.index()];
                let data = caught(|| draw(ty, *distribution, seeds.next()));
                let data = data.map_err(|message| CaptureError::Panicked { message })?;
                graph.constants.push(Constant { value, data });
                drawn += 1;
            }
            _ => graph.nodes.push(node),
        }
    }
    Ok((graph, drawn))
}

fn draw(ty: &ValueType, distribution: Distribution, seed: u64) -> TensorData {
    let generator = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let shape = ty.shape.clone();
    match ty.dtype {
        DType::F64 => TensorData::random::<f64, _, _>(shape, distribution, generator),
        DType::I64 => TensorData::random::<i64, _, _>(shape, distribution, generator),
        DType::I32 => TensorData::random::<i32, _, _>(shape, distribution, generator),
        _ => TensorData::random::<f32, _, _>(shape, distribution, generator),
    }
}
