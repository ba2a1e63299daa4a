//! Writes that survive a power loss: the bytes first, then the name, then the folder.

use std::io;
use std::path::Path;

use crate::disk::{Disk, LocalDisk};

/// Makes a folder and its parents if they are missing, durably.
pub(crate) fn make_folders_on(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent(folder);
    if let Some(parent) = parent {
        make_folders_on(disk, parent)?;
    }
    match disk.create_folder(folder) {
        // A file of that name is no folder: whoever writes into it will say so.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    disk.sync_folder(parent.unwrap_or(Path::new(".")))
}

/// [`replace_file_on`] the disk of this machine.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_file_on(&LocalDisk, path, content)
}

/// Replaces a file as a whole: a reader finds the old content or the new, never a part.
pub(crate) fn replace_file_on(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let half_written = path.with_extension("tmp");
    let mut file = disk.create(&half_written)?;
    file.write_all(content)?;
    file.sync()?;
    disk.rename(&half_written, path)?;
    disk.sync_folder(path.parent().expect("a file has a folder"))
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}
