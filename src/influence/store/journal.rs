//! The description of scores on disk: the run they belong to, and how many queries are done.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{StoreError, npy};
use crate::{influence::InfluenceReport, tensor::Precision};

const FORMAT: &str = "burn-curvature.scores.1";

/// What identifies a run. Equal fingerprints belong to the same scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    /// The settings of the influence, as JSON.
    pub settings: String,
    /// Names and shapes of the parameters.
    pub layout: String,
    /// θ, bit by bit.
    pub parameters: String,
    pub queries: usize,
    /// Training samples of this rank, and how many other ranks have before them.
    pub samples: usize,
    pub first: usize,
    /// Format that scores are computed in, and that they are written in.
    pub computed: Precision,
    pub written: Precision,
    /// Sums over the losses of the training samples and over the query, with random weights.
    pub training: f64,
    pub query: f64,
    /// Vectors of the query, bit by bit.
    #[serde(default)]
    pub vectors: String,
    #[serde(default)]
    pub reduction: String,
    /// Number of batches, where scores depend on more than their sum.
    #[serde(default)]
    pub batches: Option<usize>,
    /// The number of samples of each of them, bit by bit.
    #[serde(default)]
    pub sizes: String,
    /// Differences of the two checksums that count as rounding.
    #[serde(skip)]
    pub rounding: [f64; 2],
}

impl Fingerprint {
    /// Checks that the scores at a path are of this run.
    pub fn expect_same(&self, path: &Path, found: &Self) -> Result<(), StoreError> {
        let number = |value: usize| value.to_string();
        let batches = |value: Option<usize>| value.map_or_else(|| "of no matter".into(), number);
        let precision = |value: Precision| value.to_string();
        let texts = [
            ("the settings are", self.settings.clone(), found.settings.clone()),
            ("the layout of the parameters is", self.layout.clone(), found.layout.clone()),
            ("the number of queries is", number(self.queries), number(found.queries)),
            ("the number of samples is", number(self.samples), number(found.samples)),
            (
                "the number of samples of the ranks before is",
                number(self.first),
                number(found.first),
            ),
            ("the precision is", precision(self.computed), precision(found.computed)),
            ("the precision on disk is", precision(self.written), precision(found.written)),
            ("the fingerprint of θ is", self.parameters.clone(), found.parameters.clone()),
            (
                "the fingerprint of the query's vectors is",
                self.vectors.clone(),
                found.vectors.clone(),
            ),
            (
                "the reduction of the training loss is",
                self.reduction.clone(),
                found.reduction.clone(),
            ),
            ("the number of batches is", batches(self.batches), batches(found.batches)),
            (
                "the fingerprint of the sizes of the batches is",
                self.sizes.clone(),
                found.sizes.clone(),
            ),
        ];
        let sums = [
            ("the checksum of the training samples is", self.training, found.training),
            ("the checksum of the queries is", self.query, found.query),
        ];
        let texts = texts.into_iter().map(|(what, own, other)| (what, own == other, own, other));
        let sums = sums.into_iter().zip(self.rounding).map(|((what, own, other), rounding)| {
            (what, (own - other).abs() <= rounding, own.to_string(), other.to_string())
        });
        match texts.chain(sums).find(|(_, same, ..)| !same) {
            None => Ok(()),
            Some((what, _, expected, found)) => {
                Err(StoreError::OtherRun { path: named(path), what, found, expected })
            }
        }
    }
}

/// The description of scores, in a file of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: String,
    pub fingerprint: Fingerprint,
    /// Queries whose scores are written.
    pub done: usize,
    /// The report on them.
    pub report: Option<InfluenceReport>,
    /// The same before the last block, to which a rank returns if another rank has not written that block.
    pub before: Option<Box<Written>>,
}

/// What has been written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Written {
    pub done: usize,
    pub report: Option<InfluenceReport>,
}

impl Journal {
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self { format: FORMAT.into(), fingerprint, done: 0, report: None, before: None }
    }

    /// Counts a block of queries.
    pub fn add(&mut self, queries: usize, report: InfluenceReport) {
        let before = Written { done: self.done, report: self.report.take() };
        self.done += queries;
        self.report = Some(match before.report.clone() {
            None => report,
            Some(before) => before.followed_by(report),
        });
        self.before = Some(Box::new(before));
    }

    /// Returns to a number of queries; false if that is not one block back.
    pub fn go_back(&mut self, done: usize) -> bool {
        let before = self.before.take().filter(|before| before.done == done);
        before.is_some_and(|before| {
            (self.done, self.report) = (before.done, before.report);
            true
        })
    }

    /// Where the description of a file of scores is.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    }

    /// The description of the scores at a path.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let file = Self::beside(path);
        if !file.exists() {
            return Err(StoreError::Missing { path: named(&file) });
        }
        let text = fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
        let journal: Self = serde_json::from_str(&text).map_err(|error| StoreError::Damaged {
            path: named(&file),
            reason: format!("it is no description of scores ({error})"),
        })?;
        if journal.format != FORMAT {
            let (path, found) = (named(&file), journal.format);
            let reason = format!("its format is {found:?}, and this version reads {FORMAT:?}");
            return Err(StoreError::Damaged { path, reason });
        }
        Ok(journal)
    }

    /// Replaces the description of the scores at a path, completely or not at all, also if the machine stops: the new one is on
    /// disk before it takes the name of the old one, and its name before the next block.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let file = Self::beside(path);
        let mut fresh = file.clone().into_os_string();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| failed(&file, &error))?;
        let on_disk = fs::File::create(&fresh).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        on_disk.map_err(|error| failed(&fresh, &error))?;
        let named = fs::rename(&fresh, &file).and_then(|()| sync_folder(folder_of(&file)));
        named.map_err(|error| failed(&file, &error))
    }

    /// Bytes of the file of scores with a number of queries.
    pub fn length(&self, queries: usize) -> u64 {
        let Fingerprint { written, samples, .. } = self.fingerprint;
        // A damaged description may name any numbers; no file is as long as the largest.
        let elements = (queries as u64).saturating_mul(samples as u64);
        elements.saturating_mul(written.bytes() as u64).saturating_add(self.header().len() as u64)
    }

    pub fn header(&self) -> Vec<u8> {
        let Fingerprint { written, queries, samples, .. } = self.fingerprint;
        npy::header(written, [queries, samples])
    }

    /// Checks the length of the file of scores.
    pub fn expect_length(&self, path: &Path, found: u64) -> Result<(), StoreError> {
        let (done, expected) = (self.done, self.length(self.done));
        let whole = self.done == self.fingerprint.queries;
        if found == expected || (found > expected && !whole) {
            return Ok(()); // what is beyond was written when the last run was interrupted
        }
        let reason = format!("it has {found} bytes, and {expected} are those of {done} queries");
        Err(StoreError::Damaged { path: named(path), reason })
    }
}

/// The folder of a file.
fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Waits until the names in a folder are on disk, where a folder can be opened and waited for.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match fs::File::open(folder)?.sync_all() {
        // Some file systems over a network have no such call for folders.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

pub(super) fn named(path: &Path) -> String {
    path.display().to_string()
}

/// A failure that the operating system reports.
pub(super) fn failed(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::File { path: named(path), message: error.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A bare name is in the current folder, whose own path is empty.
    #[test]
    fn the_folder_of_a_file_can_be_waited_for() {
        assert_eq!(folder_of(Path::new("scores.npy.json")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/scores.npy.json")), Path::new("a"));
        assert_eq!(folder_of(Path::new("/scores.npy.json")), Path::new("/"));
        sync_folder(folder_of(Path::new("scores.npy.json"))).unwrap();
        assert!(cfg!(not(unix)) || sync_folder(Path::new("/no folder")).is_err());
    }
}
