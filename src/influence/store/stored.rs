//! Scores on disk, to be read.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    StoreError,
    journal::{Fingerprint, Journal, failed, named},
    npy,
};
use crate::influence::InfluenceReport;

/// A finished file of scores: a row for each query, a column for each training sample. No row is held in memory.
#[derive(Debug)]
pub struct StoredScores {
    path: PathBuf,
    file: File,
    journal: Journal,
    /// The report on the scores.
    pub report: InfluenceReport,
}

impl StoredScores {
    /// Opens the scores that [`ScorePlan::create`](super::ScorePlan::create) wrote.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unfinished`], [`StoreError::Damaged`], [`StoreError::File`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if !path.exists() {
            return Err(StoreError::Missing { path: named(path) });
        }
        let journal = Journal::read(path)?;
        let (done, queries) = (journal.done, journal.fingerprint.queries);
        let Some(report) = journal.report.clone().filter(|_| done == queries) else {
            return Err(StoreError::Unfinished { path: named(path), done, queries });
        };
        let mut file = File::open(path).map_err(|error| failed(path, &error))?;
        let length = file.metadata().map_err(|error| failed(path, &error))?.len();
        journal.expect_length(path, length)?;
        let mut header = vec![0; journal.header().len()];
        file.read_exact(&mut header).map_err(|error| failed(path, &error))?;
        if header != journal.header() {
            let reason = "its header is not that of its description".into();
            return Err(StoreError::Damaged { path: named(path), reason });
        }
        Ok(Self { path: path.into(), file, journal, report })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.journal.fingerprint.queries
    }

    /// Number of training samples: those of one rank, if the training objective was shared.
    pub fn samples(&self) -> usize {
        self.journal.fingerprint.samples
    }

    /// Number of training samples of the ranks before this one: the index of the first column among all.
    pub fn first_sample(&self) -> usize {
        self.journal.fingerprint.first
    }

    /// The scores of all samples for a query.
    ///
    /// # Errors
    /// [`StoreError::NoSuchQuery`], [`StoreError::File`].
    pub fn row(&mut self, query: usize) -> Result<Vec<f64>, StoreError> {
        let Fingerprint { written, queries, samples, .. } = self.journal.fingerprint;
        if query >= queries {
            return Err(StoreError::NoSuchQuery { path: named(&self.path), query, queries });
        }
        let mut bytes = vec![0; samples * written.bytes()];
        let start = SeekFrom::Start(self.journal.length(query));
        let read = self.file.seek(start).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| failed(&self.path, &error))?;
        Ok(npy::decoded(written, &bytes))
    }
}
