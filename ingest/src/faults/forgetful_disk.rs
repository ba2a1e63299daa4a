//! A disk that loses its power: what was not synced is kept or forgotten piece by piece.
//!
//! Every change is made in a real folder at once, so readers see it, and is remembered with
//! whether it was made durable. [`ForgetfulDisk::after_power_loss`] builds a folder as it may be
//! found afterwards:
//!
//! - of a file the synced bytes, and of every later write any of its sectors;
//! - of a folder the names as of its last sync, and any later changes of names, in order but with
//!   any of them left out: so a rename may be there without the bytes, or the other way around.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::disk::{Disk, DiskFile, LocalDisk};

const SECTOR: usize = 512;

/// The disk. It stops for good after so many changes.
#[derive(Debug, Clone)]
pub(super) struct ForgetfulDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    root: PathBuf,
    changes_left: u64,
    stopped: bool,
    files: HashMap<u64, Content>,
    next_file: u64,
    folders: HashMap<PathBuf, Names>,
}

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Places that were written since the last sync.
    dirty: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Names {
    now: BTreeMap<String, Named>,
    durable: BTreeMap<String, Named>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    File(u64),
    Folder,
}

/// One change of a folder's names: what goes and what comes, both or neither.
#[derive(Debug, Clone)]
struct Change {
    gone: Option<String>,
    come: Option<(String, Named)>,
}

#[derive(Debug)]
struct ForgetfulFile {
    file: Box<dyn DiskFile>,
    number: u64,
    /// Where the next write goes; at the end when it is none.
    at: Option<usize>,
    disk: ForgetfulDisk,
}

impl ForgetfulDisk {
    /// A disk whose folder `root` is durable as it is, and which stops after `changes` changes.
    pub(super) fn new(root: &Path, changes: u64) -> Self {
        let mut state = State {
            root: root.to_owned(),
            changes_left: changes,
            stopped: false,
            files: HashMap::new(),
            next_file: 1,
            folders: HashMap::new(),
        };
        state.find(root);
        Self(Arc::new(Mutex::new(state)))
    }

    /// Whether it has lost its power.
    pub(super) fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Loses its power now.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
    }

    /// Takes so many changes more. What was not synced before is not synced yet: it was the
    /// process that ended, or the disk refused for a while.
    pub(super) fn go_on(&self, changes: u64) {
        let mut state = self.lock();
        state.changes_left = changes;
        state.stopped = false;
    }

    /// Makes in `target` what may be found when the power is back.
    pub(super) fn after_power_loss(&self, random: &mut Random, target: &Path) {
        let state = self.lock();
        let root = state.root.clone();
        state.restore(&root, target, random);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The state for one change more, if there is power.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.changes_left == 0 {
            state.stopped = true;
        }
        if state.stopped {
            return Err(io::Error::other("the power is off"));
        }
        state.changes_left -= 1;
        Ok(state)
    }

    fn opened(
        &self,
        state: &mut State,
        path: &Path,
        file: Box<dyn DiskFile>,
        at: Option<usize>,
    ) -> Box<dyn DiskFile> {
        let number = state.file_at(path).expect("it was just made or found");
        Box::new(ForgetfulFile {
            file,
            number,
            at,
            disk: self.clone(),
        })
    }
}

impl State {
    /// Takes what is in a folder as durable.
    fn find(&mut self, folder: &Path) {
        let mut names = Names::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let named = if path.is_dir() {
                self.find(&path);
                Named::Folder
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let content = Content {
                    now: bytes.clone(),
                    durable: bytes,
                    dirty: Vec::new(),
                };
                Named::File(self.add(content))
            };
            names.now.insert(name(&path), named);
        }
        names.durable = names.now.clone();
        self.folders.insert(folder.to_owned(), names);
    }

    fn add(&mut self, content: Content) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        self.files.insert(number, content);
        number
    }

    fn file_at(&mut self, path: &Path) -> Option<u64> {
        match self.names(path).now.get(&name(path)) {
            Some(Named::File(number)) => Some(*number),
            _ => None,
        }
    }

    /// The names of the folder that a path is in.
    fn names(&mut self, path: &Path) -> &mut Names {
        let folder = path.parent().unwrap().to_owned();
        self.folders.entry(folder).or_default()
    }

    fn come(&mut self, path: &Path, named: Named) {
        let come = Some((name(path), named));
        self.names(path).apply(Change { gone: None, come });
    }

    fn gone(&mut self, path: &Path) {
        let gone = Some(name(path));
        self.names(path).apply(Change { gone, come: None });
    }

    fn restore(&self, folder: &Path, target: &Path, random: &mut Random) {
        let Some(names) = self.folders.get(folder) else {
            return;
        };
        let mut found = names.durable.clone();
        // Mostly a suffix is missing, now and then anything.
        let any = random.one_in(2);
        let kept = random.below(names.changes.len() as u64 + 1) as usize;
        for (place, change) in names.changes.iter().enumerate() {
            if if any { random.one_in(2) } else { place < kept } {
                change.clone().make(&mut found);
            }
        }
        for (name, named) in found {
            let to = target.join(&name);
            match named {
                Named::Folder => {
                    std::fs::create_dir(&to).unwrap();
                    self.restore(&folder.join(&name), &to, random);
                }
                Named::File(number) => {
                    std::fs::write(&to, self.files[&number].restored(random)).unwrap();
                }
            }
        }
    }
}

impl Names {
    fn apply(&mut self, change: Change) {
        change.clone().make(&mut self.now);
        self.changes.push(change);
    }
}

impl Change {
    fn make(self, names: &mut BTreeMap<String, Named>) {
        if let Some(gone) = self.gone {
            names.remove(&gone);
        }
        if let Some((name, named)) = self.come {
            names.insert(name, named);
        }
    }
}

impl Content {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[at..end].copy_from_slice(bytes);
        self.dirty.push((at, end));
    }

    fn cut(&mut self, length: usize) {
        self.now.resize(length, 0);
        // The length is a change as any other: it may be lost.
        self.dirty.push((length, length));
    }

    fn sync(&mut self) {
        if !self.dirty.is_empty() {
            self.durable.clone_from(&self.now);
            self.dirty.clear();
        }
    }

    fn restored(&self, random: &mut Random) -> Vec<u8> {
        let mut found = self.durable.clone();
        if self.dirty.is_empty() {
            return found;
        }
        let (short, long) = (found.len(), self.now.len());
        let length = match random.below(3) {
            0 => short,
            1 => long,
            _ => short.min(long) + random.below(short.abs_diff(long) as u64 + 1) as usize,
        };
        found.resize(length, 0);
        let all = random.one_in(4);
        for (from, to) in &self.dirty {
            let (mut at, to) = (*from, (*to).min(length).min(self.now.len()));
            while at < to {
                let end = ((at / SECTOR + 1) * SECTOR).min(to);
                if all || random.one_in(2) {
                    found[at..end].copy_from_slice(&self.now[at..end]);
                }
                at = end;
            }
        }
        found
    }
}

impl Disk for ForgetfulDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.change()?;
        let file = LocalDisk.create(path)?;
        match state.file_at(path) {
            Some(number) => state.files.get_mut(&number).unwrap().cut(0),
            None => {
                let number = state.add(Content::default());
                state.come(path, Named::File(number));
            }
        }
        Ok(self.opened(&mut state, path, file, Some(0)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.change()?;
        let file = LocalDisk.create_new(path)?;
        let number = state.add(Content::default());
        state.come(path, Named::File(number));
        Ok(self.opened(&mut state, path, file, Some(0)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.change()?;
        let file = LocalDisk.append(path)?;
        if state.file_at(path).is_none() {
            let number = state.add(Content::default());
            state.come(path, Named::File(number));
        }
        Ok(self.opened(&mut state, path, file, None))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        LocalDisk.rename(from, to)?;
        let named = state.file_at(from).expect("renamed files were made here");
        assert_eq!(
            from.parent(),
            to.parent(),
            "no file moves to another folder"
        );
        let change = Change {
            gone: Some(name(from)),
            come: Some((name(to), Named::File(named))),
        };
        state.names(to).apply(change);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        LocalDisk.link(from, to)?;
        let number = state.file_at(from).expect("linked files were made here");
        state.come(to, Named::File(number));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        LocalDisk.remove(path)?;
        state.gone(path);
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        LocalDisk.create_folder(path)?;
        state.come(path, Named::Folder);
        state.folders.insert(path.to_owned(), Names::default());
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        if let Some(names) = state.folders.get_mut(path) {
            names.durable = names.now.clone();
            names.changes.clear();
        }
        Ok(())
    }
}

impl ForgetfulFile {
    fn content<T>(
        &mut self,
        real: impl FnOnce(&mut dyn DiskFile) -> io::Result<T>,
        model: impl FnOnce(&mut Content, &T),
    ) -> io::Result<T> {
        let disk = self.disk.clone();
        let mut state = disk.change()?;
        let done = real(&mut *self.file)?;
        model(state.files.get_mut(&self.number).unwrap(), &done);
        Ok(done)
    }
}

impl Write for ForgetfulFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = self.at;
        let written = self.content(
            |file| file.write(bytes),
            |content, written| {
                let at = at.unwrap_or(content.now.len());
                content.write(at, &bytes[..*written]);
            },
        )?;
        self.at = at.map(|at| at + written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for ForgetfulFile {
    /// The real file is not synced: only the model forgets.
    fn sync(&mut self) -> io::Result<()> {
        self.content(|_| Ok(()), |content, ()| content.sync())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.content(
            |file| file.set_len(bytes),
            |content, ()| content.cut(bytes as usize),
        )
    }

    fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.at = Some(place as usize);
        self.file.seek_to(place)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be found of `old`, replaced by `new` in the given way, in many power cuts.
    fn outcomes(replace: impl Fn(&dyn Disk, &Path) -> io::Result<()>) -> Vec<String> {
        let mut found = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let (folder, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            std::fs::write(folder.path().join("file"), "old").unwrap();
            let mut random = Random::new(seed);
            let disk = ForgetfulDisk::new(folder.path(), random.below(8));
            drop(replace(&disk, &folder.path().join("file")));
            disk.stop();
            disk.after_power_loss(&mut random, after.path());
            let content = std::fs::read(after.path().join("file"));
            found.insert(content.map_or("nothing".to_owned(), |bytes| {
                String::from_utf8_lossy(&bytes).replace('\0', "0")
            }));
        }
        found.into_iter().collect()
    }

    #[test]
    fn a_file_replaced_in_order_is_old_or_new() {
        let replace =
            |disk: &dyn Disk, path: &Path| crate::durable::replace_file_on(disk, path, b"newer");
        assert_eq!(outcomes(replace), ["newer", "old"]);
    }

    #[test]
    fn a_file_renamed_before_it_is_synced_may_be_anything() {
        let replace = |disk: &dyn Disk, path: &Path| {
            let staged = path.with_extension("tmp");
            disk.create(&staged)?.write_all(b"newer")?;
            disk.rename(&staged, path)
        };
        let found = outcomes(replace);
        assert!(found.contains(&"old".to_owned()) && found.contains(&"newer".to_owned()));
        assert!(
            found
                .iter()
                .any(|content| content.len() < 5 && content != "old"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_written_over_may_be_half_of_both() {
        let replace = |disk: &dyn Disk, path: &Path| {
            let mut file = disk.create(path)?;
            file.write_all(b"newer")?;
            file.sync()
        };
        assert!(outcomes(replace).contains(&String::new()));
    }
}
