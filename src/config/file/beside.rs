//! Files that a config names: they lie in its folder or below, and are read with a bound.
//!
//! Knows nothing of what they hold.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// The bytes of the file `name` in `folder`, at most `max` of them.
///
/// # Errors
/// Why not, as the rest of a sentence that begins with the file's name: it lies elsewhere (also by a link), it cannot be read, it
/// is too large.
pub(super) fn read(folder: Option<&Path>, name: &str, max: u64) -> Result<Vec<u8>, String> {
    let path = place(folder, name)?;
    let file = File::open(&path).map_err(|e| format!("cannot be read: {e}"))?;
    let about = file.metadata().map_err(|e| format!("cannot be read: {e}"))?;
    if !about.is_file() {
        return Err("is no file".to_owned());
    }
    let too_large = || format!("is larger than {} MiB", max >> 20);
    // Before the first byte of it is taken.
    if about.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// Where it is, with every link followed.
fn place(folder: Option<&Path>, name: &str) -> Result<PathBuf, String> {
    let Some(folder) = folder else {
        return Err("cannot be found: this config is no file, so it has no folder".to_owned());
    };
    let relative = Path::new(name);
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_)));
    if name.is_empty() || !inside {
        return Err("lies outside the config's folder".to_owned());
    }
    // The parent of a bare file name is empty, and means here.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = |path: &Path| path.canonicalize().map_err(|e| format!("cannot be read: {e}"));
    let (folder, path) = (real(folder)?, real(&folder.join(relative))?);
    if path.starts_with(&folder) {
        Ok(path)
    } else {
        Err("leads outside the config's folder".to_owned())
    }
}
