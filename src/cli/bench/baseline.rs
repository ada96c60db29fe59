//! Kept results: where they lie, and reading them again with a clear word about what is wrong with a file.
//!
//! Knows no measurement.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::outcome::{KIND, OLDEST, Outcome, VERSION};

/// Where results that are called by a name lie, below the current directory.
const FOLDER: &str = ".punctual";

/// Why a file is no result that can be compared.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReadError {
    /// It is not there, or not for us.
    #[error("cannot read {}: {source}{hint}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// What might have been meant.
        hint: String,
    },
    /// Not JSON, or JSON of another shape.
    #[error("{} is not a result of `punctual bench --save-baseline`: {why}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A result in the shape of another version.
    #[error(
        "{} is a result of version {found}; this program (punctual {}) reads versions {OLDEST} to {VERSION}: measure it again, or \
         compare with the program that made it{made}",
        path.display(),
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Which program that was.
        made: String,
    },
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
    version: Option<u64>,
    program: Option<String>,
}

/// The file of a result: a path, or a name for a file in [`FOLDER`].
pub(in crate::cli) fn path_of(name: &str) -> PathBuf {
    let path = Path::new(name);
    let is_file = name.contains('/') || path.extension().is_some_and(|e| e == "json");
    if is_file { path.to_owned() } else { Path::new(FOLDER).join(format!("{name}.json")) }
}

/// Reads a kept result.
///
/// # Errors
/// [`ReadError`].
pub(in crate::cli) fn read(name: &str) -> Result<Outcome, ReadError> {
    let path = path_of(name);
    let text = fs::read_to_string(&path).map_err(|source| {
        let hint = if source.kind() == io::ErrorKind::NotFound { known() } else { String::new() };
        ReadError::File { path: path.clone(), source, hint }
    })?;
    parse(&path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Outcome, ReadError> {
    let shape = |why: String| ReadError::Shape { path: path.to_owned(), why };
    let head: Head = serde_json::from_str(text).map_err(|e| shape(e.to_string()))?;
    match head.kind.as_deref() {
        Some(KIND) => {}
        Some(other) => return Err(shape(format!("its `kind` is `{other}`, not `{KIND}`"))),
        None => return Err(shape(format!("it has no `kind`: \"{KIND}\""))),
    }
    match head.version {
        Some(v) if (u64::from(OLDEST)..=u64::from(VERSION)).contains(&v) => {}
        Some(found) => {
            let made = head.program.map(|p| format!(" (punctual {p})")).unwrap_or_default();
            return Err(ReadError::Version { path: path.to_owned(), found, made });
        }
        None => return Err(shape("it has no `version`".to_owned())),
    }
    let outcome: Outcome = serde_json::from_str(text).map_err(|e| shape(e.to_string()))?;
    if outcome.runs.is_empty() { Err(shape("it holds no run".to_owned())) } else { Ok(outcome) }
}

/// The names that there are, for somebody who mistyped one.
fn known() -> String {
    let Ok(entries) = fs::read_dir(FOLDER) else { return String::new() };
    let stem = |e: fs::DirEntry| {
        let path = e.path();
        let is_result = path.extension().is_some_and(|e| e == "json");
        is_result.then(|| path.file_stem().map(|s| s.to_string_lossy().into_owned()))?
    };
    let mut names: Vec<String> = entries.filter_map(Result::ok).filter_map(stem).collect();
    names.sort();
    if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) }
}

/// A file that will hold a result: opened before the measurement, so that a path that cannot be written to costs none.
#[derive(Debug)]
pub(super) struct Keep {
    path: PathBuf,
    draft: PathBuf,
}

impl Keep {
    /// Checks that `name` can be written.
    pub(super) fn prepare(name: &str) -> io::Result<Self> {
        let path = path_of(name);
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let draft = path.with_extension("json.draft");
        fs::File::create(&draft)?;
        Ok(Self { path, draft })
    }

    /// Writes the result; an older one is there until then. A sweep that was stopped early takes the place of another such
    /// one only: beside anything else it is kept as `NAME.stopped.json`.
    pub(super) fn write(self, outcome: &Outcome) -> anyhow::Result<Kept> {
        let left = (outcome.stopped && self.path.exists() && !holds_stopped(&self.path))
            .then(|| self.path.clone());
        let path = match &left {
            Some(whole) => whole.with_extension("stopped.json"),
            None => self.path.clone(),
        };
        fs::write(&self.draft, serde_json::to_string(outcome)? + "\n")?;
        fs::rename(&self.draft, &path)?;
        Ok(Kept { path, left })
    }
}

/// Where a result went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// What has the name that was asked for, and keeps it.
    pub(super) left: Option<PathBuf>,
}

/// Whether that is a result of a sweep that was stopped early.
fn holds_stopped(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    parse(path, &text).is_ok_and(|outcome| outcome.stopped)
}

impl Drop for Keep {
    fn drop(&mut self) {
        // Nothing was measured, or it has its name already.
        let _ = fs::remove_file(&self.draft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::testing;

    #[test]
    fn a_name_is_a_file_of_ours_and_a_path_is_a_path() {
        assert_eq!(path_of("main"), Path::new(".punctual/main.json"));
        assert_eq!(path_of("main.json"), Path::new("main.json"));
        assert_eq!(path_of("a/main"), Path::new("a/main"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let good = serde_json::to_value(testing::outcome(&[0.9])).expect("it is written");
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut json = good.clone();
            change(&mut json);
            parse(Path::new("x.json"), &json.to_string()).map_err(|e| e.to_string())
        };
        assert!(with(&|_| ()).is_ok());
        type Change = fn(&mut serde_json::Value);
        let cases: [(Change, &str); 8] = [
            (|j| j["version"] = 1.into(), "is a result of version 1"),
            (|j| j["version"] = 99.into(), "reads versions 2 to 3"),
            (|j| j["kind"] = "punctual load".into(), "its `kind` is `punctual load`"),
            (|j| j["kind"] = serde_json::Value::Null, "it has no `kind`"),
            (|j| j["version"] = serde_json::Value::Null, "it has no `version`"),
            (|j| j["runs"] = serde_json::json!([]), "it holds no run"),
            (|j| j["runs"][0]["load"] = "two".into(), "invalid type: string \"two\""),
            (
                |j| drop(j.as_object_mut().map(|o| o.remove("saturation"))),
                "missing field `saturation`",
            ),
        ];
        for (change, part) in cases {
            let said = with(&change).expect_err("it is wrong");
            assert!(said.starts_with("x.json") && said.contains(part), "{part}: {said}");
        }
        let said = parse(Path::new("x.json"), "no json").expect_err("it is wrong").to_string();
        assert!(said.contains("expected"), "{said}");
    }

    #[test]
    fn a_sweep_that_was_stopped_takes_no_whole_ones_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("main.json");
        let name = path.display().to_string();
        let write = |stopped| {
            let mut outcome = testing::outcome(&[0.9]);
            outcome.stopped = stopped;
            Keep::prepare(&name).expect("it can be written").write(&outcome).expect("it is written")
        };
        let stopped_in = |path: &Path| read(&path.display().to_string()).expect("a result").stopped;
        let here = |left| Kept { path: path.clone(), left };
        // Nothing is there; then one that was stopped; then a whole one; which then stays.
        assert_eq!((write(true), stopped_in(&path)), (here(None), true));
        assert_eq!((write(true), stopped_in(&path)), (here(None), true));
        assert_eq!((write(false), stopped_in(&path)), (here(None), false));
        let beside = dir.path().join("main.stopped.json");
        assert_eq!(write(true), Kept { path: beside.clone(), left: Some(path.clone()) });
        assert!(!stopped_in(&path) && stopped_in(&beside));
        // What is no result of ours is nobody's to overwrite by half a sweep either.
        fs::write(&path, "a letter").expect("it is written");
        assert_eq!(write(true).left, Some(path.clone()));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "a letter");
    }
}
