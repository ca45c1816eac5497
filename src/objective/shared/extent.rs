//! The shape of a tensor that is summed over ranks, and what of it is sent.

/// What of a tensor is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// All elements.
    Whole(Vec<usize>),
    /// The triangles of symmetric matrices `[groups, size, size]`.
    Symmetric { groups: usize, size: usize },
}

impl Extent {
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Extent::Whole(shape) => shape.clone(),
            &Extent::Symmetric { groups, size } => vec![groups, size, size],
        }
    }

    /// Elements that are sent.
    pub fn len(&self) -> usize {
        match self {
            Extent::Whole(shape) => shape.iter().product(),
            Extent::Symmetric { groups, size } => groups * size * (size + 1) / 2,
        }
    }

    /// The elements that are sent.
    pub fn pack<N: Copy>(&self, elements: Vec<N>) -> Vec<N> {
        let &Extent::Symmetric { groups, size } = self else { return elements };
        let at = |group: usize, row: usize| (group * size + row) * size;
        let rows = (0..groups).flat_map(|group| (0..size).map(move |row| (group, row)));
        rows.flat_map(|(group, row)| elements[at(group, row) + row..at(group, row) + size].to_vec())
            .collect()
    }

    /// All elements of a tensor, from those that are sent.
    pub fn unpack<N: Copy + Default>(&self, sent: &[N]) -> Vec<N> {
        let &Extent::Symmetric { groups, size } = self else { return sent.to_vec() };
        let mut elements = vec![N::default(); groups * size * size];
        let mut sent = sent.iter();
        for group in 0..groups {
            for row in 0..size {
                for (column, &element) in (row..size).zip(&mut sent) {
                    elements[(group * size + row) * size + column] = element;
                    elements[(group * size + column) * size + row] = element;
                }
            }
        }
        elements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_matrices_go_as_triangles() {
        let extent = Extent::Symmetric { groups: 2, size: 3 };
        let of = |group: usize, row: usize, column: usize| {
            (100 * group + 10 * row.min(column) + row.max(column)) as f32
        };
        let elements: Vec<f32> = (0..18).map(|at| of(at / 9, at / 3 % 3, at % 3)).collect();
        let sent = extent.pack(elements.clone());
        assert_eq!((sent.len(), extent.len()), (12, 12));
        assert_eq!(extent.unpack(&sent), elements);
        let whole = Extent::Whole(vec![2, 3]);
        assert_eq!(whole.unpack(&whole.pack(vec![1, 2, 3, 4, 5, 6])), [1, 2, 3, 4, 5, 6]);
    }
}
