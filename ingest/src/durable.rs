//! Writes that survive a power loss: the bytes first, then the name, then the folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a folder and its parents if they are missing, durably.
pub(crate) fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(folder) {
        make_folders(parent)?;
    }
    make_folder(folder)
}

/// Makes a folder if it is missing, durably; its parent exists.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        // A file of that name is no folder: whoever writes into it will say so.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    sync_folder(parent(folder).unwrap_or(Path::new(".")))
}

/// Replaces a file as a whole: a reader finds the old content or the new, never a part.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let half_written = path.with_extension("tmp");
    let mut file = File::create(&half_written)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&half_written, path)?;
    sync_folder(path.parent().expect("a file has a folder"))
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}
