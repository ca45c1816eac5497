//! Writes blocks of scores to a file, and updates its description after each.
//!
//! The scores of a block are on disk before the description counts them, so that an interruption at any moment leaves a
//! file that can be resumed: rows that the description does not count are written again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    StoreError, StoredScores,
    journal::{Fingerprint, Journal, failed, named},
    npy,
};
use crate::influence::InfluenceReport;

/// A file of scores that is being written, locked against other writers.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    journal: Journal,
}

impl Writer {
    /// Starts a new file; if that fails, there is none.
    pub fn create(path: &Path, fingerprint: &Fingerprint) -> Result<Self, StoreError> {
        let description = Journal::beside(path);
        if description.exists() {
            let path = named(if path.exists() { path } else { &description });
            return Err(StoreError::Exists { path, found: found(&description) });
        }
        let opened = OpenOptions::new().write(true).create_new(true).open(path);
        let file = opened.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                let found = "no description next to it".into();
                StoreError::Exists { path: named(path), found }
            }
            _ => failed(path, &error),
        })?;
        let begun = Self::begin(path, file, fingerprint);
        if begun.is_err() {
            Self::remove(path);
        }
        begun
    }

    fn begin(path: &Path, mut file: File, fingerprint: &Fingerprint) -> Result<Self, StoreError> {
        lock(path, &file)?;
        let journal = Journal::new(fingerprint.clone());
        let written = file.write_all(&journal.header()).and_then(|()| file.sync_data());
        written.map_err(|error| failed(path, &error))?;
        journal.write(path)?;
        Ok(Self { path: path.into(), file, journal })
    }

    /// Opens a file that was begun, and cuts off what its description does not count.
    pub fn resume(path: &Path, fingerprint: &Fingerprint) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing { path: named(path) });
        }
        Journal::read(path)?; // before the file is touched
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|error| failed(path, &error))?;
        lock(path, &file)?;
        let journal = Journal::read(path)?;
        fingerprint.expect_same(path, &journal.fingerprint)?;
        let length = file.metadata().map_err(|error| failed(path, &error))?.len();
        journal.expect_length(path, length)?;
        let mut writer = Self { path: path.into(), file, journal };
        writer.cut()?;
        Ok(writer)
    }

    /// Returns to the queries that all ranks have done.
    pub fn back_to(&mut self, done: usize) -> Result<(), StoreError> {
        let own = self.done();
        if done == own {
            return Ok(());
        }
        if !self.journal.go_back(done) {
            let reason = format!(
                "it holds the scores of {own} queries where another rank has those of {done}, and ranks are a block apart at \
                 most"
            );
            return Err(StoreError::Damaged { path: named(&self.path), reason });
        }
        self.journal.write(&self.path)?;
        self.cut()
    }

    /// Cuts off what the description does not count.
    fn cut(&mut self) -> Result<(), StoreError> {
        let end = self.journal.length(self.journal.done);
        let cut = self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)));
        cut.map(drop).map_err(|error| failed(&self.path, &error))
    }

    /// Removes a file that was just created.
    pub fn remove(path: &Path) {
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(Journal::beside(path));
    }

    /// Queries that are done.
    pub fn done(&self) -> usize {
        self.journal.done
    }

    /// Writes the rows that follow.
    pub fn append(&mut self, rows: &[Vec<f64>], report: InfluenceReport) -> Result<(), StoreError> {
        let precision = self.journal.fingerprint.written;
        for row in rows {
            let written = self.file.write_all(&npy::encoded(precision, row));
            written.map_err(|error| failed(&self.path, &error))?;
        }
        self.file.sync_data().map_err(|error| failed(&self.path, &error))?;
        self.journal.add(rows.len(), report);
        self.journal.write(&self.path)
    }

    /// Closes the file and opens it for reading.
    pub fn finish(self) -> Result<StoredScores, StoreError> {
        let Self { path, file, .. } = self;
        drop(file);
        StoredScores::open(path)
    }
}

/// A summary of a description, in words.
fn found(description: &Path) -> String {
    let scores = description.with_extension("");
    match Journal::read(&scores) {
        Ok(Journal { done, fingerprint: Fingerprint { queries, .. }, .. }) => {
            format!("the scores of {done} of {queries} queries")
        }
        Err(error) => error.to_string(),
    }
}

fn lock(path: &Path, file: &File) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: named(path) }),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(failed(path, &error)),
    }
}
